"""From paired numbers to a word: holds, does not hold, undecided."""

import math
from collections.abc import Sequence
from typing import Literal

from reelvec.evals.intervals import Difference, over_draws

Verdict = Literal["holds", "does not hold", "undecided"]


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Student's interval of the mean difference of pairs (one a seed); infinitely wide for a single pair.

    Raises ValueError for no pair, or for sequences of unlike length.
    """
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    if not differences:
        raise ValueError("no pair to compare")
    if len(differences) == 1:
        return Difference(differences[0], -math.inf, math.inf)
    mean, half = over_draws(differences)
    return Difference(mean, mean - half, mean + half)


def judge(difference: Difference, lower: bool = False) -> Verdict:
    """Compare the interval with zero: a claim holds when all of it lies on the claimed side."""
    low, high = (-difference.high, -difference.low) if lower else (difference.low, difference.high)
    if low > 0:
        return "holds"
    return "does not hold" if high < 0 else "undecided"
