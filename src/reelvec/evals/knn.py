"""Weighted k nearest neighbours on frozen features, as DINO measures it (Caron et al. 2021; eval_protocols, section d)."""

import torch.nn.functional as F
from torch import Tensor

from reelvec.core import Config
from reelvec.core.shapes import Float, Int
from reelvec.evals.baselines import majority_accuracy
from reelvec.evals.outcome import Answers, Outcome
from reelvec.evals.plan import Plan

_CHUNK = 256
"""queries compared at once: constant, so that memory does not grow with the test set and small sets work too"""


def knn_scores(
    train_features: Float[Tensor, "n d"],
    train_labels: Int[Tensor, "n"],
    queries: Float[Tensor, "m d"],
    classes: int,
    k: int,
    temperature: float,
) -> Float[Tensor, "m classes"]:
    """Sum, for each query and class, exp(cosine / temperature) over those of the k nearest that have the class."""
    gallery = F.normalize(train_features, dim=1)
    scores = queries.new_zeros(len(queries), classes)
    for start in range(0, len(queries), _CHUNK):
        cosine = F.normalize(queries[start : start + _CHUNK], dim=1) @ gallery.T
        nearest, which = cosine.topk(min(k, len(gallery)), dim=1)
        # a cosine is at most 1: taking 1 off scales all votes alike and keeps the exponential from overflowing
        scores[start : start + _CHUNK].scatter_add_(1, train_labels[which], ((nearest - 1) / temperature).exp())
    return scores


class Knn(Config):
    """Cosine similarity, k neighbours, each voting with exp(similarity / temperature)."""

    k: int = 20
    """clamped to the number of training videos"""
    temperature: float = 0.07

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        return f"as DINO: cosine, k = {self.k} (at most the training videos), votes exp(cosine / {self.temperature})"

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """One column; luck names the majority class of the training videos."""
        return Plan({"knn": majority_accuracy(train_labels, test_labels)})

    def run(
        self,
        train_features: Float[Tensor, "n d"],
        train_labels: Int[Tensor, "n"],
        test_features: Float[Tensor, "m d"],
        test_labels: Int[Tensor, "m"],
        train_groups: Int[Tensor, "n"] | None = None,
        test_groups: Int[Tensor, "m"] | None = None,
    ) -> Outcome:
        """Return the column "knn": top-1 hits; labels are class numbers from 0, groups are not used."""
        classes = int(max(train_labels.max(), test_labels.max())) + 1
        scores = knn_scores(train_features, train_labels, test_features, classes, self.k, self.temperature)
        votes, named = scores.max(1)
        return Outcome({"knn": Answers((named == test_labels).double(), named=named, sure=votes / scores.sum(1))})
