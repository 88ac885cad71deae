import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reelvec.data import preparing
from reelvec.data.decode import decode_frames
from reelvec.data.index import VideoRow, index
from reelvec.data.preparing import (
    FlowEdgeSettings,
    NotPreparedError,
    Outcome,
    PrepareSettings,
    Task,
    part_of,
    prepare_file,
    prepare_video,
    prepared_size,
    writer_of_part,
)
from reelvec.data.probe import Row, probe

SMALL = PrepareSettings(short_side=32, gop=6)


def plain_row(path: Path) -> Row:
    """A row as it comes out of an index."""
    return index([path], workers=0).probed(0)


def prepare(path: Path, target: Path, chosen: PrepareSettings = SMALL) -> tuple[VideoRow, VideoRow, str]:
    """Rows of source and prepared file, and the remark."""
    remark = prepare_video(plain_row(path), str(target), chosen)
    return index([path], workers=0).row(0), index([target], workers=0).row(0), remark


def seconds(row: VideoRow) -> np.ndarray:
    """When each frame is shown, by the file's own clock."""
    return row.pts * float(row.time_base)


@pytest.mark.parametrize(
    ("suffix", "codec", "more"),
    [
        ("mp4", "h264", {"b_frames": 3}),
        ("mp4", "h264", {"b_frames": 2, "variable_rate": True}),
        ("mp4", "h264", {"first_tick": 7, "variable_rate": True}),
        ("mkv", "h264", {"rate": 30}),
        ("ts", "h264", {"b_frames": 2}),
        ("avi", "h264", {"b_frames": 2}),  # whose time stamps are in a wrong order
        ("mp4", "hevc", {"b_frames": 2}),
        ("avi", "mpeg4", {}),
        ("mp4", "mpeg4", {"b_frames": 1}),
        ("webm", "vp9", {"variable_rate": True}),
        ("avi", "mjpeg", {}),
        ("mkv", "mjpeg", {"size": (65, 49)}),
    ],
)
def test_frames_and_times_are_those_of_the_source(tmp_path, make_video, read_number, suffix, codec, more):
    path = make_video(tmp_path / f"a.{suffix}", codec, frames=29, **more)
    source, made, remark = prepare(path, tmp_path / "out" / "a.mp4")
    assert remark == ""
    assert made.frames == source.frames == 29
    assert made.codec == "h264"
    assert made.pts[0] == 0
    np.testing.assert_allclose(seconds(made), source.frame_seconds, rtol=0, atol=float(source.time_base) / 2)
    assert made.duration_seconds == pytest.approx(source.duration_seconds, abs=float(source.time_base))
    assert made.variable_rate == source.variable_rate
    decoded = decode_frames(made, range(29), made.height, made.width)
    assert [read_number(frame) for frame in decoded.frames] == list(range(29))
    assert made.key_frames.tolist() == [0, 6, 12, 18, 24]
    assert os.listdir(tmp_path / "out") == ["a.mp4"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    rate=st.sampled_from([10, 24, 25, 30, 50]),
    frames=st.integers(1, 12),
    first_tick=st.integers(0, 300),
    suffix=st.sampled_from(["mp4", "mkv"]),
)
def test_any_times_are_kept(tmp_path, make_video, steps, rate, frames, first_tick, suffix):
    path = make_video(
        tmp_path / f"a.{suffix}", frames=frames, rate=rate, variable_rate=steps, first_tick=first_tick, size=(32, 32)
    )
    source, made, remark = prepare(path, tmp_path / "b.mp4")
    assert (made.frames, remark) == (frames, "")
    np.testing.assert_allclose(seconds(made), source.frame_seconds, rtol=0, atol=float(source.time_base) / 2 + 1e-9)


