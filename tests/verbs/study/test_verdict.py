"""Paired differences: against the formula, against intervals known from tables, and the words made of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelvec.evals.intervals import Difference
from reelvec.verbs.study import judge, paired_difference


def test_interval_of_three_seeds_is_students():
    # differences 0.1, 0.2, 0.3: mean 0.2, standard error 0.1 / sqrt 3, t(2) = 4.303
    difference = paired_difference([0.5, 0.5, 0.7], [0.4, 0.3, 0.4])
    half = 4.303 * 0.1 / math.sqrt(3)
    assert difference.mean == pytest.approx(0.2)
    assert (difference.low, difference.high) == pytest.approx((0.2 - half, 0.2 + half))


def test_one_pair_says_nothing_and_unlike_lengths_are_refused():
    assert judge(paired_difference([1.0], [0.0])) == "undecided"
    for ours, theirs in (([], []), ([1.0], [])):
        with pytest.raises(ValueError):
            paired_difference(ours, theirs)


@pytest.mark.parametrize(
    ("low", "high", "lower", "word"),
    [
        (0.01, 0.3, False, "holds"),
        (-0.01, 0.3, False, "undecided"),
        (-0.3, -0.01, False, "does not hold"),
        (0.01, 0.3, True, "does not hold"),
        (-0.3, -0.01, True, "holds"),
        (0.0, 0.0, False, "undecided"),
    ],
)
def test_verdicts(low, high, lower, word):
    assert judge(Difference((low + high) / 2, low, high), lower) == word


pairs = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=25)


@given(pairs)
def test_swapping_the_arms_turns_the_interval_round(values):
    ours, theirs = zip(*values, strict=True)
    there, back = paired_difference(ours, theirs), paired_difference(theirs, ours)
    assert there.low <= there.mean + 1e-12
    assert there.mean <= there.high + 1e-12
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


@given(pairs, st.floats(-1, 1))
def test_what_is_common_to_both_arms_of_a_seed_plays_no_part(values, shift):
    ours, theirs = zip(*values, strict=True)
    moved = paired_difference([x + shift * i for i, x in enumerate(ours)], [x + shift * i for i, x in enumerate(theirs)])
    same = paired_difference(ours, theirs)
    assert (moved.low, moved.high) == pytest.approx((same.low, same.high), abs=1e-6)
