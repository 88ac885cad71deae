import math

import numpy as np
import pytest
import torch

from reelvec.evals.intervals import mean_over_groups, over_draws, over_episodes, paired, share_over_groups, wilson


def test_wilson_known_values() -> None:
    low, high = wilson(0.5, 100)
    assert (low, high) == pytest.approx((0.40383, 0.59617), abs=1e-4)
    assert wilson(0.0, 10)[0] == 0.0
    assert wilson(0.0, 10)[1] == pytest.approx(0.27753, abs=1e-4)
    assert wilson(1.0, 10)[1] == pytest.approx(1.0)


def test_wilson_bounds_solve_the_score_equation() -> None:
    for bound in wilson(0.3, 37):
        assert abs(0.3 - bound) / math.sqrt(bound * (1 - bound) / 37) == pytest.approx(1.959964, abs=1e-5)


def test_episodes_by_the_formula() -> None:
    values = np.random.default_rng(0).uniform(size=600)
    mean, half = over_episodes(values.tolist())
    assert mean == pytest.approx(values.mean())
    assert half == pytest.approx(1.96 * values.std() / 600**0.5)
    # four times the episodes, half the width
    assert over_episodes(np.tile(values, 4).tolist())[1] == pytest.approx(half / 2)


def test_draws_by_student() -> None:
    mean, half = over_draws([0.1, 0.2, 0.3, 0.4, 0.5])
    assert mean == pytest.approx(0.3)
    assert half == pytest.approx(2.776 * math.sqrt(0.025) / math.sqrt(5))  # four degrees of freedom


def test_students_interval_holds_the_mean_19_times_of_20() -> None:
    rng = np.random.default_rng(1)
    draws = rng.normal(0.4, 0.1, size=(4000, 5))
    inside = [abs(mean - 0.4) <= half for mean, half in map(over_draws, draws.tolist())]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


def grouped_hits(rng: np.random.Generator, groups: int, size: int, truth: float = 0.7) -> np.ndarray:
    """Right or wrong, all videos of a group mostly alike: each group has a share of its own."""
    return (rng.random((groups, size)) < rng.beta(2 * truth, 2 * (1 - truth), (groups, 1))).astype(float)


def test_the_interval_over_groups_holds_the_truth_where_that_of_videos_does_not() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(20), 15).tolist()
    inside, too_narrow = [], []
    for _ in range(400):
        hits = grouped_hits(rng, 20, 15).ravel().tolist()
        for told, (low, high) in (
            (inside, share_over_groups(hits, groups)),
            (too_narrow, wilson(float(np.mean(hits)), len(hits))),
        ):
            told.append(low <= 0.7 <= high)
    assert np.mean(inside) >= 0.93
    assert np.mean(too_narrow) < 0.75


def test_the_difference_over_groups_holds_the_truth_where_that_of_videos_does_not() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(20), 15).tolist()
    inside, too_narrow = [], []
    for _ in range(400):
        difference = torch.from_numpy((grouped_hits(rng, 20, 15, 0.6) - grouped_hits(rng, 20, 15, 0.5)).ravel())
        for told, got in ((inside, paired(difference, groups)), (too_narrow, paired(difference))):
            told.append(got.low <= 0.1 <= got.high)
    assert np.mean(inside) >= 0.93
    assert np.mean(too_narrow) < 0.8


def test_groups_of_one_video_change_nothing() -> None:
    hits = [1.0] * 30 + [0.0] * 10
    assert share_over_groups(hits, range(40)) == wilson(0.75, 40)
    differences = torch.tensor([1.0, 0.0, 0.0, -1.0, 1.0, 0.0])
    assert paired(differences, range(6)) == paired(differences)


def test_groups_at_the_edges() -> None:
    assert share_over_groups([1.0] * 40, [i // 10 for i in range(40)]) == wilson(1.0, 4)
    assert share_over_groups([1.0, 0.0], ["a", "a"]) == (0.0, 1.0)
    assert share_over_groups([1.0, 0.0] * 10, [i // 2 for i in range(20)]) == wilson(
        0.5, 20
    )  # groups alike: no more than videos
    still = paired(torch.zeros(40), [i // 10 for i in range(40)])
    assert still.low < 0 < still.high
    assert paired(torch.ones(4), ["a"] * 4).low == -1
    assert mean_over_groups([1.0, 0.0], ["a", "a"]) == (0.5, None)
