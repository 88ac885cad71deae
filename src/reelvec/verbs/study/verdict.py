"""From paired numbers to a word: holds, does not hold, undecided."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["holds", "does not hold", "undecided"]

_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110)
"""97.5 % points of Student's t for 1 to 17 degrees of freedom; 2.1 beyond errs on the safe side"""


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences and its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Student's interval of the mean difference of pairs (one a seed); infinitely wide for a single pair.

    Raises ValueError for no pair, or for sequences of unlike length.
    """
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    n = len(differences)
    if n == 0:
        raise ValueError("no pair to compare")
    mean = sum(differences) / n
    if n == 1:
        return Difference(mean, -math.inf, math.inf)
    deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1))
    t = _T[n - 2] if n - 2 < len(_T) else 2.1
    half = t * deviation / math.sqrt(n)
    return Difference(mean, mean - half, mean + half)


def judge(difference: Difference, lower: bool = False) -> Verdict:
    """Compare the interval with zero: a claim holds when all of it lies on the claimed side."""
    low, high = (-difference.high, -difference.low) if lower else (difference.low, difference.high)
    if low > 0:
        return "holds"
    return "does not hold" if high < 0 else "undecided"
