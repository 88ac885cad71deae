import math

import numpy as np
import pytest

from reelvec.evals.dense.region_metrics import (
    boundary,
    boundary_accuracy,
    confusion,
    mean_iou,
    over_time,
    region_similarity,
)


def disc(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """A disc that walks, and an ellipse that falls behind it."""
    y, x = np.mgrid[:96, :160]
    truth = (x - 40 - 2 * frame) ** 2 + (y - 48 - frame) ** 2 <= (20 + frame % 3) ** 2
    return (x - 40 - 2.5 * frame) ** 2 / 1.4 + (y - 46 - 0.5 * frame) ** 2 <= 19**2, truth


def at_the_side(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """A box that leaves the picture on the right and stands on its lower side, and one that grows."""
    y, x = np.mgrid[:96, :160]
    truth = (x >= 100 + frame) & (x < 190) & (y >= 60) & (y < 96)
    return (x >= 96 + 2 * frame) & (x < 190) & (y >= 64 - frame) & (y < 96), truth


# what the official evaluation of DAVIS 2017 (its metrics and its statistics) gives for frames 1 to 19 of these
OFFICIAL = {
    "disc": (
        disc,
        (0.835811, 0.579988, 0.378488),
        (0.708425, 0.199758, 0.113095),
        (0.590027, 0.684211, 0.345316),
        (0.272671, 0.105263, 0.363534),
    ),
    "at the side": (
        at_the_side,
        (0.875843, 0.767442, 0.501608),
        (0.052083, 0.057471, 0.064103),
        (0.759885, 1.0, 0.378538),
        (0.306707, 0.263158, 0.779494),
    ),
}


@pytest.mark.parametrize("case", OFFICIAL)
def test_it_is_the_official_number(case: str) -> None:
    made, regions, edges, region_over_time, edge_over_time = OFFICIAL[case]
    j = [region_similarity(*made(frame)) for frame in range(1, 20)]
    f = [boundary_accuracy(*made(frame)) for frame in range(1, 20)]
    assert (j[0], j[9], j[18]) == pytest.approx(regions, abs=1e-6)
    assert (f[0], f[9], f[18]) == pytest.approx(edges, abs=1e-6)
    for values, stored in ((j, region_over_time), (f, edge_over_time)):
        found = over_time(values)
        assert (found.mean, found.recall, found.decay) == pytest.approx(stored, abs=1e-6)


def test_perfect_shifted_and_empty() -> None:
    truth = np.zeros((60, 80), bool)
    truth[20:40, 30:50] = True
    moved, nothing = np.roll(truth, 1, 1), np.zeros_like(truth)
    assert (region_similarity(truth, truth), boundary_accuracy(truth, truth)) == (1, 1)
    assert region_similarity(moved, truth) == pytest.approx(19 / 21)
    assert boundary_accuracy(moved, truth) == 1  # a pixel is within the tolerance
    assert (region_similarity(nothing, truth), boundary_accuracy(nothing, truth)) == (0, 0)
    assert (region_similarity(truth, nothing), boundary_accuracy(truth, nothing)) == (0, 0)
    assert (region_similarity(nothing, nothing), boundary_accuracy(nothing, nothing)) == (1, 1)


def slow_boundary_accuracy(mask: np.ndarray, truth: np.ndarray) -> float:
    """F from its definition: pairs of boundary pixels and their distances."""
    height, width = mask.shape
    reach = math.ceil(0.008 * math.sqrt(height**2 + width**2))

    def edge(of: np.ndarray) -> list[tuple[int, int]]:
        found = []
        for y in range(height):
            for x in range(width):
                right, below = min(x + 1, width - 1), min(y + 1, height - 1)
                if any(of[y, x] != of[there] for there in ((y, right), (below, x), (below, right))):
                    found.append((y, x))
        return found

    def near(ones: list[tuple[int, int]], others: list[tuple[int, int]]) -> float:
        return sum(any(math.dist(a, b) <= reach for b in others) for a in ones) / len(ones)

    ours, theirs = edge(mask), edge(truth)
    if not ours and not theirs:
        return 1.0
    if not ours or not theirs:
        return 0.0
    p, r = near(ours, theirs), near(theirs, ours)
    return 2 * p * r / (p + r) if p + r else 0.0


def test_boundaries_equal_the_slow_version() -> None:
    rng = np.random.default_rng(0)
    for density in (0.02, 0.5, 0.97):
        for height, width in ((9, 14), (13, 6)):
            mask, truth = (rng.random((height, width)) < density for _ in range(2))
            assert boundary_accuracy(mask, truth) == pytest.approx(slow_boundary_accuracy(mask, truth))


def test_the_side_of_the_picture_is_no_boundary() -> None:
    assert not boundary(np.ones((5, 7), bool)).any()
    lower = np.zeros((5, 7), bool)
    lower[3:] = True
    assert boundary(lower).sum() == 7


def test_over_time() -> None:
    values = [1.0, 0.8, 0.6, 0.4, 0.2]  # quarters: frames 0-1, 1-2, 2-3, 3-4
    found = over_time(values)
    assert found.mean == pytest.approx(0.6)
    assert found.recall == pytest.approx(3 / 5)
    assert found.decay == pytest.approx(0.9 - 0.3)
    assert over_time([0.7]).decay == 0
    # a long video: limits of quarters do not wrap around at 256
    assert over_time(np.r_[np.ones(300), np.zeros(300)]).decay == 1


def test_mean_iou_by_hand() -> None:
    truth = np.array([[0, 0, 1], [2, 2, 1]])
    named = np.array([[0, 1, 1], [2, 0, 1]])
    counts = confusion(named, truth, 5)
    assert counts.sum() == 6
    # 0: 1 / 3, 1: 2 / 3, 2: 1 / 2; 3 and 4 are nowhere
    assert mean_iou(counts) == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)
    assert mean_iou(confusion(truth, truth, 3)) == 1
    void = np.where(truth == 2, 255, truth)
    assert confusion(named, void, 5).sum() == 4
