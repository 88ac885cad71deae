"""Random access must equal decoding from the first frame on, for every codec and every oddity of time and shape."""

import os
import pickle
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelvec.data.decode import Decoded, DecodeError, _Order, decode_frames
from reelvec.data.index import VideoRow, index

FRAMES = 40
X264 = {"preset": "medium"}
CASES = {
    "h264": {"gop": 7},
    "h264_all_keys": {"gop": 1},
    "h264_one_key": {"gop": 100, "b_frames": 2},
    "h264_b": {"gop": 9, "b_frames": 2},
    "h264_pyramid": {"gop": 10, "b_frames": 3, "options": X264 | {"x264-params": "b-pyramid=normal:ref=3:b-adapt=0"}},
    "h264_tiny_groups": {"gop": 3, "b_frames": 2, "options": {"x264-params": "scenecut=0:b-adapt=0"}},
    "h264_open_groups": {
        "gop": 8,
        "b_frames": 2,
        "suffix": ".mkv",
        "options": {"x264-params": "open-gop=1:min-keyint=8:b-adapt=0"},
    },
    "h264_open_groups_mp4": {"gop": 8, "b_frames": 2, "options": {"x264-params": "open-gop=1:min-keyint=8:b-adapt=0"}},
    "h264_intra_refresh": {"gop": 10, "suffix": ".ts", "options": {"x264-params": "intra-refresh=1"}},
    "h264_ts": {"gop": 9, "b_frames": 2, "suffix": ".ts"},
    "h264_variable": {"gop": 9, "b_frames": 2, "variable_rate": True},
    "h264_variable_mkv": {"gop": 9, "variable_rate": True, "suffix": ".mkv"},
    "h264_odd": {"gop": 9, "b_frames": 2, "size": (65, 49)},
    "h264_portrait": {"gop": 9, "b_frames": 2, "rotation": 90},
    "h264_upside_down": {"gop": 9, "rotation": 180},
    "h264_portrait_odd": {"gop": 9, "rotation": 270, "size": (71, 53), "variable_rate": True},
    "h264_cut_by_edit_list": {"gop": 12, "b_frames": 2, "first_tick": -17},
    "h264_late_start": {"gop": 9, "b_frames": 2, "first_tick": 100},
    "h264_b_avi": {"gop": 9, "b_frames": 2, "suffix": ".avi"},  # time stamps in a wrong order
    "hevc": {"codec": "hevc", "gop": 9},
    "hevc_b": {"codec": "hevc", "gop": 9, "b_frames": 3},
    "hevc_open_groups": {
        "codec": "hevc",
        "gop": 9,
        "options": {"x265-params": "log-level=none:open-gop=1:bframes=3:b-adapt=0"},
    },
    "hevc_variable_odd": {"codec": "hevc", "gop": 9, "variable_rate": True, "size": (65, 49), "suffix": ".mkv"},
    "mpeg4": {"codec": "mpeg4", "gop": 9},
    "mpeg4_b": {"codec": "mpeg4", "gop": 9, "b_frames": 2},
    "mpeg4_avi": {"codec": "mpeg4", "gop": 9, "suffix": ".avi", "size": (65, 49)},
    "mpeg4_b_avi": {"codec": "mpeg4", "gop": 9, "b_frames": 2, "suffix": ".avi"},
    "vp9": {"codec": "vp9", "gop": 9},
    "vp9_variable_odd": {"codec": "vp9", "gop": 9, "suffix": ".webm", "variable_rate": True, "size": (65, 49)},
    "mjpeg": {"codec": "mjpeg", "suffix": ".avi"},
    "mjpeg_variable_odd": {"codec": "mjpeg", "suffix": ".mkv", "variable_rate": True, "size": (65, 49)},
}


