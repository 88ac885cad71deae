from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelvec.core import Needs, Stream, StreamNeed
from reelvec.data.index import VideoRow, index
from reelvec.data.motion_vectors import flow_grid, frames_to_try, grid_size
from reelvec.data.streams import read_clips

RECORD = np.dtype(
    [
        ("source", "i4"), ("w", "u1"), ("h", "u1"), ("src_x", "i2"), ("src_y", "i2"), ("dst_x", "i2"), ("dst_y", "i2"),
        ("flags", "u8"), ("motion_x", "i4"), ("motion_y", "i4"), ("motion_scale", "u2"),
    ]
)  # fmt: skip
"""FFmpeg's AVMotionVector; dst is the middle of the block"""


def block(x: int, y: int, width: int, height: int, motion: tuple[float, float], source: int = -1) -> np.ndarray:
    """One block with its top left corner at (x, y) and a vector in pixels, stored in quarters."""
    record = np.zeros(1, RECORD)
    record["source"], record["motion_scale"] = source, 4
    record["w"], record["h"], record["dst_x"], record["dst_y"] = width, height, x + width // 2, y + height // 2
    record["motion_x"], record["motion_y"] = 4 * motion[0], 4 * motion[1]
    return record


def everywhere(height: int, width: int, motion: tuple[float, float], source: int = -1) -> np.ndarray:
    places = [(x, y) for y in range(0, height, 16) for x in range(0, width, 16)]
    return np.concatenate([block(x, y, 16, 16, motion, source) for x, y in places])


def exact_grid(vectors, coded=(64, 64), rotation=0, delivered=None, distances=(1, 1)) -> np.ndarray:
    picture = np.zeros(delivered or coded, np.uint8)
    return flow_grid(vectors, coded, rotation, picture, picture, distances, distances_are_exact=True)


def video(frames: int, key_frames: list[int], codec: str = "h264") -> VideoRow:
    return VideoRow(
        row=0, path="/a.mp4", codec=codec, width=64, height=64, rotation_degrees=0, time_base=Fraction(1, 24),
        pts=np.arange(frames), key_frames=np.array(key_frames, np.int32), duration_seconds=frames / 24,
        frames_per_second=24.0, has_audio=False, has_motion_vectors=True, seeks_by_pts=True, status="ok", reason="",
    )  # fmt: skip


def test_a_block_covers_its_cells_and_flow_goes_against_the_vector():
    grid = exact_grid(np.concatenate([everywhere(64, 64, (0, 0)), block(16, 32, 16, 8, (-3, 1))]))
    # two blocks lie over one another there: their mean
    np.testing.assert_allclose(grid[:, 4, 2:4], [[1.5, 1.5], [-0.5, -0.5]])
    grid[:, 4, 2:4] = 0
    assert not grid.any()


def test_cells_without_a_block_take_the_mean_of_their_neighbours():
    grid = exact_grid(block(24, 24, 8, 8, (-3, 1)))
    np.testing.assert_allclose(grid[:, 2:5, 2:5], np.broadcast_to([[[3]], [[-1]]], (2, 3, 3)))
    grid[:, 2:5, 2:5] = 0
    assert not grid.any()


@pytest.mark.parametrize(
    ("vectors", "distances"),
    [
        (everywhere(64, 64, (-6, 2)), (2, 1)),
        (everywhere(64, 64, (9, -3), source=1), (1, 3)),
        (np.concatenate([everywhere(64, 64, (-6, 2)), everywhere(64, 64, (3, -1), source=1)]), (2, 1)),
    ],
    ids=["past", "future", "both"],
)
def test_sign_and_distance_of_the_reference_count(vectors, distances):
    grid = exact_grid(vectors, distances=distances)
    np.testing.assert_allclose(grid, np.broadcast_to([[[3]], [[-1]]], grid.shape), atol=1e-6)


@pytest.mark.parametrize(("rotation", "corner", "flow"), [
    (0, (0, 0), (3, 1)), (90, (0, -1), (-1, 3)), (180, (-1, -1), (-3, -1)), (270, (-1, 0), (1, -3)),
])  # fmt: skip
def test_place_and_direction_turn_with_the_picture(rotation, corner, flow):
    vectors = np.concatenate([everywhere(48, 96, (0, 0))[1:], block(0, 0, 16, 16, (-3, -1))])
    delivered = (96, 48) if rotation % 180 else (48, 96)
    grid = exact_grid(vectors, (48, 96), rotation, delivered)
    assert grid.shape == (2, *grid_size(*delivered))
    np.testing.assert_allclose(grid[:, corner[0], corner[1]], flow)
    assert np.count_nonzero(np.hypot(*grid)) == 4


