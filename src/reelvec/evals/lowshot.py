"""Linear probe with the labels of a few training videos (eval_protocols, section g)."""

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from reelvec.core import Config, sample_generator
from reelvec.core.shapes import Float, Int
from reelvec.evals.linear import Linear, Space, fit_logistic, standard
from reelvec.evals.outcome import Answers, Outcome
from reelvec.evals.plan import Plan


class Lowshot(Config):
    """The linear probe, fitted to a share of the training videos of each class, or to so many of each; several draws."""

    shares: tuple[float, ...] = (0.01, 0.1)
    """of the training videos of each class, rounded, but one video at least"""
    per_class: tuple[int, ...] = (1, 5, 10, 20)
    """videos of each class; a column where every class has so many, and they are not all training videos"""
    draws: int = Field(default=5, ge=2)
    pick_from: int = Field(default=5, ge=2)
    """C is picked where every class has so many drawn videos; below, holding out would leave classes too thin"""
    seed: int = 0

    @property
    def _probe(self) -> Linear:
        return Linear(seed=self.seed)

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        return (
            f"the linear probe on the labels of few training videos: a share of each class (at least one video) or so many "
            f"of each class; mean of {self.draws} draws by seed {self.seed}, the same for all rows, smaller draws within "
            f"larger ones; interval: Student's over draws, without the luck of the test videos; features standardised by all "
            f"training videos, labels unread; C picked by hold-out among the drawn videos where each class has "
            f"{self.pick_from} of them, else {self._probe.unpicked:.2g}"
        )

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """A column for each number of videos that the classes have; luck names the largest class among the drawn."""
        sizes = _sizes(train_labels)
        wanted, notes = self._wanted(train_labels), []
        for share in self.shares:
            drawn = sum(wanted[_percent(share)].values())
            if drawn > 1.5 * share * len(train_labels):
                notes.append(
                    f"{_percent(share)}: {drawn} of {len(train_labels)} training videos, as each of {len(sizes)} classes has "
                    "at least one"
                )
        if left := [n for n in self.per_class if _each(n) not in wanted]:
            notes.append(
                f"lowshot: no column for {', '.join(map(str, left))} a class, as the smallest of {len(sizes)} classes has "
                f"{min(sizes.values())} training videos and all together {len(train_labels)}"
            )
        chance = {}
        for column, many in wanted.items():
            # the largest class among the drawn labels; where several are, one of them
            largest = [label for label, count in many.items() if count == max(many.values())]
            chance[column] = sum((test_labels == label).double().mean().item() for label in largest) / len(largest)
        return Plan(chance, notes)

    def run(
        self,
        train_features: Float[Tensor, "n d"],
        train_labels: Int[Tensor, "n"],
        test_features: Float[Tensor, "m d"],
        test_labels: Int[Tensor, "m"],
        train_groups: Int[Tensor, "n"] | None = None,
        test_groups: Int[Tensor, "m"] | None = None,
    ) -> Outcome:
        """Return for each column the accuracy of every draw."""
        train_features, test_features = train_features.double(), test_features.double()
        classes = int(max(train_labels.max(), test_labels.max())) + 1
        by = standard(train_features)
        orders = [self._order(train_labels, draw) for draw in range(self.draws)]
        columns = {}
        for column, many in self._wanted(train_labels).items():
            shares = []
            for order in orders:
                drawn = torch.cat([order[label][:count] for label, count in many.items()])
                space, labels = Space(train_features[drawn], by), train_labels[drawn]
                x, c = space(train_features[drawn]), self._probe.unpicked
                if min(many.values()) >= self.pick_from:
                    c = self._probe.pick(x, labels, classes, None if train_groups is None else train_groups[drawn])
                weights = fit_logistic(x, labels, classes, c)
                predicted = (space(test_features) @ weights[:-1] + weights[-1]).argmax(1)
                shares.append((predicted == test_labels).double().mean().item())
            columns[column] = Answers(torch.tensor(shares, dtype=torch.float64), over="draws")
        return Outcome(columns)

    def _wanted(self, train_labels: Int[Tensor, "n"]) -> dict[str, dict[int, int]]:
        """Return {column: {class: videos of it}}."""
        sizes = _sizes(train_labels)
        wanted = {_percent(p): {label: max(1, int(p * size + 0.5)) for label, size in sizes.items()} for p in self.shares}
        for n in self.per_class:
            if n <= min(sizes.values()) and n < max(sizes.values()):
                wanted[_each(n)] = dict.fromkeys(sizes, n)
        return wanted

    def _order(self, train_labels: Int[Tensor, "n"], draw: int) -> dict[int, Int[Tensor, "_"]]:
        """Return {class: its training videos in random order}, by (seed, draw): a draw takes the first of each."""
        rng = sample_generator(self.seed, draw, "lowshot")
        numbered = train_labels.cpu().numpy()
        return {label: torch.from_numpy(rng.permutation(np.flatnonzero(numbered == label))) for label in _sizes(train_labels)}


def _percent(share: float) -> str:
    return f"lowshot {100 * share:g}%"


def _each(n: int) -> str:
    return f"lowshot {n} a class"


def _sizes(labels: Int[Tensor, "n"]) -> dict[int, int]:
    """Return {class: videos}, classes ascending."""
    return {label: count for label, count in enumerate(labels.bincount().tolist()) if count}
