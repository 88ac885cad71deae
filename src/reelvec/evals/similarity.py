"""Same action or not: pairs of test videos told apart by their cosine (ASLAN; eval_protocols, section h, minimal variant).

Pairs and folds that are given, such as ASLAN's own, are judged by `pair_similarity`.
"""

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reelvec.core import Config, sample_generator
from reelvec.core.shapes import Bool, Float, Int
from reelvec.evals.outcome import Answers, Outcome
from reelvec.evals.plan import Plan

ACCURACY, AUC = "similarity", "similarity AUC"


def best_threshold(cosine: Float[Tensor, "pairs"], same: Bool[Tensor, "pairs"]) -> float:
    """Return the cosine from which on pairs are best called the same: half way between the two pairs that it parts.

    Of equally good ones, the middle one.
    """
    values, order = cosine.sort()
    same = same[order]
    # calling all pairs from number i on the same: right are the different ones before i and the same ones from i on
    zero = same.new_zeros(1, dtype=torch.long)
    right = torch.cat([zero, (~same).cumsum(0)]) + torch.cat([same.flip(0).cumsum(0).flip(0), zero])
    edges = torch.cat([values[:1] - 1, values, values[-1:] + 1])
    between = edges[1:] > edges[:-1]  # no threshold parts equal cosines
    best = torch.nonzero(between & (right == right[between].max())).flatten()
    i = int(best[len(best) // 2])
    return float((edges[i] + edges[i + 1]) / 2)


def area_under_curve(cosine: Float[Tensor, "pairs"], same: Bool[Tensor, "pairs"]) -> float:
    """Return how often a pair of the same class has a larger cosine than one of two classes; equal ones count half."""
    ours, others = cosine[same], cosine[~same].sort().values
    below = torch.searchsorted(others, ours)
    up_to = torch.searchsorted(others, ours, right=True)
    return float((below + up_to).double().mean() / (2 * len(others)))


def accuracy_by_fold(
    cosine: Float[Tensor, "pairs"], same: Bool[Tensor, "pairs"], fold: Int[Tensor, "pairs"]
) -> Float[Tensor, "folds"]:
    """Return the share of each fold that the threshold calls right which is best on all others together."""
    called_same = torch.empty_like(same)
    for number in fold.unique():
        here = fold == number
        called_same[here] = cosine[here] > best_threshold(cosine[~here], same[~here])
    return share_by_fold(called_same == same, fold)


def share_by_fold(right: Bool[Tensor, "pairs"], fold: Int[Tensor, "pairs"]) -> Float[Tensor, "folds"]:
    """Return the share of each fold that is right."""
    return torch.stack([right[fold == number].double().mean() for number in fold.unique()])


def area_by_fold(
    score: Float[Tensor, "pairs"], same: Bool[Tensor, "pairs"], fold: Int[Tensor, "pairs"]
) -> Float[Tensor, "folds"]:
    """Return the area under the curve of each fold by itself; each needs pairs of both kinds."""
    areas = [area_under_curve(score[fold == number], same[fold == number]) for number in fold.unique()]
    return torch.tensor(areas, dtype=torch.float64)


def cosines(features: Float[Tensor, "m d"], pairs: Int[Tensor, "*pairs two"]) -> Float[Tensor, "*pairs"]:
    """Return the cosine of each pair of rows, in float64."""
    unit = F.normalize(features.double(), dim=1)
    return (unit[pairs[..., 0]] * unit[pairs[..., 1]]).sum(-1)


class Similarity(Config):
    """Pairs of test videos in folds; a fold is judged by the threshold that is best on the others."""

    folds: int = Field(default=10, ge=2)
    pairs: int = Field(default=600, ge=2)
    """of a fold: half of one class, half of two"""
    seed: int = 0

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        return (
            f"pairs of test videos (of two groups, where groups are given): {self.folds} folds of at most {self.pairs} pairs, "
            f"half of one class, half of two, by seed {self.seed}, the same for all rows; cosine against the threshold that "
            "is best on the other folds; AUC: how often a pair of one class is nearer than a pair of two; mean over folds, "
            "interval: Student's over folds, which share test videos"
        )

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """Two columns; luck gives a half in both."""
        drawn = self.drawn(test_labels, test_groups)
        if drawn is None:
            return Plan({}, ["similarity: no column, as the test videos hold too few pairs of one class, or of two"])
        many = drawn[0].shape[1]
        notes = [f"similarity: {many} pairs in each of {self.folds} folds, no more are there"] if many < self.pairs else []
        return Plan({ACCURACY: 0.5, AUC: 0.5}, notes)

    def run(
        self,
        train_features: Float[Tensor, "n d"],
        train_labels: Int[Tensor, "n"],
        test_features: Float[Tensor, "m d"],
        test_labels: Int[Tensor, "m"],
        train_groups: Int[Tensor, "n"] | None = None,
        test_groups: Int[Tensor, "m"] | None = None,
    ) -> Outcome:
        """Return accuracy and area under the curve of every fold; training videos are not used."""
        drawn = self.drawn(test_labels, test_groups)
        if drawn is None:
            return Outcome({})
        pairs, same = drawn
        fold = torch.arange(self.folds)[:, None].expand_as(same).flatten()
        judged = cosines(test_features, pairs.flatten(0, 1)), same.flatten(), fold
        scores = {ACCURACY: accuracy_by_fold(*judged), AUC: area_by_fold(*judged)}
        return Outcome({name: Answers(score, over="draws") for name, score in scores.items()})

    def drawn(
        self, labels: Int[Tensor, "m"], groups: Int[Tensor, "m"] | None = None
    ) -> tuple[Int[Tensor, "folds pairs two"], Bool[Tensor, "folds pairs"]] | None:
        """Draw the pairs of every fold and whether each is of one class; no pair is in two folds. None where too few exist."""
        y = labels.cpu().numpy()
        of_group = np.arange(len(y)) if groups is None else groups.cpu().numpy()
        rng = sample_generator(self.seed, 0, "similarity")
        sides = [_pairs(y, of_group, is_same, self.folds * (self.pairs // 2), rng) for is_same in (True, False)]
        many = min(len(side) for side in sides) // self.folds
        if many == 0:
            return None
        folds = [side[: many * self.folds].reshape(self.folds, many, 2) for side in sides]
        same = torch.arange(2 * many).expand(self.folds, -1) < many
        return torch.from_numpy(np.concatenate(folds, 1)), same


_FEW = 4_000_000
"""possible pairs up to which all are listed and some chosen; beyond, they are drawn until enough differ"""


def _pairs(y: np.ndarray, groups: np.ndarray, is_same: bool, most: int, rng: np.random.Generator) -> np.ndarray:
    """Draw at most so many different pairs of videos of two groups, of one class or of two: (pairs, 2)."""
    n = len(y)
    if n * (n - 1) // 2 <= _FEW:
        first, second = np.triu_indices(n, 1)
        fits = ((y[first] == y[second]) == is_same) & (groups[first] != groups[second])
        every = np.stack([first[fits], second[fits]], 1)
        return every[rng.permutation(len(every))[:most]]
    found: dict[tuple[int, int], None] = {}
    for _ in range(200):
        tried = np.sort(rng.integers(0, n, (4 * most, 2)), 1)
        fits = (y[tried[:, 0]] == y[tried[:, 1]]) == is_same
        fits &= groups[tried[:, 0]] != groups[tried[:, 1]]
        found |= dict.fromkeys(map(tuple, tried[fits].tolist()))
        if len(found) >= most:
            break
    return np.array(list(found)[:most], np.int64).reshape(-1, 2)
