import os
from pathlib import Path

import numpy as np
import pytest

from reelvec.core import Needs, Stream, StreamNeed
from reelvec.data import flow_caching, streams
from reelvec.data.cache import DecodedCache
from reelvec.data.decode import decode_frames
from reelvec.data.flow_caching import cache_flow_edges
from reelvec.data.flow_files import flow_edges_file, stands_for, stored_flow_edges
from reelvec.data.index import VideoRow, index
from reelvec.data.preparing import FlowEdgeSettings, PrepareSettings, prepare_video
from reelvec.data.streams import read_clips


@pytest.fixture(scope="module")
def video(tmp_path_factory, make_video) -> VideoRow:
    """A prepared video of 31 frames in which a texture moves."""
    folder = tmp_path_factory.mktemp("flow")
    ground = np.random.default_rng(1).integers(0, 255, (12, 16, 3)).repeat(6, 0).repeat(6, 1).astype(np.uint8)
    source = make_video(
        folder / "a.mp4", frames=31, size=(96, 72), b_frames=2, picture=lambda n: np.roll(ground, (n, 2 * n), (0, 1))
    )
    settings = PrepareSettings(short_side=48, gop=6)
    prepare_video(index([source], workers=0).probed(0), str(folder / "out" / "a.mp4"), settings)
    return index([folder / "out" / "a.mp4"], workers=0).row(0)


@pytest.fixture
def decoded(monkeypatch) -> list[list[int]]:
    """The frame numbers of every decoding that the test causes."""
    calls: list[list[int]] = []

    def count(row, wanted, height, width, **asked):
        calls.append(list(wanted))
        return decode_frames(row, wanted, height, width, **asked)

    monkeypatch.setattr(streams, "decode_frames", count)
    return calls


def edges(frames: int = 8, stride: int = 1, **more) -> StreamNeed:
    return StreamNeed(stream=Stream.FLOW_EDGES, frames=frames, stride=stride, **more)


RGB = StreamNeed(stream=Stream.RGB, frames=2, stride=4)


@pytest.mark.parametrize("source", ["dis", "codec"])
@pytest.mark.parametrize(("formula", "clamp"), [("a", 10.0), ("b", 7.3)])
def test_what_is_kept_is_what_would_be_computed(video, decoded, monkeypatch, source, formula, clamp):
    monkeypatch.setattr(flow_caching, "_AT_ONCE", 7)  # parts that begin anywhere between key frames
    needs = Needs(streams=(RGB, edges(source=source, formula=formula, clamp=clamp)))
    starts = [0.0, 0.21, 0.9, 1.2]
    computed = read_clips(video, needs, starts)
    file = cache_flow_edges(video.path, FlowEdgeSettings(source=source, formula=formula, clamp=clamp))
    assert file == flow_edges_file(video.path, source, formula, clamp)
    decoded.clear()
    kept = read_clips(video, needs, starts)
    for stream, clips in computed.items():
        np.testing.assert_array_equal(kept[stream], clips)
    assert kept[Stream.FLOW_EDGES].flags.writeable
    assert computed[Stream.FLOW_EDGES].any()
    assert len(decoded) == 1
    assert len(decoded[0]) <= 2 * len(starts)  # those of RGB alone
    decoded.clear()
    read_clips(video, Needs(streams=needs.streams[1:]), starts)
    assert decoded == []
    Path(file).unlink()


@pytest.mark.parametrize(
    "other",
    [{"source": "codec"}, {"formula": "b"}, {"clamp": 10.000001}, {"short_side": 32}, {"fit": "square"}],
    ids=lambda other: next(iter(other)),
)
def test_other_needs_are_computed(video, decoded, other):
    file = cache_flow_edges(video.path, FlowEdgeSettings())
    wanted = {name: value for name, value in other.items() if name in StreamNeed.model_fields}
    needs = Needs(streams=(edges(**wanted),), **{name: v for name, v in other.items() if name not in wanted})
    decoded.clear()
    read_clips(video, needs, [0.0])
    assert len(decoded[0]) == 9
    Path(file).unlink()


def test_a_short_side_beyond_the_videos_own_changes_nothing(video, decoded):
    file = cache_flow_edges(video.path, FlowEdgeSettings())
    decoded.clear()
    for short_side in (48, 128, 256):
        read_clips(video, Needs(streams=(edges(),), short_side=short_side), [0.0])
    assert decoded == []
    Path(file).unlink()


def test_files_that_are_older_or_spoilt_are_not_used(video, decoded):
    file = Path(cache_flow_edges(video.path, FlowEdgeSettings()))
    whole, need, size = file.read_bytes(), edges(), (video.height, video.width)
    assert stored_flow_edges(video, need, size) is not None
    written = os.stat(video.path).st_mtime_ns
    os.utime(file, ns=(written, written - 1))
    assert not stands_for(str(file), video.path)
    assert stored_flow_edges(video, need, size) is None
    for spoilt in (whole[:-1], b"", b"no array"):
        file.write_bytes(spoilt)
        assert stored_flow_edges(video, need, size) is None
    np.save(file, np.zeros((video.frames - 1, *size), np.uint8))
    assert stored_flow_edges(video, need, size) is None
    decoded.clear()
    read_clips(video, Needs(streams=(need,)), [0.0])
    assert decoded
    file.unlink()
    assert not stands_for(str(file), video.path)


def test_the_cache_in_memory_reads_the_file_once(video, decoded, monkeypatch):
    file = Path(cache_flow_edges(video.path, FlowEdgeSettings()))
    decoded.clear()
    cache, needs = DecodedCache(1 << 24), Needs(streams=(RGB, edges()))
    first = read_clips(video, needs, [0.1, 0.5], cache)
    assert decoded == [list(range(31))]
    file.unlink()
    again = read_clips(video, needs, [0.1, 0.5], cache)
    np.testing.assert_array_equal(first[Stream.FLOW_EDGES], again[Stream.FLOW_EDGES])
    np.testing.assert_array_equal(again[Stream.FLOW_EDGES], read_clips(video, needs, [0.1, 0.5])[Stream.FLOW_EDGES])


def test_a_file_that_could_not_be_finished_is_not_there(video, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(flow_caching, "decode_streams", fail)
    before = sorted(os.listdir(Path(video.path).parent))
    with pytest.raises(OSError, match="No space"):
        cache_flow_edges(video.path, FlowEdgeSettings())
    assert sorted(os.listdir(Path(video.path).parent)) == before