@pytest.fixture(scope="module")
def case(make_video, tmp_path_factory):
    """A function: name of a case -> its row and all frames as plain sequential decoding gives them, upright."""
    folder = tmp_path_factory.mktemp("cases")

    @cache
    def make(name: str) -> tuple[VideoRow, np.ndarray]:
        settings = dict(CASES[name])
        path = make_video(folder / f"{name}{settings.pop('suffix', '.mp4')}", frames=FRAMES, **settings)
        row = index(path, workers=0).row(0)
        with av.open(str(path)) as container:
            frames = [f.to_ndarray(format="rgb24", interpolation="AREA") for f in container.decode(video=0)]
        return row, np.stack([np.rot90(f, -settings.get("rotation", 0) // 90) for f in frames])

    return make


def same(row: VideoRow, sequential: np.ndarray, wanted: list[int]) -> Decoded:
    decoded = decode_frames(row, wanted, row.height, row.width)
    assert decoded.frames.dtype == np.uint8
    np.testing.assert_array_equal(decoded.frames, sequential[wanted])
    return decoded


@pytest.mark.parametrize("name", CASES)
def test_every_frame_alone_equals_sequential_decoding(case, name):
    row, sequential = case(name)
    assert row.status == "ok"
    assert row.frames == len(sequential)
    assert sequential.shape[1:3] == (row.height, row.width)
    for n in range(row.frames):
        same(row, sequential, [n])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(CASES)), shares=st.lists(st.floats(0, 0.999), min_size=1, max_size=8), vectors=st.booleans())
def test_any_frames_in_any_order_equal_sequential_decoding(case, name, shares, vectors):
    row, sequential = case(name)
    wanted = [int(share * row.frames) for share in shares]
    same(row, sequential, wanted)
    # exporting vectors changes nothing in the pictures
    np.testing.assert_array_equal(decode_frames(row, wanted, row.height, row.width, vectors=vectors).frames, sequential[wanted])


@pytest.mark.parametrize("name", [n for n in CASES if "rotation" not in CASES[n] and n != "h264_cut_by_edit_list"])
def test_frames_carry_the_number_they_were_made_with(case, read_number, name):
    row, _ = case(name)
    wanted = list(range(row.frames - 1, -1, -3))
    decoded = decode_frames(row, wanted, row.height, row.width)
    offset = FRAMES - row.frames  # a transport stream of rolling refreshes starts where the picture is whole
    assert [read_number(picture) - offset for picture in decoded.frames] == wanted


def test_edit_list_hides_the_frames_before_zero(case, read_number):
    row, _ = case("h264_cut_by_edit_list")
    assert row.frames < FRAMES
    decoded = decode_frames(row, range(row.frames), row.height, row.width)
    assert [read_number(p) for p in decoded.frames] == list(range(FRAMES - row.frames, FRAMES))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_clockwise(make_video, tmp_path, degrees):
    """A picture with a bright top left corner, turned clockwise, has it at the top right, bottom right, bottom left."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :16] = 255
    row = index(make_video(tmp_path / "turned.mp4", frames=2, rotation=degrees, picture=lambda n: picture), workers=0).row(0)
    assert row.rotation_degrees == degrees
    assert (row.width, row.height) == ((64, 48) if degrees == 180 else (48, 64))
    shown = decode_frames(row, [1], row.height, row.width).frames[0].mean(2)
    corner = {90: shown[:12, -12:], 180: shown[-12:, -12:], 270: shown[-12:, :12]}[degrees]
    assert corner.mean() > 200
    assert shown.mean() < 60


@pytest.mark.parametrize("rotation", [0, 90])
def test_delivered_size_is_the_displayed_one_and_shrinking_takes_means(make_video, tmp_path, rotation):
    checks = (np.indices((96, 128)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    video = make_video(tmp_path / "a.mp4", frames=2, size=(128, 96), rotation=rotation, picture=lambda n: checks)
    height, width = (24, 32) if rotation == 0 else (32, 24)
    frames = decode_frames(index(video, workers=0).row(0), [0, 1], height, width).frames
    assert frames.shape == (2, height, width, 3)
    # picking single pixels of a chequerboard would give black or white
    assert np.abs(frames.astype(int) - 127).max() < 40


def moving(rng_seed: int, u: int, v: int):
    """Pictures of a texture that moves by (u, v) pixels a frame."""
    texture = np.random.default_rng(rng_seed).integers(0, 255, (64, 64, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    return lambda n: np.ascontiguousarray(np.roll(texture, (n * v, n * u), (0, 1))[:96, :128])


@pytest.mark.parametrize(("codec", "options"), [("h264", {"x264-params": "ref=1"}), ("mpeg4", {})])
def test_vectors_point_back_along_the_motion(make_video, tmp_path, codec, options):
    video = make_video(
        tmp_path / "m.mp4", codec=codec, options=options, size=(128, 96), frames=10, picture=moving(0, 3, 1), gop=100
    )
    row = index(video, workers=0).row(0)
    assert row.has_motion_vectors
    decoded = decode_frames(row, [0, 4, 5], 48, 64, vectors=True)
    assert decoded.picture_types == ["I", "P", "P"]
    assert decoded.coded_size == (96, 128)
    assert decoded.references.tolist() == [[-1, -1], [3, -1], [4, -1]]
    assert decoded.vectors[0] is None
    for vectors in decoded.vectors[1:]:
        uv = np.stack([vectors["motion_x"], vectors["motion_y"]]) / vectors["motion_scale"]
        np.testing.assert_allclose(np.median(uv, axis=1), [-3, -1], atol=0.3)  # from here to where the block was


@pytest.mark.parametrize("pyramid", ["none", "normal"])
def test_vectors_of_b_frames_span_their_references(make_video, tmp_path, pyramid):
    """Vectors divided by the distance to the reference are the motion a frame, forwards and backwards."""
    options = X264 | {"x264-params": f"ref=1:b-adapt=0:weightb=0:b-pyramid={pyramid}"}
    settings = {"size": (128, 96), "frames": 16, "gop": 100, "picture": moving(1, 2, 1)}
    row = index(make_video(tmp_path / "b.mp4", b_frames=3, options=options, **settings), workers=0).row(0)
    wanted = list(range(1, 12))
    decoded = decode_frames(row, wanted, 96, 128, vectors=True)
    compared = 0
    for n, kind, vectors, (past, future) in zip(
        wanted, decoded.picture_types, decoded.vectors, decoded.references.tolist(), strict=True
    ):
        assert past < n
        assert (kind == "B") == (future > n)
        for reference, from_there in ((past, vectors["source"] < 0), (future, vectors["source"] > 0)):
            if from_there.sum() > 16:
                compared += 1
                assert np.median((vectors["motion_x"] / vectors["motion_scale"])[from_there]) / (reference - n) == 2
    assert compared > 12


def test_b_frames_of_mpeg4_have_no_vectors_as_ffmpeg_writes_zeros(make_video, tmp_path):
    video = make_video(tmp_path / "b.mp4", codec="mpeg4", b_frames=2, size=(128, 96), picture=moving(1, 2, 1), gop=100)
    decoded = decode_frames(index(video, workers=0).row(0), range(1, 10), 96, 128, vectors=True)
    assert [v is None for v in decoded.vectors] == [kind == "B" for kind in decoded.picture_types]


def test_nearest_references_follow_the_order_of_decoding():
    """I0 P4 B2 B1 B3 P8 B6: a B picture decoded before one shown earlier is a reference, but not of what came before it."""
    order = _Order(0)
    for number in (0, 4, 2, 1, 3, 8, 6, 5, 7):
        order.feed(number)
    shown = [order.show(n, t) for n, t in enumerate("IBBBPBBBP")]
    assert shown == [(-1, -1), (0, 2), (0, 4), (2, 4), (0, -1), (4, 6), (4, 8), (6, 8), (4, -1)]


def test_codecs_without_vectors_give_none(case):
    row, _ = case("hevc_b")
    assert not row.has_motion_vectors
    assert decode_frames(row, [3, 4], 48, 64, vectors=True).vectors == [None, None]


def test_numbers_out_of_range_are_refused(case):
    row, _ = case("h264")
    for wanted in ([], [-1], [FRAMES]):
        with pytest.raises(IndexError, match="h264"):
            decode_frames(row, wanted, 48, 64)


def test_a_file_that_changed_or_went_away_is_a_decode_error(case, tmp_path):
    row, _ = case("h264")
    gone = VideoRow(**{**vars(row), "path": str(tmp_path / "gone.mp4")})
    with pytest.raises(DecodeError, match="No such file") as caught:
        decode_frames(gone, [0], 48, 64)
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(os.urandom(4096))
    with pytest.raises(DecodeError):
        decode_frames(VideoRow(**{**vars(row), "path": str(noise)}), [0], 48, 64)


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg4", "mjpeg"])
def test_damage_on_the_way_is_an_error_and_before_it_frames_are_exact(make_video, tmp_path, codec):
    video = make_video(tmp_path / f"{codec}.mp4", codec=codec, frames=60, size=(128, 96), gop=30, picture=moving(2, 3, 1))
    row = index(video, workers=0).row(0)
    with av.open(str(video)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        where, size = packets[40].pos, packets[40].size
    clean = decode_frames(row, [5, 35], 96, 128).frames
    content = bytearray(video.read_bytes())
    content[where : where + size] = np.random.default_rng(0).bytes(size)
    video.write_bytes(content)
    with pytest.raises(DecodeError, match=r"frame (40|5\d) of 60"):
        decode_frames(row, [40] if codec == "mjpeg" else [40, 55], 96, 128)
    np.testing.assert_array_equal(decode_frames(row, [5, 35], 96, 128).frames, clean)


def test_opening_many_times_keeps_neither_files_nor_memory(case):
    row, _ = case("h264_b")

    def resident_megabytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def rounds(many: int) -> None:
        for n in range(many):
            decode_frames(row, [n % FRAMES, (7 * n) % FRAMES], 48, 64, vectors=True)

    rounds(60)
    files, before = len(os.listdir("/proc/self/fd")), resident_megabytes()
    rounds(200)
    assert len(os.listdir("/proc/self/fd")) == files
    assert resident_megabytes() - before < 20
