from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelvec.core import Needs, Stream, StreamNeed
from reelvec.data import streams
from reelvec.data.cache import DecodedCache
from reelvec.data.decode import decode_frames
from reelvec.data.index import VideoRow, index
from reelvec.data.streams import read_clips


def needs(*wanted: tuple[Stream, dict], **more) -> Needs:
    entries = tuple(StreamNeed(**{"stream": stream, "frames": 4, "stride": 2} | rest) for stream, rest in wanted)
    return Needs(streams=entries, **more)


RGB = (Stream.RGB, {})
FLOW = (Stream.FLOW, {})
KEYS = (Stream.KEYFRAMES, {"frames": 3, "stride": 5})


@pytest.fixture(scope="module")
def videos(tmp_path_factory, make_video) -> list[VideoRow]:
    """One file with B frames and key frames, one with a variable rate, one without vectors, one of a single frame."""
    folder = tmp_path_factory.mktemp("cache")
    refs = {"preset": "medium", "refs": "3"}
    found = index(
        [
            make_video(folder / "a.mp4", frames=20, gop=8, b_frames=2, options=refs),
            make_video(folder / "b.mp4", "mpeg4", frames=15, variable_rate=True),
            make_video(folder / "c.mkv", "hevc", frames=14),
            make_video(folder / "d.mp4", frames=1),
        ],
        workers=0,
    )
    return [found.row(i) for i in range(len(found))]


@pytest.fixture
def decodings(monkeypatch) -> list[str]:
    calls: list[str] = []

    def count(row, *arguments, **more):
        calls.append(Path(row.path).name)
        return decode_frames(row, *arguments, **more)

    monkeypatch.setattr(streams, "decode_frames", count)
    return calls


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_clips_are_the_same_with_and_without_a_cache(videos, data):
    row = data.draw(st.sampled_from(videos))
    source = data.draw(st.sampled_from(["dis", "codec"])) if row.has_motion_vectors else "dis"
    edges = {"source": source, "stride": 1, "formula": "b"}
    entries = [RGB, KEYS, (Stream.FLOW, {"source": source}), (Stream.FLOW_EDGES, edges)]
    if row.has_motion_vectors:
        entries.append((Stream.MOTION_VECTORS, {"frames": 3}))
    asked = needs(
        *data.draw(st.lists(st.sampled_from(entries), min_size=1, unique_by=lambda entry: entry[0])),
        short_side=data.draw(st.sampled_from([24, 48])),
        fit=data.draw(st.sampled_from(["keep", "square"])),
    )
    starts = data.draw(st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=3))
    cache = DecodedCache(10**7)
    plain = read_clips(row, asked, starts)
    for _ in range(2):  # filling the cache, then from it
        cached = read_clips(row, asked, starts, cache)
        assert cached.keys() == plain.keys()
        for stream, clip in plain.items():
            np.testing.assert_array_equal(cached[stream], clip)
            assert cached[stream].dtype == clip.dtype


def test_a_video_is_decoded_once_for_all_clips(videos, decodings):
    cache = DecodedCache(10**7)
    for start in (0.0, 0.3, 0.1, 0.7):
        read_clips(videos[0], needs(RGB, FLOW), [start, start + 0.1], cache)
    assert decodings == ["a.mp4"]
    assert len(cache) == 2


def test_only_what_is_absent_is_decoded_again(videos, decodings):
    cache = DecodedCache(10**7)
    read_clips(videos[0], needs(RGB), [0.0], cache)
    read_clips(videos[0], needs((Stream.RGB, {"frames": 2, "stride": 5})), [0.0], cache)
    assert len(decodings) == 1
    read_clips(videos[0], needs(RGB, FLOW), [0.0], cache)
    assert len(cache) == 2


def test_key_frames_take_no_room_beside_the_frames(videos, decodings):
    cache = DecodedCache(10**7)
    read_clips(videos[0], needs(KEYS), [0.0], cache)
    read_clips(videos[0], needs(RGB, KEYS), [0.4], cache)
    assert len(cache) == 1
    assert len(decodings) == 1
    assert cache.used_bytes == 20 * 48 * 64 * 3


@pytest.mark.parametrize(
    "other",
    [
        needs(FLOW, short_side=24),
        needs(FLOW, fit="square"),
        needs((Stream.FLOW, {"source": "codec"})),
        needs((Stream.FLOW_EDGES, {})),
    ],
)
def test_what_was_asked_differently_is_kept_apart(videos, other):
    cache = DecodedCache(10**7)
    read_clips(videos[0], needs(FLOW), [0.0], cache)
    (stream, cached) = next(iter(read_clips(videos[0], other, [0.0], cache).items()))
    np.testing.assert_array_equal(cached, read_clips(videos[0], other, [0.0])[stream])
    assert len(cache) == 2


def test_the_budget_holds_and_what_came_first_stays(videos, decodings):
    picture = 48 * 64 * 3
    cache = DecodedCache(picture * 34)  # the first video has 20 frames, the second 15, the third 14
    for row in [*videos[:3], *videos[:3]]:
        read_clips(row, needs(RGB), [0.0], cache)
    assert cache.used_bytes == picture * 34
    assert decodings == ["a.mp4", "b.mp4", "c.mkv", "b.mp4"]


def test_long_videos_are_not_decoded_whole(videos, decodings):
    cache = DecodedCache(10**7, longest_frames=19)
    read_clips(videos[0], needs(RGB), [0.0], cache)
    assert len(cache) == 0
    assert len(decodings) == 1


def test_a_caller_cannot_write_into_the_cache(videos):
    cache = DecodedCache(10**7)
    first = read_clips(videos[0], needs(RGB), [0.0], cache)[Stream.RGB]
    kept = first.copy()
    first[:] = 7
    np.testing.assert_array_equal(read_clips(videos[0], needs(RGB), [0.0], cache)[Stream.RGB], kept)
