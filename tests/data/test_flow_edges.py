import math

import numpy as np
import pytest

from reelvec.data.flow_edges import flow_edges

KERNEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]


def slow_sobel(image: np.ndarray, y: int, x: int) -> tuple[float, float]:
    """Sobel derivatives of one pixel, written out; beyond the border stands the nearest pixel."""
    height, width = image.shape
    across = down = 0.0
    for dy in range(3):
        for dx in range(3):
            value = float(image[min(max(y + dy - 1, 0), height - 1), min(max(x + dx - 1, 0), width - 1)])
            across += KERNEL[dy][dx] * value
            down += KERNEL[dx][dy] * value
    return across, down


def slow_edges(flow: np.ndarray, formula: str, clamp: float) -> np.ndarray:
    """The card's section 3, pixel by pixel: scale to a short side of 256, then clamp."""
    _, height, width = flow.shape
    edges = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            if formula == "a":
                sobel = slow_sobel(np.sqrt(flow[0] ** 2 + flow[1] ** 2), y, x)
            else:
                sobel = slow_sobel(flow[0], y, x) + slow_sobel(flow[1], y, x)
            edge = math.sqrt(sum(part**2 for part in sobel)) * 256 / min(height, width)
            edges[y, x] = min(edge, clamp) / clamp * 255
    return edges


@pytest.mark.parametrize("formula", ["a", "b"])
@pytest.mark.parametrize(("height", "width", "clamp"), [(9, 14, 10.0), (16, 7, 200.0), (1, 5, 300.0), (24, 24, 40.0)])
def test_edges_equal_the_formula_written_out(formula, height, width, clamp):
    flow = np.random.default_rng(height).normal(0, 0.5, (2, height, width)).astype(np.float32)
    expected = slow_edges(flow, formula, clamp)
    edges = flow_edges(flow, formula, clamp)
    assert edges.dtype == np.uint8
    # rounded to whole levels, and float32 may fall on the other side of a half
    np.testing.assert_allclose(edges, expected, atol=0.501)


@pytest.mark.parametrize("formula", ["a", "b"])
def test_a_camera_that_pans_leaves_no_edge(formula):
    flow = np.ones((2, 12, 20), np.float32) * np.array([3, -7], np.float32)[:, None, None]
    assert not flow_edges(flow, formula).any()


def test_only_formula_b_sees_a_turn_at_the_same_speed():
    flow = np.zeros((2, 16, 16), np.float32)
    flow[0, :, :8], flow[0, :, 8:] = 2, -2
    assert not flow_edges(flow, "a").any()
    assert flow_edges(flow, "b")[:, 7:9].all()


def test_the_clamp_counts_at_a_short_side_of_256():
    def step(side: int, height: float) -> np.ndarray:
        flow = np.zeros((2, side, 2 * side), np.float32)
        flow[0, :, side:] = height
        return flow

    # a step of 1 is 4 under Sobel's kernel, and four times that from 64 to 256
    assert flow_edges(step(64, 1.0), clamp=32.0).max() == 128
    assert flow_edges(step(256, 4.0), clamp=32.0).max() == 128
    assert flow_edges(step(64, 100.0), clamp=32.0).max() == 255
