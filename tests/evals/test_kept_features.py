import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from reelvec.core import Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.index import index
from reelvec.engine.extract import Reader
from reelvec.evals import kept_features as module
from reelvec.evals.kept_features import extract_kept, kept_features

CPU = torch.device("cpu")


class Counting:
    """A reader's function that says how many clips it was shown."""

    def __init__(self) -> None:
        self.clips = 0

    def __call__(self, frames: Tensor) -> Tensor:
        self.clips += len(frames)
        return frames.mean((2, 3, 4))


def reader(counting: Counting, identity: str = "means", name: str = "colour") -> Reader:
    needs = Needs(streams=(StreamNeed(stream=Stream.RGB, frames=2, stride=1),), clips=1, short_side=32)
    return Reader(name, needs, 32, counting, identity=identity)


@pytest.fixture
def videos(tmp_path: Path, make_video: Callable[..., Path]) -> list[str]:
    def picture(shade: int) -> Callable[[int], np.ndarray]:
        return lambda number: np.full((32, 32, 3), shade, np.uint8)

    return [
        str(make_video(tmp_path / "videos" / f"{i}.mp4", frames=4, size=(32, 32), picture=picture(40 * i))) for i in range(5)
    ]


def read(folder: Path, readers: list[Reader], videos: list[str], rows: list[int] | None = None) -> module.Extracted:
    found = index(videos, workers=0)
    return extract_kept(folder, readers, found, rows or list(range(len(found))), clips=1, device=CPU)


def test_a_video_is_read_once(tmp_path: Path, videos: list[str]) -> None:
    first, second = Counting(), Counting()
    fresh = read(tmp_path / "kept", [reader(first)], videos)
    again = read(tmp_path / "kept", [reader(second)], videos)
    assert (first.clips, second.clips) == (5, 0)
    assert np.array_equal(fresh.vectors["colour"], again.vectors["colour"])
    assert again.found.all()


def test_what_is_lacking_is_added_in_the_order_asked_for(tmp_path: Path, videos: list[str]) -> None:
    counting = Counting()
    read(tmp_path / "kept", [reader(counting)], videos[:3])
    turned = read(tmp_path / "kept", [reader(counting)], videos, [4, 1, 0, 3, 2])
    assert counting.clips == 5
    assert (np.diff(turned.vectors["colour"][[2, 1, 4, 3, 0], 0]) > 0.1).all()


def test_other_weights_and_changed_files_are_read_anew(tmp_path: Path, videos: list[str]) -> None:
    counting = Counting()
    read(tmp_path / "kept", [reader(counting)], videos)
    read(tmp_path / "kept", [reader(counting, "other means")], videos)
    assert counting.clips == 10
    shutil.copy(videos[4], videos[0])
    os.utime(videos[0], ns=(1, 1))
    got = read(tmp_path / "kept", [reader(counting)], videos)
    assert counting.clips == 11
    assert np.array_equal(got.vectors["colour"][0], got.vectors["colour"][4])


def test_readers_that_lack_the_same_videos_are_read_together(tmp_path: Path, videos: list[str]) -> None:
    one, two = Counting(), Counting()
    read(tmp_path / "kept", [reader(one)], videos[:2])
    got = read(tmp_path / "kept", [reader(one), reader(two, name="again")], videos)
    assert (one.clips, two.clips) == (5, 5)
    assert np.array_equal(got.vectors["colour"], got.vectors["again"])


def test_parts_are_kept_when_a_later_one_fails(tmp_path: Path, videos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PART", 2)

    class Failing(Counting):
        def __call__(self, frames: Tensor) -> Tensor:
            if self.clips >= 4:
                raise RuntimeError("the power goes")
            return super().__call__(frames)

    with pytest.raises(RuntimeError, match="power"):
        read(tmp_path / "kept", [reader(Failing())], videos)
    counting = Counting()
    assert read(tmp_path / "kept", [reader(counting)], videos).found.all()
    assert counting.clips == 1


def test_a_damaged_part_is_read_again(tmp_path: Path, videos: list[str]) -> None:
    counting = Counting()
    read(tmp_path / "kept", [reader(counting)], videos)
    (part,) = (tmp_path / "kept").rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    assert read(tmp_path / "kept", [reader(counting)], videos).found.all()
    assert counting.clips == 10


def test_a_broken_video_is_named_and_tried_again(tmp_path: Path, videos: list[str]) -> None:
    found = index(videos, workers=0)
    whole = Path(videos[2]).read_bytes()
    Path(videos[2]).write_bytes(whole[: len(whole) // 3])
    got = extract_kept(tmp_path / "kept", [reader(Counting())], found, range(5), clips=1, device=CPU)
    assert list(got.left_out) == [videos[2]]
    assert got.found.tolist() == [True, True, False, True, True]
    Path(videos[2]).write_bytes(whole)
    assert extract_kept(tmp_path / "kept", [reader(Counting())], found, range(5), clips=1, device=CPU).found.all()


def test_who_does_not_say_what_his_vectors_hang_on_is_refused(tmp_path: Path, videos: list[str]) -> None:
    with pytest.raises(ValueError, match="colour cannot be kept"):
        read(tmp_path / "kept", [replace(reader(Counting()), identity="")], videos)


def test_a_result_without_features_says_how_to_get_them(tmp_path: Path) -> None:
    result = {"file": str(tmp_path / "a.json"), "run": "runs/a", "labels": "l.csv"}
    with pytest.raises(ReelvecError, match=r"reelvec evaluate runs/a --labels l.csv"):
        kept_features(result)
    with pytest.raises(ReelvecError, match=r"no .*features/visual-123"):
        kept_features({**result, "features": {"visual": "features/visual-123"}})