def test_the_prepared_file_has_no_b_frames_and_refers_to_the_frame_before(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", frames=30, b_frames=3, options={"preset": "medium", "refs": "4"})
    _, made, _ = prepare(path, tmp_path / "b.mp4")
    decoded = decode_frames(made, range(30), made.height, made.width, vectors=True)
    assert made.has_motion_vectors
    assert decoded.picture_types == ["I" if n % 6 == 0 else "P" for n in range(30)]
    assert decoded.references is not None
    assert decoded.references.tolist() == [[n - 1 if n % 6 else -1, -1] for n in range(30)]
    assert all((v["source"] < 0).all() for v in decoded.vectors or [] if v is not None)
    with av.open(str(tmp_path / "b.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.has_b_frames == 0
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert b"ref=1 " in (tmp_path / "b.mp4").read_bytes()  # x264 writes down what it was told


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_video_is_turned_upright(tmp_path, make_video, rotation):
    picture = np.zeros((48, 96, 3), np.uint8)
    picture[:24, :48, 0] = 250  # red at the upper left, blue at the lower right
    picture[24:, 48:, 2] = 250
    path = make_video(tmp_path / "a.mp4", frames=4, size=(96, 48), rotation=rotation, picture=lambda n: picture)
    source, made, _ = prepare(path, tmp_path / "b.mp4")
    assert made.rotation_degrees == 0
    assert (made.width, made.height) == ((32, 64) if rotation % 180 else (64, 32))
    shown = decode_frames(source, [3], made.height, made.width).frames[0].astype(int)
    again = decode_frames(made, [3], made.height, made.width).frames[0].astype(int)
    assert np.abs(shown - again).mean() < 6
    corners = {90: (0, -1), 180: (-1, -1), 270: (-1, 0)}[rotation]
    assert again[corners[0], corners[1], 0] > 200


@pytest.mark.parametrize(("codec", "options"), [
    ("h264", {}), ("mjpeg", {}), ("h264", {"colorspace": "bt709"}), ("vp9", {}),
])  # fmt: skip
def test_colours_stay(tmp_path, make_video, codec, options):
    picture = np.kron(np.random.default_rng(0).integers(20, 236, (3, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    path = make_video(tmp_path / "a.mkv", codec, frames=3, picture=lambda n: picture, options=options)
    source, made, _ = prepare(path, tmp_path / "b.mp4", PrepareSettings(short_side=48, quality=10))
    one, other = (decode_frames(row, [1], 48, 64).frames.astype(int) for row in (source, made))
    inside = np.tile(np.arange(16) // 4 % 3 > 0, 4)  # away from the edges between patches
    difference = (one - other)[0][inside[:48]][:, inside]
    assert np.abs(difference.mean((0, 1))).max() < 2.5


@given(width=st.integers(1, 4000), height=st.integers(1, 4000), short_side=st.integers(8, 200).map(lambda half: 2 * half))
def test_sizes_are_even_never_larger_and_in_proportion(width, height, short_side):
    size = prepared_size(width, height, short_side)
    assert all(side % 2 == 0 and side >= 2 for side in size)
    assert all(side <= max(own, 2) for side, own in zip(size, (width, height), strict=True))
    own = min(width, height)
    assert min(size) == max(2, min(short_side, own // 2 * 2))
    assert abs(max(size) - max(width, height) * min(short_side, own) / own) <= 2


def sound_of(path: Path) -> tuple[float, np.ndarray, int]:
    """When sound begins after the first picture, its samples and their rate."""
    with av.open(str(path)) as container:
        picture, stream = container.streams.video[0], container.streams.audio[0]
        begin = next(container.decode(picture)).time
        container.seek(0)
        frames = list(container.decode(stream))
        return frames[0].time - begin, np.concatenate([f.to_ndarray()[0] for f in frames]), frames[0].sample_rate


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_is_kept_in_time_or_dropped(tmp_path, make_video, suffix):
    path = make_video(tmp_path / f"a.{suffix}", frames=48, audio=True)
    _, made, _ = prepare(path, tmp_path / "b.mp4")
    assert made.has_audio
    (begin, tone, rate), (begin_again, tone_again, rate_again) = sound_of(path), sound_of(tmp_path / "b.mp4")
    assert rate == rate_again == 16000
    middle, spectrum = slice(4000, 20000), lambda x: np.abs(np.fft.rfft(x))
    assert spectrum(tone[middle]).argmax() == spectrum(tone_again[middle]).argmax()
    assert abs(len(tone_again) - len(tone)) <= 2048
    assert begin_again == pytest.approx(begin, abs=0.07)  # an encoder's frame
    _, silent, _ = prepare(path, tmp_path / "c.mp4", SMALL.model_copy(update={"audio": "drop"}))
    assert not silent.has_audio
    assert silent.frames == made.frames == 48


def test_sound_that_cannot_be_carried_over_costs_the_sound_alone(tmp_path, make_video, monkeypatch):
    path = make_video(tmp_path / "a.mp4", frames=12, audio=True)

    def fail(track, frame):
        raise preparing._SoundError("two layouts in one stream")

    monkeypatch.setattr(preparing._SoundTrack, "_encode", fail)
    _, made, remark = prepare(path, tmp_path / "b.mp4")
    assert remark == "without its sound: two layouts in one stream"
    assert (made.frames, made.has_audio) == (12, False)


def test_what_decodes_counts_where_the_index_promised_more(tmp_path, small_video):
    row = plain_row(small_video)
    tick = row["pts"][1] - row["pts"][0]
    row["pts"] = [*row["pts"], row["pts"][-1] + tick]
    row["frames"], row["duration_seconds"] = 25, 25 / 24
    assert prepare_video(row, str(tmp_path / "a.mp4"), SMALL) == "24 of 25 frames decode"
    assert probe(str(tmp_path / "a.mp4"))["frames"] == 24


def damaged_in_the_middle(path: Path, target: Path) -> Path:
    content = bytearray(path.read_bytes())
    row = index([path], workers=0).row(0)
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][row.frames // 2]
        content[packet.pos + 4 : packet.pos + packet.size] = bytes(packet.size - 4)
    target.write_bytes(content)
    return target


def test_a_source_damaged_on_the_way_is_refused_with_the_place(tmp_path, make_video):
    noise = np.random.default_rng(0).integers(0, 255, (200, 48, 64, 3), np.uint8)
    good = make_video(tmp_path / "a.mp4", frames=200, picture=lambda n: noise[n])
    row = plain_row(good)
    row["path"] = str(damaged_in_the_middle(good, tmp_path / "b.mp4"))
    with pytest.raises(NotPreparedError, match="damaged"):
        prepare_video(row, str(tmp_path / "out" / "b.mp4"), SMALL)
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("wrong", ["frames", "times", "size"])
def test_a_result_that_differs_from_its_source_gets_no_name(tmp_path, small_video, monkeypatch, wrong):
    changes = {
        "frames": lambda row: {"frames": row["frames"] - 1},
        "times": lambda row: {"pts": row["pts"] + np.arange(24) * row["time_base_den"] // 1000},
        "size": lambda row: {"width": row["width"] + 2},
    }
    monkeypatch.setattr(preparing, "probe", lambda path: (row := probe(path)) | changes[wrong](row))
    with pytest.raises(NotPreparedError, match=r"reads? back"):
        prepare_video(plain_row(small_video), str(tmp_path / "out" / "a.mp4"), SMALL)
    assert os.listdir(tmp_path / "out") == []


def test_prepare_file_says_what_went_wrong_and_never_raises(tmp_path, small_video, monkeypatch):
    row = plain_row(small_video)
    task = Task(row, str(tmp_path / "a.mp4"), SMALL)
    assert prepare_file(task) == Outcome()
    gone = prepare_file(replace(task, row=row | {"path": str(tmp_path / "gone.mp4")}))
    assert "No such file" in gone.reason
    monkeypatch.setattr(preparing, "_encode", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert "No space left" in prepare_file(task).nowhere_to_write


def test_an_outcome_without_edges_keeps_the_video(tmp_path, small_video):
    row = plain_row(small_video) | {"has_motion_vectors": True}
    one_frame = row | {"pts": row["pts"][:1], "frames": 1}
    edges = FlowEdgeSettings(source="codec")
    outcome = prepare_file(Task(one_frame, str(tmp_path / "a.mp4"), SMALL, edges=edges))
    assert outcome.reason == outcome.remark == ""
    assert "no motion vectors" in outcome.flow_remark
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize(
    "wrong", [{"short_side": 127}, {"short_side": 0}, {"gop": 1}, {"quality": 0}, {"audio": "mute"}, {"crf": 20}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        PrepareSettings(**wrong)


def test_unfinished_files_carry_their_writer(tmp_path):
    part = part_of(str(tmp_path / "a.mp4"))
    assert writer_of_part(os.path.basename(part)) == os.getpid()
    for other in ("a.mp4", ".a.mp4", "a.part-12", ".a.part-x"):
        assert writer_of_part(other) is None


def test_odd_time_bases_are_kept(tmp_path, make_video):
    path = make_video(tmp_path / "a.avi", "mpeg4", frames=9, rate=Fraction(30000, 1001))
    source, made, _ = prepare(path, tmp_path / "b.mp4")
    assert source.time_base == Fraction(1001, 30000)
    np.testing.assert_array_equal(made.pts * made.time_base, source.pts * source.time_base - source.pts[0] * source.time_base)
