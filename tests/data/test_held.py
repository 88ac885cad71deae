"""Clips cut on the device are those that the loader reads, bit for bit."""

import functools
from pathlib import Path

import pytest
import torch

from reelvec.core import Needs, PlaneClips, ReelvecError, Stream, StreamNeed, Times
from reelvec.data.held import HeldLoader
from reelvec.data.index import Index, index
from reelvec.data.loader import ClipLoader, TrainingPlan

CPU = torch.device("cpu")
KINDS = {
    "rgb": [Stream.RGB],
    "flow": [Stream.FLOW],
    "flow edges beside rgb": [Stream.RGB, Stream.FLOW_EDGES],
    "motion vectors": [Stream.MOTION_VECTORS],
    "key frames beside rgb": [Stream.KEYFRAMES, Stream.RGB],
    "key frames": [Stream.KEYFRAMES],
}


@pytest.fixture(scope="module")
def videos(make_video, tmp_path_factory) -> Index:
    """Of other sizes and lengths, one of them turned; one breaks after it was indexed."""
    folder: Path = tmp_path_factory.mktemp("videos")
    for i, size in enumerate([(64, 48), (48, 64), (80, 48), (64, 48), (64, 48)]):
        make_video(folder / f"{i}.mp4", frames=10 + 6 * i, size=size)
    made = index(folder, workers=0)
    (folder / "3.mp4").write_bytes(b"no video")
    return made


def needs_of(streams: list[Stream]) -> Needs:
    needed = tuple(StreamNeed(stream=stream, frames=3 + i, stride=2 - i) for i, stream in enumerate(streams))
    return Needs(streams=needed, clips=2, times=Times(rule="anywhere"), short_side=32)


def steps(many: int = 6) -> list[range]:
    return [range(4 * step, 4 * step + 4) for step in range(many)]


def assert_same(one: torch.Tensor, other: torch.Tensor) -> None:
    assert one.dtype == other.dtype
    assert torch.equal(one, other)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_those_of_the_loader(videos: Index, kind: str, planes: bool, workers: int) -> None:
    if workers and (kind != "rgb" or planes):
        pytest.skip("processes read what this one reads")
    needs = needs_of(KINDS[kind])
    needs = needs.in_planes() if planes else needs
    plan = TrainingPlan(videos, needs, seed=5)
    held = HeldLoader(videos, needs, plan, CPU, 1 << 30, workers=workers)
    with ClipLoader(videos, needs, plan, 4) as loader, held:
        for got, asked in zip(held.batches(steps()), loader.batches(steps()), strict=True):
            for name in ("numbers", "rows", "start_seconds", "span_seconds"):
                assert_same(getattr(got, name), getattr(asked, name))
            assert got.streams.keys() == asked.streams.keys()
            for stream, clips in asked.streams.items():
                mine = got.streams[stream]
                assert type(mine) is type(clips)
                assert_same(mine.frames, clips.frames)
                assert_same(mine.size, clips.size)
                if isinstance(clips, PlaneClips):
                    assert isinstance(mine, PlaneClips)
                    assert_same(mine.luma, clips.luma)
                    assert_same(mine.chroma, clips.chroma)
                    assert_same(mine.to_rgb, clips.to_rgb)
        broken = [(Path(q.path).name, q.times) for q in loader.quarantine]
        assert [(Path(q.path).name, q.times) for q in held.quarantine] == broken
        assert broken[0][0] == "3.mp4"


def test_files_are_read_once(videos: Index) -> None:
    needs, opened = needs_of([Stream.RGB]), []

    def counting(real, row, *arguments, **keywords):
        opened.append(row.row)
        return real(row, *arguments, **keywords)

    plan = TrainingPlan(videos, needs, seed=5)
    with HeldLoader(videos, needs, plan, CPU, 1 << 30) as held:
        held._reader = functools.partial(counting, held._reader)
        assert len(list(held.batches(steps()))) == 6
        assert len(list(held.batches(steps()))) == 6
        assert held.waiting_seconds > 0
    assert sorted(opened) == [0, 1, 2, 3, 4]


def test_what_does_not_fit_is_refused_before_anything_is_read(videos: Index) -> None:
    needs = needs_of([Stream.KEYFRAMES, Stream.RGB])
    plan = TrainingPlan(videos, needs, seed=5)
    pictures = (
        3 * 32 * (10 * 43 + 16 * 43 + 22 * 53 + 28 * 43 + 34 * 43)
    )  # key frames are frames: they take no room of their own
    assert HeldLoader(videos, needs, plan, CPU, pictures).decoded_bytes == pictures
    with pytest.raises(ReelvecError, match=r"hold 5 videos decoded on cpu[\s\S]*cache_gb="):
        HeldLoader(videos, needs, plan, CPU, pictures - 1)


def test_a_set_of_which_nothing_can_be_read_is_refused(videos: Index) -> None:
    needs = needs_of([Stream.RGB])
    with (
        HeldLoader(videos, needs, TrainingPlan(videos, needs, 5, rows=[3]), CPU, 1 << 30) as held,
        pytest.raises(ReelvecError, match=r"none can be read; .*3\.mp4"),
    ):
        next(held.batches(steps()))
