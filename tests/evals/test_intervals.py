import math

import numpy as np
import pytest

from reelvec.evals.intervals import over_draws, over_episodes, wilson


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
