"""A method's own task on unseen videos: near chance before training, the numbers of the saved weights after it."""

import numpy as np
import pytest

from reelvec.data.index import Index, index
from reelvec.verbs.pretrain import pretrain
from reelvec.verbs.study.pretext import unseen_numbers


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_video):
    """A run of v3s on videos of moving bars, and an index of others."""
    folder = tmp_path_factory.mktemp("unseen")
    for side, first in (("seen", 0), ("unseen", 100)):
        for i in range(8):
            make_video(folder / side / f"{i}.mp4", size=(48, 48), picture=lambda t, i=i, first=first: _bars(first + i, t))
    summary = pretrain(
        folder / "seen", "v3s", settings=["steps=40", "batch=8", "view.size=32", "short_side=48", "workers=0", "cache_gb=1",
        "space_scale_weight=0", "space_projection_weight=0", "time_projection_weight=0", "optimiser.lr=0.005"],
        recipe="v3s-cpu", out=folder / "run",
    )  # fmt: skip
    return summary["run"], index(folder / "unseen")


def _bars(number: int, t: int) -> np.ndarray:
    """Bars at a place of their own for each video, which all run to the right at the same speed: a view's speed shows."""
    line = 127 + 100 * np.sin((np.arange(48) - 2 * t + 7 * number) * 2 * np.pi / 16)
    return np.broadcast_to(line[None, :, None], (48, 48, 3)).astype(np.uint8)


def measured(run_and_videos: tuple[str, Index], *, trained: bool) -> dict[str, float]:
    run, found = run_and_videos
    return unseen_numbers(run, ["time_scale_accuracy", "space_scale_accuracy", "loss"], found, found.usable(), trained=trained)


def test_what_was_learnt_shows_on_other_videos(trained):
    before, after = measured(trained, trained=False), measured(trained, trained=True)
    assert set(before) == set(after) == {"time scale accuracy unseen", "loss unseen"}  # no factor of weight 0
    assert before["loss unseen"] == pytest.approx(np.log(3), abs=0.5)
    assert after["time scale accuracy unseen"] > 0.6 > before["time scale accuracy unseen"]


def test_measuring_twice_gives_the_same(trained):
    assert measured(trained, trained=True) == measured(trained, trained=True)
