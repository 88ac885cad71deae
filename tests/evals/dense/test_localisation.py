import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.evals.dense.localisation import AREA, CENTRE, centre_prior, energy, localisation, share_inside


def test_energy_by_hand() -> None:
    maps = torch.tensor([[[1.0, 0.0], [2.0, 0.0]], [[2.0, 0.0], [0.0, -3.0]]])
    assert energy(maps).tolist() == [[5, 0], [4, 9]]


def test_share_inside() -> None:
    mask = torch.zeros(8, 8)
    mask[:4, :4] = 3
    assert share_inside(torch.ones(2, 2), mask) == pytest.approx(1 / 4)  # no preference: the area
    all_there = torch.zeros(8, 8)
    all_there[1, 2] = 7.0
    assert share_inside(all_there, mask) == 1
    assert share_inside(all_there.flip(1), mask) == 0
    assert share_inside(torch.zeros(2, 2), mask) is None
    coarse = torch.tensor([[1.0, 0.0], [0.0, 0.0]])  # bilinear: some of it leaks over the mask's side
    assert 0.6 < share_inside(coarse, mask) < 1
    in_time = torch.zeros(2, 4, 4)
    in_time[0, 0, 0] = 1
    clip = torch.zeros(4, 8, 8)
    clip[:2, :4, :4] = 1
    assert 0.5 < share_inside(in_time, clip) < 1


def test_centre_prior_is_highest_in_the_middle() -> None:
    prior = centre_prior((9, 15))
    assert prior.argmax() == 4 * 15 + 7
    assert torch.allclose(prior, prior.flip(0, 1))
    # half a width out is two standard deviations
    assert centre_prior((1001, 1))[0, 0] == pytest.approx(np.exp(-2), rel=1e-2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    card = EncoderCard(
        name="visual", architecture="set when saved", channels=3, size=32, mean=(0.4,) * 3, std=(0.25,) * 3, method="none",
        needs=Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=2),), clips=1), step=7,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(5)
        save_encoder(folder / "encoder", "visual", build_encoder("tiny"), card)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy square on a flat picture, top left and bottom right; in its last frame it is gone."""
    root = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    for name, corner in (("left", 6), ("right", 38)):
        for number in range(6):
            frame, mask = np.full((64, 64, 3), 102, np.uint8), np.zeros((64, 64), np.uint8)
            if number < 5:
                frame[corner : corner + 20, corner : corner + 20] = rng.integers(0, 256, (20, 20, 3))
                mask[corner : corner + 20, corner : corner + 20] = 255
            for kind, picture, suffix in (("JPEGImages", frame, "png"), ("Annotations", mask, "png")):
                path = root / kind / name / f"{number:05d}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture)
    return root


@pytest.fixture(scope="module")
def result(run: Path, folder: Path) -> dict:
    return localisation(run, folder, size=64, map_stride=8)


def test_rows(result: dict) -> None:
    rows = {row["name"]: row for row in result["rows"]}
    assert list(rows) == ["visual", "untrained visual", CENTRE, AREA]
    assert rows[AREA]["inside"] == pytest.approx(400 / 4096)
    assert rows[AREA]["over area"] == 1
    assert rows[CENTRE]["sequences"]["left"] == pytest.approx(rows[CENTRE]["sequences"]["right"], abs=0.01)
    # all that is there to respond to is the square
    assert rows["visual"]["inside"] > 2 * rows[AREA]["inside"]
    assert rows["visual"]["over area"] == pytest.approx(rows["visual"]["inside"] / rows[AREA]["inside"])
    more = rows["visual"]["over"][AREA]
    assert more["mean"] == pytest.approx(rows["visual"]["inside"] - rows[AREA]["inside"])
    assert more["low"] < more["mean"] < more["high"]
    assert set(rows["visual"]["over"]) == {"untrained visual", CENTRE, AREA}


def test_frames_without_an_object_do_not_count(result: dict) -> None:
    assert result["notes"] == [
        "left: 1 of 6 frames show no object: not counted",
        "right: 1 of 6 frames show no object: not counted",
    ]


def test_files(result: dict, run: Path, folder: Path) -> None:
    file = run / "evals" / f"{folder.name}-localisation-step000007.json"
    assert json.loads(file.read_text()) == result
    assert cv2.imread(result["picture"]).shape[0] > 400
    assert "8 x 8 cells; strides taken out, 8 pixels" in result["protocol"]["map"]


def test_one_sequence_has_no_interval(result: dict, run: Path, folder: Path, tmp_path: Path) -> None:
    alone = localisation(run, folder, size=64, map_stride=8, sequences=["left"], baselines=False, out=tmp_path / "r.json")
    rows = {row["name"]: row for row in alone["rows"]}
    assert list(rows) == ["visual", CENTRE, AREA]
    assert rows["visual"]["low"] is None
    assert rows["visual"]["inside"] == result["rows"][0]["sequences"]["left"]


def test_a_folder_without_objects(run: Path, tmp_path: Path) -> None:
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), np.zeros((32, 32, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((32, 32), np.uint8))
    with pytest.raises(ReelvecError, match="masks without any object"):
        localisation(run, tmp_path)
