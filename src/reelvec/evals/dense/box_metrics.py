"""Frame mAP of boxes with several classes each, as AVA counts it (eval_protocols, section e): Pascal's area under the curve."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reelvec.core.shapes import Bool, Float, Int

LEAST_IOU = 0.5
"""overlap from which on a box hits a true one"""


@dataclass(frozen=True)
class TrueBoxes:
    """What is in a key frame: boxes, and which classes each is of."""

    boxes: Float[np.ndarray, "n 4"]
    """x0 y0 x1 y1, in whatever unit the scored ones have"""
    classes: Bool[np.ndarray, "n classes"]


@dataclass(frozen=True)
class ScoredBoxes:
    """What was found in a key frame: boxes, and how sure each class is of each."""

    boxes: Float[np.ndarray, "m 4"]
    scores: Float[np.ndarray, "m classes"]


@dataclass(frozen=True)
class Matches:
    """One class: all boxes by falling score, whether each found a true box of its own, and how many there were to find."""

    hit: Bool[np.ndarray, "k"]
    frame: Int[np.ndarray, "k"]
    """number of the key frame that a box is of"""
    to_find: Int[np.ndarray, "frames"]
    """true boxes of each key frame"""


def box_iou(boxes: Float[np.ndarray, "m 4"], others: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "m n"]:
    """Return intersection over union of every pair of boxes, x0 y0 x1 y1."""
    low, high = np.maximum(boxes[:, None, :2], others[None, :, :2]), np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)[:, None] + (others[:, 2:] - others[:, :2]).prod(1)
    return both / np.maximum(areas - both, 1e-30)


def match_boxes(found: Sequence[ScoredBoxes], truth: Sequence[TrueBoxes], least_iou: float = LEAST_IOU) -> list[Matches]:
    """Match boxes to the truth, key frame by key frame and class by class; a list entry for each class.

    By falling score, a box takes the true box that it overlaps most. It is a hit if that overlap is `least_iou` at least and
    the true box was not taken before.
    """
    overlaps = [box_iou(ours.boxes, theirs.boxes) for ours, theirs in zip(found, truth, strict=True)]
    matches = []
    for kind in range(truth[0].classes.shape[1]):
        scores, hits, frames = [], [], []
        for number, (ours, theirs, overlap) in enumerate(zip(found, truth, overlaps, strict=True)):
            there = np.flatnonzero(theirs.classes[:, kind])
            taken: set[int] = set()
            for i in np.argsort(-ours.scores[:, kind], kind="stable"):
                best = there[overlap[i, there].argmax()] if len(there) else -1
                is_hit = len(there) > 0 and overlap[i, best] >= least_iou and best not in taken
                if is_hit:
                    taken.add(int(best))
                scores.append(ours.scores[i, kind])
                hits.append(is_hit)
                frames.append(number)
        order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
        to_find = np.array([theirs.classes[:, kind].sum() for theirs in truth], np.int64)
        matches.append(Matches(np.asarray(hits, bool)[order], np.asarray(frames, np.int64)[order], to_find))
    return matches


def average_precision(matches: Matches, times: Int[np.ndarray, "frames"] | None = None) -> float:
    """Return the area under the curve of precision over recall, precision made falling; NaN where there is nothing to find.

    `times` says how often each key frame counts: for resampling.
    """
    often = np.ones(len(matches.to_find), np.int64) if times is None else times
    positives = int((matches.to_find * often).sum())
    if not positives:
        return float("nan")
    weight = often[matches.frame]
    found, asked = np.cumsum(matches.hit * weight), np.cumsum(weight)
    recall = np.concatenate([[0.0], found / positives])
    precision = np.concatenate([found / np.maximum(asked, 1), [0.0]])
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * falling[:-1]).sum())


def mean_average_precision(matches: Sequence[Matches], times: Int[np.ndarray, "frames"] | None = None) -> float:
    """Return the mean over the classes of which there is something to find; NaN where there is none."""
    each = [value for one in matches if not np.isnan(value := average_precision(one, times))]
    return float(np.mean(each)) if each else float("nan")
