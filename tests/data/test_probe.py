import hashlib
import os

import av
import numpy as np
import pytest

from reelvec.data import probe as probe_module
from reelvec.data.probe import content_hash, probe


def noisy(number: int) -> np.ndarray:
    """A still texture under fresh noise: large packets, and no cuts at which an encoder would add key frames."""
    still, fresh = (np.random.default_rng(seed).integers(0, 255, (96, 128, 3)) for seed in (0, number + 1))
    return (still * 3 // 4 + fresh // 4).astype(np.uint8)


def damage(path, frame: int) -> None:
    """Write noise from the middle of a packet into the middle of the next."""
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, end = (where + size // 2 for where, size in packets[frame : frame + 2])
    content = bytearray(path.read_bytes())
    content[start:end] = np.random.default_rng(0).bytes(end - start)
    path.write_bytes(content)


def test_row_of_a_plain_file(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=30, size=(64, 48), rate=24, gop=12, audio=True)
    row = probe(str(path))
    pts = np.asarray(row["pts"])
    assert (row["status"], row["reason"]) == ("ok", "")
    assert (row["codec"], row["pixel_format"], row["width"], row["height"]) == ("h264", "yuv420p", 64, 48)
    assert row["size_bytes"] == path.stat().st_size
    assert row["content_hash"] == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert row["has_audio"]
    assert row["has_motion_vectors"]
    assert not row["variable_rate"]
    assert row["frames"] == len(pts) == 30
    np.testing.assert_allclose((pts - pts[0]) * row["time_base_num"] / row["time_base_den"], np.arange(30) / 24)
    assert list(row["key_frames"]) == [0, 12, 24]
    assert row["duration_seconds"] == pytest.approx(30 / 24)
    assert row["frames_per_second"] == pytest.approx(24)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_of_a_variable_rate(make_video, tmp_path, suffix):
    steps = [1, 2, 5, 3]
    row = probe(str(make_video(tmp_path / f"v{suffix}", frames=20, rate=25, b_frames=2, variable_rate=steps)))
    seconds = np.asarray(row["pts"]) * row["time_base_num"] / row["time_base_den"]
    expected = np.cumsum([0, *(steps * 5)[:19]]) / 100
    np.testing.assert_allclose(seconds - seconds[0], expected, atol=0.001)  # Matroska counts milliseconds
    assert row["variable_rate"]
    assert row["duration_seconds"] > expected[-1]


def test_constant_rate_rounded_to_milliseconds_is_not_variable(make_video, tmp_path):
    assert not probe(str(make_video(tmp_path / "c.mkv", rate=24)))["variable_rate"]


def test_one_frame(make_video, tmp_path):
    row = probe(str(make_video(tmp_path / "one.mp4", frames=1, rate=25)))
    assert (row["status"], row["frames"]) == ("ok", 1)
    assert row["duration_seconds"] == pytest.approx(0.04)


def test_pixels_that_are_not_square_are_made_square(tmp_path):
    with av.open(str(tmp_path / "wide.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())
    row = probe(str(tmp_path / "wide.mp4"))
    assert (row["width"], row["height"]) == (128, 48)


@pytest.mark.parametrize(
    ("codec", "offers"), [("h264", True), ("mpeg4", True), ("hevc", False), ("vp9", False), ("mjpeg", False)]
)
def test_vectors_are_really_tried(make_video, tmp_path, codec, offers):
    row = probe(str(make_video(tmp_path / "m.mkv", codec=codec)))
    assert row["has_motion_vectors"] == offers
    # H.264 of key frames alone has none, whatever the codec can do
    assert not probe(str(make_video(tmp_path / "keys.mp4", gop=1)))["has_motion_vectors"]


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("empty.mp4", "broken", "0 bytes"),
        ("text.mp4", "broken", "cannot be opened"),
        ("cut.mp4", "broken", "cut off"),
        ("folder.mp4", "not_video", "a folder"),
        ("pipe.mp4", "not_video", "pipe"),
        ("gone.mp4", "broken", "no such file"),
        ("sound.mp4", "not_video", "sound but no picture"),
    ],
)
def test_what_is_no_video_says_so(small_video, tmp_path, name, status, reason):
    path = tmp_path / name
    if name == "empty.mp4":
        path.touch()
    elif name == "text.mp4":
        path.write_text("not a video at all\n" * 50)
    elif name == "cut.mp4":
        path.write_bytes(small_video.read_bytes()[: small_video.stat().st_size // 2])
    elif name == "folder.mp4":
        path.mkdir()
    elif name == "pipe.mp4":
        os.mkfifo(path)  # opening it would wait for ever
    elif name == "sound.mp4":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    row = probe(str(path))
    assert row["status"] == status
    assert reason in row["reason"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission(make_video, tmp_path):
    path = make_video(tmp_path / "locked.mp4")
    path.chmod(0)
    assert probe(str(path))["reason"] == "no permission to read it"


def test_a_name_that_is_not_utf8_is_named(small_video, tmp_path):
    odd = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    with open(odd, "wb") as file:
        file.write(small_video.read_bytes())
    row = probe(os.fsdecode(odd))
    assert row["path"].endswith("caf\\xe9.mp4")
    assert "UTF-8" in row["reason"]


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg4", "mjpeg"])
@pytest.mark.parametrize("frame", [2, 55, 142])
def test_noise_inside_is_found_where_the_sample_meets_it(make_video, tmp_path, codec, frame):
    """Key frames at 0, 50 and 100: decoded are 0-15, 50-65 and 100-149; of MJPEG 75-90 and 134-149."""
    path = make_video(tmp_path / "n.mp4", codec=codec, frames=150, size=(128, 96), gop=50, b_frames=2, picture=noisy)
    assert probe(str(path))["status"] == "ok"
    damage(path, 80 if codec == "mjpeg" and frame == 55 else frame)
    row = probe(str(path))
    assert row["status"] == "broken"
    assert "damaged at" in row["reason"]


def test_noise_in_an_avi_file(make_video, tmp_path):
    """Its demuxer loses packets without a word."""
    path = make_video(tmp_path / "n.avi", codec="mpeg4", frames=60, size=(128, 96), picture=noisy)
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 20_000] = np.random.default_rng(0).bytes(20_000)
    path.write_bytes(content)
    assert probe(str(path))["status"] == "broken"


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_file_cut_short_behind_its_table_of_contents(make_video, tmp_path, codec):
    whole = make_video(tmp_path / "whole.mp4", codec=codec, frames=60, size=(128, 96), picture=noisy)
    fast = tmp_path / "fast.mp4"
    with av.open(str(whole)) as source, av.open(str(fast), "w", options={"movflags": "+faststart"}) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    fast.write_bytes(fast.read_bytes()[: fast.stat().st_size * 6 // 10])
    row = probe(str(fast))
    assert row["status"] == "broken"
    assert "of the 2.50 promised seconds are there" in row["reason"]


def test_what_a_cut_matroska_file_still_holds_can_be_used(make_video, tmp_path):
    path = make_video(tmp_path / "cut.mkv", frames=60, size=(128, 96), picture=noisy)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    row = probe(str(path))
    assert row["status"] == "ok"
    assert 20 < row["frames"] < 40
    assert "ends early" in row["reason"]


def test_a_transport_stream_that_begins_in_the_middle(make_video, tmp_path):
    """What stands before the first key frame cannot be shown, and is not listed."""
    whole = make_video(tmp_path / "whole.ts", frames=60, gop=20, size=(128, 96), picture=noisy)
    late = tmp_path / "late.ts"
    late.write_bytes(whole.read_bytes()[whole.stat().st_size // 6 // 188 * 188 :])
    row = probe(str(late))
    assert row["status"] == "ok"
    assert row["frames"] == 40


def test_titles_in_other_encodings_do_no_harm(make_video, tmp_path):
    path = make_video(tmp_path / "t.avi", codec="mpeg4")
    content = path.read_bytes()
    assert b"Lavf" in content
    path.write_bytes(content.replace(b"Lavf", b"\xe9\xe8\xff\xfe"))
    assert probe(str(path))["status"] == "ok"


def test_large_files_are_hashed_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(probe_module, "_HASHED_WHOLE", 1000)
    monkeypatch.setattr(probe_module, "_HASHED_PART", 100)
    path = tmp_path / "large"
    content = bytearray(np.random.default_rng(0).bytes(2000))
    path.write_bytes(content)
    first = content_hash(str(path))
    assert first.startswith("sha256-parts:")
    for position, seen in ((50, True), (1000, True), (1999, True), (500, False)):
        other = content.copy()
        other[position] ^= 1
        path.write_bytes(other)
        assert (content_hash(str(path)) != first) == seen
    path.write_bytes(content + content[-1:])
    assert content_hash(str(path)) != first
