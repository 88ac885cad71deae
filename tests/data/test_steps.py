from fractions import Fraction
from math import floor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelvec.data.steps import from_steps, steps_type, to_steps

STEPS = st.lists(st.integers(1, 2**40), min_size=1, max_size=9)


def there_and_back(numbers: np.ndarray) -> np.ndarray:
    """Through a column of a table, as the index keeps them."""
    cell = pa.array([to_steps(numbers)], steps_type(pa.from_numpy_dtype(numbers.dtype)))[0]
    return from_steps(cell["first"].as_py(), cell["steps"].values.to_numpy(), cell["count"].as_py())


def assert_kept(numbers: np.ndarray) -> None:
    back = there_and_back(numbers)
    assert back.dtype == numbers.dtype
    np.testing.assert_array_equal(back, numbers)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_any_numbers_come_back(numbers):
    assert_kept(np.array(numbers, np.int64))


@given(first=st.integers(-(2**50), 2**50), steps=STEPS, count=st.integers(1, 300))
def test_steps_that_repeat_come_back_and_are_kept_once(first, steps, count):
    numbers = first + np.concatenate([[0], np.resize(steps, count - 1).cumsum()]).astype(np.int64)
    assert_kept(numbers)
    assert len(to_steps(numbers)["steps"]) <= len(steps)


@given(keys=st.sets(st.integers(0, 5000), max_size=60))
def test_key_frames_come_back(keys):
    assert_kept(np.array(sorted(keys), np.int32))


@given(steps=st.lists(st.integers(1, 3), min_size=100, max_size=400))
def test_few_steps_without_a_pattern_come_back(steps):
    """Where a pattern may seem to begin, and then does not hold."""
    assert_kept(np.cumsum(steps, dtype=np.int64))


@pytest.mark.parametrize(
    ("rate", "ticks", "kept"),
    [
        (Fraction(25), 12800, 1),
        (Fraction(30000, 1001), 30000, 1),
        (Fraction(24000, 1001), 90000, 4),
        (Fraction(30), 1000, 3),
        (Fraction(24000, 1001), 1000, 24),
        (Fraction(30000, 1001), 1000, 30),
        (Fraction(120000, 1001), 1000, 120),
    ],
)
def test_even_rates_are_kept_in_a_few_steps(rate, ticks, kept):
    """Also those that a container rounds: MP4 as it likes, transport streams to 1/90000 s, Matroska to milliseconds."""
    numbers = np.array([floor(i * ticks / rate + Fraction(1, 2)) for i in range(3000)], np.int64)  # as FFmpeg rounds
    assert_kept(numbers)
    assert len(to_steps(numbers)["steps"]) == kept


@pytest.mark.parametrize("numbers", [[], [0], [-7], [2**40], [-512, 0], [5, 5, 5]])
def test_few_numbers(numbers):
    assert_kept(np.array(numbers, np.int64))
    assert len(to_steps(np.array(numbers, np.int64))["steps"]) <= 1
