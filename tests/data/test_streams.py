from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelvec.core import Needs, ReelvecError, Stream, StreamNeed
from reelvec.data import streams
from reelvec.data.cache import DecodedCache
from reelvec.data.clips import clip_seconds, frames_at
from reelvec.data.decode import DecodeError, decode_frames
from reelvec.data.flow import dis_flow
from reelvec.data.flow_edges import flow_edges
from reelvec.data.index import Index, VideoRow, index
from reelvec.data.streams import (
    check_needs,
    delivered_size,
    key_frames_before,
    read_clips,
    rows_offering,
    span_seconds,
    step_seconds,
)


def need(stream: Stream, frames: int = 4, stride: int = 2, **more) -> StreamNeed:
    return StreamNeed(stream=stream, frames=frames, stride=stride, **more)


def asks(*needs: StreamNeed, **more) -> Needs:
    return Needs(streams=needs, **more)


RGB, FLOW, EDGES, VECTORS = Stream.RGB, Stream.FLOW, Stream.FLOW_EDGES, Stream.MOTION_VECTORS
KEYS = Stream.KEYFRAMES


@pytest.fixture(scope="module")
def row(small_video: Path) -> VideoRow:
    """24 frames of 64 x 48 at 24 a second, H.264."""
    return index([small_video]).row(0)


@pytest.fixture
def decoded(monkeypatch) -> list[list[int]]:
    """The frame numbers of every decoding that the test causes."""
    calls: list[list[int]] = []

    def count(row, wanted, height, width, **asked):
        calls.append(list(wanted))
        return decode_frames(row, wanted, height, width, **asked)

    monkeypatch.setattr(streams, "decode_frames", count)
    return calls


def test_every_stream_comes_in_its_type_and_shape(row):
    needs = asks(need(RGB), need(FLOW, 8, 1), need(EDGES, 8, 1), need(VECTORS, 3, 3), need(KEYS, 2, 7), short_side=36)
    clips = read_clips(row, needs, [0.0, 0.1, 0.9])
    assert {stream: (a.shape, a.dtype) for stream, a in clips.items()} == {
        RGB: ((3, 3, 4, 36, 48), np.uint8),
        FLOW: ((3, 2, 8, 36, 48), np.float16),
        EDGES: ((3, 1, 8, 36, 48), np.uint8),
        VECTORS: ((3, 2, 3, 5, 6), np.float16),
        KEYS: ((3, 3, 2, 36, 48), np.uint8),
    }
    assert all(a.flags.c_contiguous and a.flags.writeable for a in clips.values())


@pytest.mark.parametrize("cached", [False, True])
def test_planes_are_those_of_each_frame_in_whatever_order_clips_show_them(row, cached):
    """In the order of the file, as most clips are, and out of it; streams that share their frames are worked out once."""
    planes = asks(need(RGB), short_side=36).in_planes()
    whole = decode_frames(row, range(row.frames), 36, 48, planes=True).planes
    one_by_one = {
        Stream.LUMA: whole.luma[:, None],
        Stream.CHROMA: whole.chroma,
        Stream.TO_RGB: whole.to_rgb.reshape(-1, 12, 1, 1),
    }
    for starts in ([0.0, 0.5], [0.5, 0.0], [0.1, 0.1]):
        clips = read_clips(row, planes, starts, DecodedCache(1 << 30) if cached else None)
        for stream, frames in one_by_one.items():
            shown = np.array([[round(start * 24) + 2 * k for k in range(4)] for start in starts])
            np.testing.assert_array_equal(clips[stream], frames[shown].swapaxes(1, 2))
            assert clips[stream].flags.c_contiguous
            assert clips[stream].flags.writeable


def test_steps_and_span_are_counted_at_the_rate_asked_for(row):
    needs = asks(need(RGB, 8, 4), need(EDGES, 16, 1), frames_per_second=30)
    assert step_seconds(needs.streams[0], needs, row) == 4 / 30
    assert span_seconds(needs, row) == 32 / 30
    assert span_seconds(asks(need(RGB, 8, 4), need(EDGES, 64, 1)), row) == pytest.approx(64 / 24)


