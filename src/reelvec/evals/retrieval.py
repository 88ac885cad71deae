"""Nearest-neighbour video retrieval without training (Xu et al. 2019, VCOP; eval_protocols, section b)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import Config
from reelvec.core.shapes import Float, Int
from reelvec.evals.baselines import chance_recall
from reelvec.evals.outcome import Answers, Outcome
from reelvec.evals.plan import Plan

_CHUNK = 256


class Retrieval(Config):
    """R@k: a test video is a hit if any of its k nearest training videos shares its class."""

    at: tuple[int, ...] = (1, 5, 10, 20, 50)
    """each clamped to the number of training videos"""

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        return "gallery = training videos, queries = test videos, cosine, features not centred"

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """A column for each k; luck puts the gallery in a random order."""
        return Plan(chance_recall(train_labels.tolist(), test_labels.tolist(), self.at))

    def run(
        self,
        train_features: Float[Tensor, "n d"],
        train_labels: Int[Tensor, "n"],
        test_features: Float[Tensor, "m d"],
        test_labels: Int[Tensor, "m"],
        train_groups: Int[Tensor, "n"] | None = None,
        test_groups: Int[Tensor, "m"] | None = None,
    ) -> Outcome:
        """Return the column "R@k", hits among the first k, for each k; groups are not used."""
        gallery = F.normalize(train_features, dim=1)
        deepest = min(max(self.at), len(gallery))
        hits: dict[int, list[Tensor]] = {k: [] for k in self.at}
        for start in range(0, len(test_features), _CHUNK):
            cosine = F.normalize(test_features[start : start + _CHUNK], dim=1) @ gallery.T
            shared = train_labels[cosine.topk(deepest, dim=1).indices] == test_labels[start : start + _CHUNK, None]
            for k in self.at:
                hits[k].append(shared[:, :k].any(1))
        return Outcome({f"R@{k}": Answers(torch.cat(found).double()) for k, found in hits.items()})
