"""95 % intervals: of a share of videos, of means over draws and over few-shot episodes, and of differences paired by these."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
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


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return the score interval of a share of n trials (Wilson 1927): never outside [0, 1], honest for small n."""
    z2 = _NORMAL_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def over_draws(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of two or more draws, and half the width of Student's interval around it."""
    return fmean(values), _student(len(values)) * stdev(values) / math.sqrt(len(values))


def _student(draws: int) -> float:
    return _STUDENT_95[min(draws - 1, len(_STUDENT_95)) - 1]


def mean_over_groups(values: Sequence[float], groups: Sequence[Hashable]) -> tuple[float, float | None]:
    """Return the mean of values, and half of its 95 % interval where groups, not single values, were drawn.

    Linearisation of a ratio (Cochran 1977, section 6): the deviations of one group's values go together. With a value to a
    group it is Student's interval. None with a single group.
    """
    mean = fmean(values)
    off: dict[Hashable, float] = defaultdict(float)
    for value, group in zip(values, groups, strict=True):
        off[group] += value - mean
    if len(off) < 2:
        return mean, None
    _, half = over_draws([mean + len(off) / len(values) * of_group for of_group in off.values()])
    return mean, half


def share_over_groups(values: Sequence[float], groups: Sequence[Hashable]) -> tuple[float, float]:
    """Return the 95 % interval of a share of videos of which those of one group go together.

    Wilson's, of as many trials as the videos are worth: so many that the normal interval of a share would be as wide as that
    of `mean_over_groups`, never more than there are videos (Korn & Graubard 1998 cut the trials down alike). All right or
    all wrong: a trial for each group. A single group says nothing of others: 0 to 1.
    """
    mean, half = mean_over_groups(values, groups)
    if half is None:
        return 0.0, 1.0
    many = len(set(groups))
    if many == len(values):
        return wilson(mean, many)
    spread = mean * (1 - mean)
    if spread < 1e-9:
        return wilson(min(1.0, max(0.0, mean)), many)
    return wilson(mean, min(len(values), _NORMAL_95**2 * spread / half**2 if half else math.inf))


def over_episodes(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of many episodes and 1.96 std / sqrt(episodes), std over all of them (eval_protocols, section i)."""
    return fmean(values), 1.96 * pstdev(values) / math.sqrt(len(values))


def paired(differences: Float[Tensor, "m"], groups: Sequence[Hashable] | None = None) -> Difference:
    """Return the mean of per-video differences in [-1, 1] and its interval.

    Half a video is added to each of the four cells right and wrong by right and wrong (Agresti & Min 2005): two videos more,
    with half a difference of +1 and half a one of -1. Without them differences that are all zero would have no interval.
    Where videos come in groups, deviations of one group's videos go together (linearised by group, Student's); the interval
    is then never narrower than that of independent videos, and -1 to 1 with a single group.
    """
    n = len(differences) + 2
    total, squares = float(differences.sum()), float(differences.square().sum()) + 1
    centre = total / n
    half = _NORMAL_95 * math.sqrt(max(squares / n - centre**2, 0) / n)
    many = len(differences) if groups is None else len(set(groups))
    if groups is not None and many < len(differences):
        if many < 2:
            return Difference(total / len(differences), -1.0, 1.0)
        off: dict[Hashable, float] = defaultdict(float)
        for difference, group in zip(differences.tolist(), groups, strict=True):
            off[group] += difference - centre
        between = many / (many - 1) * sum(of_group**2 for of_group in off.values())
        added = 1 + 2 * centre**2  # of the two videos more
        half = max(half, _student(many) * math.sqrt(between + added) / n)
    return Difference(total / len(differences), max(-1.0, centre - half), min(1.0, centre + half))


def paired_means(differences: Sequence[float], over: str) -> Difference:
    """Return the mean of differences of paired draws ("draw": Student's interval) or episodes ("episode")."""
    mean, half = over_draws(differences) if over == "draw" else over_episodes(differences)
    return Difference(mean, mean - half, mean + half)