@pytest.mark.parametrize(
    ("height", "width", "short_side", "fit", "size"),
    [
        (720, 1280, 128, "keep", (128, 228)),
        (1280, 720, 128, "keep", (228, 128)),
        (720, 1280, 128, "square", (128, 128)),
        (48, 65, 128, "keep", (48, 65)),
        (48, 65, 128, "square", (48, 48)),
        (101, 333, 50, "keep", (50, 165)),
        (2, 900, 1, "keep", (1, 450)),
    ],
)
def test_nothing_is_enlarged_and_the_short_side_is_what_was_asked(row, height, width, short_side, fit, size):
    needs = asks(need(RGB), short_side=short_side, fit=fit)
    assert delivered_size(replace(row, height=height, width=width), needs) == size


CASES = [
    ("mp4", "h264", 0, False), ("mp4", "h264", 3, False), ("mp4", "h264", 0, True), ("mkv", "h264", 2, False),
    ("mp4", "hevc", 2, False), ("avi", "mpeg4", 0, False), ("webm", "vp9", 0, False), ("avi", "mjpeg", 0, False),
]  # fmt: skip


@pytest.fixture(scope="module")
def numbered(tmp_path_factory, make_video) -> list[VideoRow]:
    """Files of 40 frames that show their own number, in many formats."""
    folder = tmp_path_factory.mktemp("numbered")
    paths = [
        make_video(folder / f"{i}.{suffix}", codec, frames=40, b_frames=b_frames, variable_rate=variable)
        for i, (suffix, codec, b_frames, variable) in enumerate(CASES)
    ]
    found = index(paths, workers=0)
    return [found.row(i) for i in range(len(found))]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_frames_are_those_shown_at_the_times_asked_for(numbered, read_number, data):
    row = data.draw(st.sampled_from(numbered))
    rate = data.draw(st.sampled_from([None, 10.0, 30.0]))
    stride = data.draw(st.integers(1, 9))
    # away from the instants where one frame gives way to the next: containers round those
    starts = [
        float(row.frame_seconds[n] + 0.5 * np.diff([*row.frame_seconds, row.duration_seconds])[n])
        for n in data.draw(st.lists(st.integers(0, row.frames - 1), min_size=1, max_size=3))
    ]
    needs = asks(need(RGB, 5, stride), frames_per_second=rate)
    clips = read_clips(row, needs, starts)[RGB]
    step = stride / (rate or row.frames_per_second)
    for clip, start in zip(clips, starts, strict=True):
        times = clip_seconds(start, 5, step)
        edge = np.abs(times[:, None] % row.duration_seconds - row.frame_seconds).min(1) < 0.003
        shown = frames_at(row.frame_seconds, row.duration_seconds, times)
        numbers = [read_number(frame.transpose(1, 2, 0)) for frame in clip.transpose(1, 0, 2, 3)]
        assert [n for n, e in zip(numbers, edge, strict=True) if not e] == shown[~edge].tolist()


def test_containers_that_round_times_lose_no_frame(tmp_path, make_video, read_number):
    """Matroska counts in milliseconds; 30 frames a second then appear at 0, 33, 67, 100 and so on."""
    row = index([make_video(tmp_path / "ms.mkv", frames=31, rate=30)]).row(0)
    assert row.time_base.denominator == 1000
    for rate in (None, 30.0):
        clip = read_clips(row, asks(need(RGB, 31, 1), frames_per_second=rate), [0.0])[RGB][0]
        assert [read_number(frame.transpose(1, 2, 0)) for frame in clip.transpose(1, 0, 2, 3)] == list(range(31))


