"""How well masks match: J of regions and F of their boundaries, as DAVIS 2017 counts them (eval_protocols, section f).

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016; Pont-Tuset et al.,
"The 2017 DAVIS Challenge", arXiv 1704.00675. One deviation: quarters of videos of more than 256 frames are cut where they
should be; the official script counts their limits in 8 bits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from reelvec.core.shapes import Bool, Float, Int, UInt8

_TOLERANCE = 0.008
"""of the picture's diagonal: how far apart boundaries may lie and still count as the same"""


def region_similarity(mask: Bool[np.ndarray, "h w"], truth: Bool[np.ndarray, "h w"]) -> float:
    """Return J: intersection over union; 1 where both are empty."""
    union = int((mask | truth).sum())
    return float((mask & truth).sum() / union) if union else 1.0


def boundary_accuracy(mask: Bool[np.ndarray, "h w"], truth: Bool[np.ndarray, "h w"]) -> float:
    """Return F = 2PR / (P + R) of the boundaries; 1 where neither mask has one, 0 where one has and the other has not.

    P is the share of the mask's boundary that lies within reach of the truth's, R the reverse. In reach is a disk with a
    radius of 0.008 of the picture's diagonal, rounded up to whole pixels.
    """
    radius = math.ceil(_TOLERANCE * math.hypot(*mask.shape))
    ours, theirs = boundary(mask), boundary(truth)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    across = np.arange(-radius, radius + 1)
    disk = (across[:, None] ** 2 + across**2 <= radius**2).astype(np.uint8)
    precision = (ours & _dilated(theirs, disk)).sum() / ours.sum()
    recall = (theirs & _dilated(ours, disk)).sum() / theirs.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def boundary(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """True where a pixel differs from its right, lower or lower right neighbour; the picture's side is no boundary."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")  # beyond the last row and column nothing changes
    return (mask != padded[:-1, 1:]) | (mask != padded[1:, :-1]) | (mask != padded[1:, 1:])


def _dilated(edge: Bool[np.ndarray, "h w"], disk: UInt8[np.ndarray, "s s"]) -> Bool[np.ndarray, "h w"]:
    return cv2.dilate(edge.astype(np.uint8), disk) > 0


@dataclass(frozen=True)
class OverTime:
    """What is said of one object's J or F over the frames of a video."""

    mean: float
    recall: float
    """share of frames above 0.5"""
    decay: float
    """mean of the first quarter of the frames minus mean of the last; below 0 where it gets better"""


def over_time(values: Sequence[float] | Float[np.ndarray, "frames"]) -> OverTime:
    """Return mean, recall and decay of one value for each frame, in order; quarters share the frame between them."""
    x = np.asarray(values, np.float64)
    last = len(x) - 1
    # a half is rounded up: the official script's way
    limits = [int(np.round(1 + last * quarter / 4 + 1e-10)) - 1 for quarter in range(5)]
    first, final = x[limits[0] : limits[1] + 1], x[limits[3] : limits[4] + 1]
    return OverTime(float(x.mean()), float((x > 0.5).mean()), float(first.mean() - final.mean()))


def confusion(named: Int[np.ndarray, "h w"], truth: Int[np.ndarray, "h w"], classes: int) -> Int[np.ndarray, "classes classes"]:
    """Count pixels by true class (rows) and named class (columns); add these up over frames. Numbers beyond are not counted."""
    known = (truth >= 0) & (truth < classes) & (named >= 0) & (named < classes)
    pairs = classes * truth[known].astype(np.int64) + named[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def iou_by_class(counts: Int[np.ndarray, "classes classes"]) -> Float[np.ndarray, "classes"]:
    """Return intersection over union of each class; NaN of one that is neither there nor named."""
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return np.where(union > 0, counts.diagonal() / np.maximum(union, 1), np.nan)


def mean_iou(counts: Int[np.ndarray, "classes classes"]) -> float:
    """Return intersection over union, averaged over the classes that are there or are named; NaN where there are none.

    VIP adds up the counts of all frames of all videos, the first frames too (eval_protocols, section f).
    """
    each = iou_by_class(counts)
    known = ~np.isnan(each)
    return float(each[known].mean()) if known.any() else math.nan
