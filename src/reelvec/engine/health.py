"""Is the run working? Numbers on a fixed probe batch, and a verdict in plain words."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Literal

import torch

from reelvec.core import Batch, Method, Progress
from reelvec.parts.health import alignment, feature_std, mean_cosine, rank_me, uniformity

Word = Literal["starting", "healthy", "shrinking", "collapsed"]

_EARLY = 0.1
"""share of a run up to which features that still spread out are not judged; of ten checks, the first falls into it"""


@dataclass(frozen=True)
class Health:
    """What the projections of the probe batch look like at one step (eval_protocols, section l)."""

    step: int
    feature_std: float
    """mean spread of a dimension, times the root of their number: about 1 for spread-out features, 0 for one point"""
    effective_rank: float
    """RankMe: how many directions the features use; at most the smaller of videos and dimensions"""
    mean_cosine: float
    """of different videos: near 1 when all look the same to the network"""
    alignment: float
    """mean squared distance of two views of one video"""
    uniformity: float
    """log of the mean Gaussian potential of different videos; 0 when all are one point, about -4 when spread out"""

    def values(self) -> dict[str, float]:
        """Return the numbers by name, without the step."""
        return {name: value for name, value in asdict(self).items() if name != "step"}


@torch.no_grad()
def measure_health(method: Method, probe: Batch, at: Progress, at_once: int = 64) -> Health:
    """Look at the probe batch through the network as it stands, `at_once` videos at a time; nothing of the run is changed."""
    training = [(module, module.training) for module in method.modules()]
    method.eval()  # batch statistics of the probe must not enter the running ones
    try:
        parts = [probe.part(slice(start, start + at_once)) for start in range(0, len(probe), at_once)]
        z = torch.cat([method.embeddings(part, at).float() for part in parts])
    finally:
        for module, was in training:
            module.training = was
    first, second = z[:, 0], z[:, -1]
    return Health(
        step=at.step,
        feature_std=float(feature_std(first)),
        effective_rank=float(rank_me(first)),
        mean_cosine=float(mean_cosine(first)),
        alignment=float(alignment(first, second)),
        uniformity=float(uniformity(first)),
    )


def judge(history: Sequence[Health], share: float) -> tuple[Word, str]:
    """Return a verdict on the newest of several measurements, and what to try next; `share` is that of the run that is done.

    An untrained network maps everything to nearly one point, which is no collapse: nothing is judged in the first
    tenth of the run, unless the spread of the features has stopped rising; and a network that leaves its start slowly, by
    a twentieth or more from each look to the next, is not called collapsed in the first half.
    """
    now, before = history[-1], history[:-1]
    rising = not before or now.feature_std > before[-1].feature_std
    leaving = bool(before) and all(b.feature_std >= 1.05 * a.feature_std for a, b in pairwise(history))
    collapsed = now.feature_std < 0.15 or now.mean_cosine > 0.95 or now.effective_rank < 2
    if (share <= _EARLY and rising) or (share <= 0.5 and collapsed and leaving):
        return "starting", "the network is only beginning to tell videos apart; the next checks say more"
    if collapsed:
        return "collapsed", (
            "all videos look the same to the network: stop; try a lower learning rate or a longer warm-up, and check that the "
            "method keeps what holds it apart (predictor and momentum for BYOL, a queue or a larger batch for contrast)"
        )
    most_directions = max((h.effective_rank for h in before), default=0.0)
    widest = max((h.feature_std for h in before), default=0.0)
    if now.effective_rank < 0.5 * most_directions or now.feature_std < 0.5 * widest:
        return "shrinking", (
            "the features use fewer directions than before: watch the next checks; if it goes on, lower the learning rate, "
            "raise the momentum of the slow network or use stronger views"
        )
    return "healthy", "features are spread out and keep their directions"
