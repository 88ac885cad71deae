import cv2
import numpy as np
import pytest

from reelvec.data.flow import dis_flow, flow_from_grid


def texture(height: int, width: int, seed: int = 0, softness: float = 1.5) -> np.ndarray:
    """Smooth random grey picture whose edges meet, so that it can be rolled."""
    noise = np.random.default_rng(seed).standard_normal((height, width))
    squared_frequency = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.fftfreq(width)[None] ** 2
    smooth = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-2 * (np.pi * softness) ** 2 * squared_frequency)).real
    return np.interp(smooth, (smooth.min(), smooth.max()), (0, 255)).astype(np.uint8)


def disc(side: int, diameter: int, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """A textured disc over a textured ground: picture and mask."""
    rows, columns = np.mgrid[:diameter, :diameter] - (diameter - 1) / 2
    place = np.array([[1, 0, x], [0, 1, y]], np.float32)
    mask = cv2.warpAffine((np.hypot(rows, columns) < diameter / 2).astype(np.float32), place, (side, side))
    front = cv2.warpAffine(texture(diameter, diameter, 1), place, (side, side))
    return (texture(side, side, 2) * (1 - mask) + front * mask).astype(np.uint8), mask > 0.5


@pytest.mark.parametrize(("height", "width"), [(24, 32), (24, 200), (48, 64), (72, 72), (100, 60), (256, 300)])
@pytest.mark.parametrize("move", [(3, 1), (-2, 1), (0, -2)])
def test_a_moved_texture_gives_its_move(height, width, move):
    before = texture(height, width)
    after = np.roll(before, (move[1], move[0]), (0, 1))
    flow = dis_flow(before, after)
    assert flow.shape == (2, height, width)
    np.testing.assert_allclose(np.median(flow[:, 4:-4, 4:-4], (1, 2)), move, atol=0.15)


@pytest.mark.parametrize(("side", "diameter", "worst"), [(64, 14, 0.6), (72, 16, 0.5), (128, 28, 0.4)])
def test_a_small_sprite_is_seen(side, diameter, worst):
    """OpenCV's presets stop at half or quarter size, where such a disc loses half of its flow (error 0.7 to 0.9)."""
    errors = []
    for angle in np.linspace(0, 2 * np.pi, 6, endpoint=False):
        move = 1.5 * np.array([np.cos(angle), np.sin(angle)])
        place = np.array([0.35, 0.35]) * side
        before, mask = disc(side, diameter, *place)
        after, _ = disc(side, diameter, *(place + move))
        errors.append(np.hypot(*(dis_flow(before, after) - move[:, None, None]))[mask].mean())
    assert np.mean(errors) < worst


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (2, 5), (8, 8), (12, 48), (15, 400), (17, 8)])
def test_tiny_pictures_do_not_break_opencv(height, width):
    flow = dis_flow(texture(height, width), texture(height, width, 1))
    assert flow.shape == (2, height, width)
    assert np.isfinite(flow).all()


def test_a_pair_gives_the_same_whatever_came_before():
    """OpenCV's object changes its own settings on a picture too small for them, and splits its work by threads."""
    before, after = texture(72, 72), np.roll(texture(72, 72), 2, 1)
    first = dis_flow(before, after)
    dis_flow(texture(16, 40), texture(16, 40, 1))
    dis_flow(texture(300, 300), texture(300, 300, 1))
    cv2.setNumThreads(3)
    np.testing.assert_array_equal(dis_flow(before, after), first)


def test_a_grid_drawn_large_keeps_its_values():
    grid = np.empty((2, 4, 6), np.float32)
    grid[0], grid[1] = 3, -1
    large = flow_from_grid(grid, 30, 41)
    assert large.shape == (2, 30, 41)
    np.testing.assert_allclose(large[0], 3)
    np.testing.assert_allclose(large[1], -1)
