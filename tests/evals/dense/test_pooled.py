import numpy as np
import pytest

from reelvec.evals.dense.pooled import difference, half_width, pooled, with_bounds
from reelvec.evals.intervals import over_draws


def share(counts: np.ndarray) -> float:
    return float(counts[0] / counts[1]) if counts[1] else float("nan")


def test_of_a_plain_mean_it_is_students() -> None:
    values = [0.1, 0.5, 0.6, 0.4]
    draws = [[np.array([value, 1.0]) for value in values]]
    mean, half = over_draws(values)
    assert with_bounds(draws, share) == (
        pytest.approx(mean),
        {"low": pytest.approx(mean - half), "high": pytest.approx(mean + half)},
    )


def test_counts_are_added_up_and_networks_averaged() -> None:
    first, second = [np.array([1, 4]), np.array([3, 4])], [np.array([0, 4]), np.array([2, 12])]
    whole, left_out = pooled([first, second], share)
    assert whole == pytest.approx((4 / 8 + 2 / 16) / 2)
    assert left_out == pytest.approx([(3 / 4 + 2 / 12) / 2, (1 / 4 + 0 / 4) / 2])


def test_differences_are_paired_by_video() -> None:
    """Two networks that are as much apart on every video differ for sure, however much videos do."""
    counts = [np.array([value, 10.0]) for value in (1, 5, 9, 3)]
    more = [np.array([one[0] + 1, 10.0]) for one in counts]
    found = difference([more], [counts], share)
    assert [found["mean"], found["low"], found["high"]] == pytest.approx([0.1, 0.1, 0.1])


def test_where_there_is_no_interval() -> None:
    assert half_width(0.5, [float("nan")]) is None
    one = [[np.array([1.0, 2.0])]]
    assert with_bounds(one, share) == (0.5, {"low": None, "high": None})
    assert difference(one, one, share) == {"mean": 0, "low": None, "high": None}
    lonely = [[np.array([1.0, 2.0]), np.array([0.0, 0.0])]]  # without the first video nothing is left to count
    assert with_bounds(lonely, share) == (0.5, {"low": None, "high": None})


def test_bounds_stay_within_0_and_1() -> None:
    value, bounds = with_bounds([[np.array([9.0, 10.0]), np.array([1.0, 10.0])]], share)
    assert (value, bounds) == (0.5, {"low": 0.0, "high": 1.0})
