"""Numbers of counts that are added up over videos, such as a mean IoU, with intervals where videos are what was drawn."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from reelvec.core.shapes import Shaped
from reelvec.evals.intervals import over_draws

INTERVAL = (
    "95 %, Student's of the jackknife's pseudo-values, videos being what was drawn; none with a single video; differences are "
    "paired by video"
)
Counts = Shaped[np.ndarray, "..."]
Number = Callable[[Counts], float]


def pooled(draws: Sequence[Sequence[Counts]], number: Number) -> tuple[float, list[float]]:
    """Return the number of the counts of all videos, and of all but one, for each; means over networks.

    `draws` has the counts of each video for each network.
    """
    sums = [np.sum(np.stack(counts), 0) for counts in draws]
    left_out = [
        fmean(number(total - counts[video]) for total, counts in zip(sums, draws, strict=True))
        for video in range(len(draws[0]))
    ]
    return fmean(number(total) for total in sums), left_out


def half_width(whole: float, left_out: Sequence[float]) -> float | None:
    """Return half of the 95 % interval by the jackknife (Tukey 1958): for a plain mean it is Student's.

    None with a single video, and where one video holds all that there is to count.
    """
    n = len(left_out)
    if n < 2 or not all(map(math.isfinite, [whole, *left_out])):
        return None
    return over_draws([n * whole - (n - 1) * without for without in left_out])[1]


def with_bounds(draws: Sequence[Sequence[Counts]], number: Number) -> tuple[float, dict[str, float | None]]:
    """Return a share and its bounds, "low" and "high", within 0 and 1."""
    whole, left_out = pooled(draws, number)
    half = half_width(whole, left_out)
    if half is None:
        return whole, {"low": None, "high": None}
    return whole, {"low": max(0.0, whole - half), "high": min(1.0, whole + half)}


def difference(ours: Sequence[Sequence[Counts]], theirs: Sequence[Sequence[Counts]], number: Number) -> dict[str, Any]:
    """Return how much more ours is, "mean", and the bounds of that, the same videos being left out of both."""
    (whole, left_out), (other, others_left_out) = pooled(ours, number), pooled(theirs, number)
    more = whole - other
    half = half_width(more, [a - b for a, b in zip(left_out, others_left_out, strict=True)])
    return {"mean": more, "low": None if half is None else more - half, "high": None if half is None else more + half}
