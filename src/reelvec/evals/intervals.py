"""95 % intervals: of a share of videos, of means over draws and over few-shot episodes, and of differences paired by these."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev, stdev

from torch import Tensor

from reelvec.core.shapes import Float

_NORMAL_95 = 1.959964
_STUDENT_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110,
)  # fmt: skip
"""97.5 % points of Student's t for 1 to 17 degrees of freedom; the last serves beyond and errs on the safe side"""


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences and its 95 % interval; shares, not points."""

    mean: float
    low: float
    high: float


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the score interval of a share of n trials (Wilson 1927): never outside [0, 1], honest for small n."""
    z2 = _NORMAL_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def over_draws(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of two or more draws, and half the width of Student's interval around it."""
    t = _STUDENT_95[min(len(values) - 1, len(_STUDENT_95)) - 1]
    return fmean(values), t * stdev(values) / math.sqrt(len(values))


def over_episodes(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of many episodes and 1.96 std / sqrt(episodes), std over all of them (eval_protocols, section i)."""
    return fmean(values), 1.96 * pstdev(values) / math.sqrt(len(values))


def paired(differences: Float[Tensor, "m"]) -> Difference:
    """Return the mean of per-video differences in [-1, 1] and its interval.

    Half a video is added to each of the four cells right and wrong by right and wrong (Agresti & Min 2005): two videos more,
    with half a difference of +1 and half a one of -1. Without them differences that are all zero would have no interval.
    """
    n = len(differences) + 2
    total, squares = float(differences.sum()), float(differences.square().sum()) + 1
    centre = total / n
    half = _NORMAL_95 * math.sqrt(max(squares / n - centre**2, 0) / n)
    return Difference(total / len(differences), max(-1.0, centre - half), min(1.0, centre + half))


def paired_means(differences: Sequence[float], over: str) -> Difference:
    """Return the mean of differences of paired draws ("draw": Student's interval) or episodes ("episode")."""
    mean, half = over_draws(differences) if over == "draw" else over_episodes(differences)
    return Difference(mean, mean - half, mean + half)