def test_a_clip_past_the_end_begins_again(row, read_number):
    clip = read_clips(row, asks(need(RGB, 8, 2)), [20 / 24])[RGB][0]
    assert [read_number(f.transpose(1, 2, 0)) for f in clip.transpose(1, 0, 2, 3)] == [20, 22, 0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("source", ["dis", "codec"])
def test_very_short_files_give_every_stream(tmp_path, make_video, frames, source):
    row = replace(index([make_video(tmp_path / "short.mp4", frames=frames)]).row(0), has_motion_vectors=True)
    clips = read_clips(row, asks(need(RGB), need(FLOW, source=source), need(EDGES, source=source), need(VECTORS)), [0.0])
    assert clips[FLOW].shape == (1, 2, 4, 48, 64)
    if frames == 1:
        assert not clips[FLOW].any()
        assert not clips[EDGES].any()
        assert not clips[VECTORS].any()


def test_flow_is_that_of_each_frame_and_its_native_neighbour(row):
    clips = read_clips(row, asks(need(FLOW, 6, 4), need(EDGES, 6, 4, formula="b", clamp=20)), [3 / 24])
    frames = decode_frames(row, range(24), 48, 64).frames
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    for t, first in enumerate([3, 7, 11, 15, 19, 22]):  # 23 is the last: it repeats the pair before
        flow = dis_flow(grey[first], grey[first + 1])
        np.testing.assert_array_equal(clips[FLOW][0, :, t], flow.astype(np.float16))
        np.testing.assert_array_equal(clips[EDGES][0, 0, t], flow_edges(flow, "b", 20.0))


def test_only_the_frames_that_count_are_decoded_in_one_go(row, decoded, monkeypatch):
    pairs = []
    monkeypatch.setattr(streams, "dis_flow", lambda before, after: pairs.append(1) or dis_flow(before, after))
    needs = asks(need(RGB, 2, 4), need(FLOW, 4, 2), need(EDGES, 4, 2))
    read_clips(row, needs, [0.0, 2 / 24, 20 / 24])
    # rgb 0 4 2 6 20 0; motion at 0 2 4 6, 2 4 6 8, 20 22 0 2
    assert decoded == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22, 23]]
    assert len(pairs) == 7


def test_rgb_alone_decodes_no_neighbour(row, decoded):
    read_clips(row, asks(need(RGB, 3, 5)), [0.0])
    assert decoded == [[0, 5, 10]]


def numbers(clip: np.ndarray, read_number) -> list[int]:
    return [read_number(frame.transpose(1, 2, 0)) for frame in clip.transpose(1, 0, 2, 3)]


def test_key_frames_are_those_the_decoder_calls_i_frames(numbered, read_number):
    """From the beginning of a clip and on through it; where a clip begins again, so do its key frames."""
    for row in numbered:
        types = decode_frames(row, range(row.frames), 48, 64).picture_types
        i_frames = [n for n in row.key_frames.tolist() if types[n] in ("I", "?")]
        assert i_frames == row.key_frames.tolist()
        assert row.codec in ("vp9", "mjpeg") or len(i_frames) == 4
        needs = asks(need(RGB, 5, 7), need(KEYS, 5, 7))
        for clip in (0, 5, 17, 33):
            start = float(np.append(row.frame_seconds, row.duration_seconds)[clip : clip + 2].mean())
            both = read_clips(row, needs, [start])
            wanted = [max(k for k in i_frames if k <= n) for n in numbers(both[RGB][0], read_number)]
            assert numbers(both[KEYS][0], read_number) == wanted


def test_key_frames_alone_are_decoded_alone(row, decoded, read_number):
    clips = read_clips(row, asks(need(KEYS, 3, 5)), [6 / 24, 13 / 24])[KEYS]
    assert decoded == [[0, 12]]  # 6 11 16, 13 18 23
    assert [numbers(clip, read_number) for clip in clips] == [[0, 0, 12], [12, 12, 12]]


def test_a_frame_before_the_first_key_frame_takes_that_one(row):
    late = replace(row, key_frames=np.array([7, 12], np.int32))
    assert key_frames_before(late, np.array([[0, 6], [7, 11], [12, 23]])).tolist() == [[7, 7], [7, 7], [12, 12]]
    none = replace(row, key_frames=np.zeros(0, np.int32))
    assert key_frames_before(none, np.arange(3)).tolist() == [0, 0, 0]