@settings(max_examples=60)
@given(
    coded=st.tuples(st.integers(8, 200), st.integers(8, 200)),
    share=st.tuples(st.floats(0.2, 1.0), st.floats(0.2, 1.0)),
    rotation=st.sampled_from([0, 90, 180, 270]),
)
def test_values_scale_with_the_resize_at_any_size(coded, share, rotation):
    shown = coded[::-1] if rotation % 180 else coded
    delivered = max(1, round(shown[0] * share[0])), max(1, round(shown[1] * share[1]))
    grid = exact_grid(everywhere(*coded, (-4, 2)), coded, rotation, delivered)
    assert grid.shape == (2, *grid_size(*delivered))
    u, v = {0: (4, -2), 90: (2, 4), 180: (-4, 2), 270: (-2, -4)}[rotation]
    np.testing.assert_allclose(grid[0], u * delivered[1] / shown[1], rtol=1e-4)
    np.testing.assert_allclose(grid[1], v * delivered[0] / shown[0], rtol=1e-4)


def test_frames_that_stand_in_for_a_frame_without_vectors():
    row = video(24, [0, 12, 23])
    assert frames_to_try(row, 4) == [5]
    assert frames_to_try(row, 11) == [12, 13]
    assert frames_to_try(row, 22) == [23, 22]
    assert frames_to_try(replace(row, codec="mpeg4"), 4) == [5, 6, 7, 8, 4, 3, 2]
    assert frames_to_try(replace(row, codec="mpeg4"), 23) == [23, 22, 21, 20]
    assert frames_to_try(video(2, [0, 1]), 0) == [1]
    assert frames_to_try(video(1, [0]), 0) == []


def texture(height: int, width: int) -> np.ndarray:
    """Smooth random picture whose edges meet, so that it can be rolled."""
    noise = np.random.default_rng(3).standard_normal((height, width, 3))
    squared_frequency = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.fftfreq(width)[None] ** 2
    smooth = np.fft.ifft2(np.fft.fft2(noise, axes=(0, 1)) * np.exp(-80 * squared_frequency)[..., None], axes=(0, 1)).real
    return np.interp(smooth, (smooth.min(), smooth.max()), (0, 255)).astype(np.uint8)


def read_grids(path, short_side: int, frames: int) -> np.ndarray:
    """Vectors of the first frames of a file (t 2 gh gw)."""
    need = StreamNeed(stream=Stream.MOTION_VECTORS, frames=frames, stride=1)
    clips = read_clips(index([path]).row(0), Needs(streams=(need,), short_side=short_side), [0.0])
    return clips[Stream.MOTION_VECTORS][0].transpose(1, 0, 2, 3).astype(np.float32)


CLEAN = {"preset": "medium", "refs": "1"}
PYRAMID = {"preset": "medium", "refs": "3"}


@pytest.mark.parametrize(
    ("codec", "b_frames", "gop", "options", "tolerance"),
    [
        ("h264", 0, 10, CLEAN, 0.1),
        ("h264", 0, 10, {"preset": "medium", "refs": "4"}, 0.15),
        ("h264", 3, 10, PYRAMID, 0.25),
        ("h264", 2, 10, PYRAMID | {"x264-params": "b-pyramid=none"}, 0.25),
        ("mpeg4", 0, 10, {}, 0.1),
        ("mpeg4", 2, 16, {}, 0.25),
    ],
)
@pytest.mark.parametrize("move", [(-3, -1), (2, -2)])
def test_known_motion_comes_out_of_real_files(tmp_path, make_video, codec, b_frames, gop, options, tolerance, move):
    ground = texture(96, 128)
    path = make_video(
        tmp_path / "pan.mp4", codec, frames=16, size=(128, 96), gop=gop, b_frames=b_frames, options=options,
        picture=lambda n: np.roll(ground, (move[1] * n, move[0] * n), (0, 1)),
    )  # fmt: skip
    full, half = read_grids(path, 96, 16), read_grids(path, 48, 16)
    # the pictures' edges are where new content comes in; key frames (0 and 10) and the last frame are filled
    for grids, scale in ((full, 1), (half, 0.5)):
        medians = np.median(grids[:, :, 1:-1, 1:-1], (2, 3))
        np.testing.assert_allclose(medians, np.broadcast_to(np.array(move) * scale, medians.shape), atol=tolerance)


@pytest.mark.parametrize(("rotation", "flow"), [(90, (1, -3)), (180, (3, 1)), (270, (-1, 3))])
def test_known_motion_turns_with_a_rotated_file(tmp_path, make_video, rotation, flow):
    ground = texture(96, 128)
    path = make_video(
        tmp_path / "turned.mp4", frames=8, size=(128, 96), rotation=rotation, options=CLEAN,
        picture=lambda n: np.roll(ground, (-n, -3 * n), (0, 1)),
    )  # fmt: skip
    grids = read_grids(path, 96, 8)
    assert grids.shape[2:] == ((16, 12) if rotation % 180 else (12, 16))
    np.testing.assert_allclose(np.median(grids, (0, 2, 3)), flow, atol=0.1)