def moving(ground: np.ndarray, move: tuple[int, int]):
    return lambda n: np.roll(ground, (move[1] * n, move[0] * n), (0, 1))


@pytest.fixture(scope="module")
def ground() -> np.ndarray:
    noise = np.random.default_rng(5).integers(0, 256, (96, 128, 3), np.uint8)
    soft = cv2.GaussianBlur(np.tile(noise, (3, 3, 1)), (0, 0), 3)[96:192, 128:256].astype(float)
    return np.interp(soft, (soft.min(), soft.max()), (0, 255)).astype(np.uint8)


@pytest.mark.parametrize("source", ["dis", "codec"])
@pytest.mark.parametrize(("rotation", "flow"), [(0, (-3, -1)), (90, (1, -3)), (180, (3, 1)), (270, (-1, 3))])
def test_flow_follows_known_motion_through_resizing_and_rotation(tmp_path, make_video, ground, source, rotation, flow):
    clean = {"preset": "medium", "refs": "1"}
    path = make_video(
        tmp_path / "a.mp4", size=(128, 96), frames=8, rotation=rotation, options=clean, picture=moving(ground, (-3, -1))
    )
    row = index([path]).row(0)
    for short_side, fit, scale in ((96, "keep", (1, 1)), (48, "keep", (0.5, 0.5)), (48, "square", None)):
        needs = asks(need(FLOW, 8, 1, source=source), short_side=short_side, fit=fit)
        clip = read_clips(row, needs, [0.0])[FLOW][0].astype(np.float32)
        height, width = clip.shape[-2:]
        expected = np.array(flow) * (scale or (width / row.width, height / row.height))
        middle = clip[:, :, 8:-8, 8:-8]
        np.testing.assert_allclose(np.median(middle, (2, 3)).T, np.broadcast_to(expected, (8, 2)), atol=0.2)


@pytest.mark.parametrize("codec", ["hevc", "vp9", "mjpeg"])
def test_a_file_without_vectors_says_so(tmp_path, make_video, codec):
    row = index([make_video(tmp_path / "a.mkv", codec, frames=4)]).row(0)
    assert read_clips(row, asks(need(FLOW)), [0.0])[FLOW].shape == (1, 2, 4, 48, 64)
    for one in (need(VECTORS), need(FLOW, source="codec"), need(EDGES, source="codec")):
        with pytest.raises(DecodeError, match="no motion vectors"):
            read_clips(row, asks(one), [0.0])


def table(*rows: tuple[str, str, bool]) -> Index:
    status, codec, vectors = zip(*rows, strict=True)
    return Index(pa.table({"status": status, "codec": codec, "has_motion_vectors": vectors}))


def test_needs_that_no_file_meets_are_refused_before_the_start():
    files = table(("ok", "hevc", False), ("ok", "hevc", False), ("ok", "vp9", False), ("broken", "h264", False))
    check_needs(files, asks(need(RGB), need(EDGES)))
    check_needs(files, asks(need(RGB), need(KEYS)))  # every file has a first key frame
    with pytest.raises(ReelvecError) as error:
        check_needs(files, asks(need(RGB), need(EDGES, source="codec")))
    assert "flow_edges" in error.value.asked
    assert "3 of 3 files" in error.value.there
    assert "2 hevc, 1 vp9" in error.value.there
    assert "dis" in error.value.do


def test_needs_that_most_files_meet_leave_out_the_others():
    files = table(("ok", "h264", True), ("broken", "", False), ("ok", "hevc", False), ("ok", "mpeg4", True))
    codec = asks(need(VECTORS))
    check_needs(files, codec)
    assert rows_offering(files, codec).tolist() == [0, 3]
    assert rows_offering(files, asks(need(RGB))).tolist() == [0, 2, 3]
    with pytest.raises(ReelvecError, match="2 of 3 files"):
        check_needs(table(("ok", "h264", True), ("ok", "hevc", False), ("ok", "vp9", False)), codec)


def test_an_index_without_a_readable_video_is_refused():
    with pytest.raises(ReelvecError, match="no readable video"):
        check_needs(table(("broken", "", False)), asks(need(RGB)))
