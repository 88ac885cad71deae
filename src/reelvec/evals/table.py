"""The evaluations by name, and the table they fill: a row for each kind of features, shares of test videos, intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.shapes import Float, Int
from reelvec.evals.baselines import chance_recall, majority_accuracy
from reelvec.evals.knn import Knn
from reelvec.evals.linear import Linear
from reelvec.evals.retrieval import Retrieval

_NORMAL_95 = 1.959964


@runtime_checkable
class Eval(Protocol):
    """What an evaluation of frozen features offers. It knows features and class numbers, no encoder and no file."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The numbers of `run` that are shares of test videos: columns of the table."""
        ...

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        ...

    def run(
        self,
        train_features: Float[Tensor, "n d"],
        train_labels: Int[Tensor, "n"],
        test_features: Float[Tensor, "m d"],
        test_labels: Int[Tensor, "m"],
        train_groups: Int[Tensor, "n"] | None = None,
    ) -> dict[str, float]:
        """Return the columns, and numbers beside them, by name. Test labels may only be compared with, never learnt from."""
        ...


EVALS: dict[str, type[Eval]] = {
    "knn": Knn,
    "linear": Linear,
    "retrieval": Retrieval,
}


@dataclass(frozen=True)
class Features:
    """One row of the table: features of all videos; several times where several networks of a kind are averaged."""

    name: str
    draws: list[Float[Tensor, "videos _"]]


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share of n trials (Wilson 1927): never outside [0, 1], honest for small n."""
    z2 = _NORMAL_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def concatenate(parts: Sequence[Float[Tensor, "videos _"]]) -> Float[Tensor, "videos _"]:
    """Put features side by side, each of length one, so that no part outweighs another by its scale."""
    return torch.cat([F.normalize(part, dim=1) for part in parts], dim=1)


def fill_table(
    evals: Sequence[Eval],
    rows: Sequence[Features],
    labels: Sequence[str],
    test: Sequence[bool],
    groups: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Run every evaluation on every row of features and add the row of chance. All but `rows` are per video.

    Returns {"classes", "train", "test", "columns", "rows": [{"name", "dim", "values", "low", "high", "details"}]}.
    """
    classes = sorted(set(labels))
    number = {name: i for i, name in enumerate(classes)}
    is_test = torch.tensor(list(test))
    y = torch.tensor([number[label] for label in labels])
    train_y, test_y = y[~is_test], y[is_test]
    train_groups = None
    if groups is not None:
        of_group = {name: i for i, name in enumerate(sorted(set(groups)))}
        train_groups = torch.tensor([of_group[group] for group in groups])[~is_test]
    columns = [column for one in evals for column in one.columns]
    filled = []
    for row in rows:
        runs = []
        for features in row.draws:
            numbers: dict[str, float] = {}
            for one in evals:
                numbers |= one.run(features[~is_test], train_y, features[is_test], test_y, train_groups)
            runs.append(numbers)
        filled.append(_row(row.name, row.draws[0].shape[1], runs, columns, len(test_y)))
    filled.append(_chance(train_y, test_y, columns))
    return {"classes": classes, "train": len(train_y), "test": len(test_y), "columns": columns, "rows": filled}


def _row(name: str, dim: int, runs: list[dict[str, float]], columns: list[str], n: int) -> dict[str, Any]:
    mean = {key: sum(run[key] for run in runs) / len(runs) for key in runs[0]}
    bounds = {column: wilson(mean[column], n) for column in columns}
    details: dict[str, Any] = {key: [run[key] for run in runs] for key in runs[0] if key not in columns}
    if len(runs) > 1:
        details["each"] = {column: [run[column] for run in runs] for column in columns}
    return {
        "name": name,
        "dim": dim,
        "values": {column: mean[column] for column in columns},
        "low": {column: low for column, (low, _) in bounds.items()},
        "high": {column: high for column, (_, high) in bounds.items()},
        "details": details,
    }


def _chance(train: Tensor, test: Tensor, columns: list[str]) -> dict[str, Any]:
    """Accuracy of the training videos' majority class; for R@k, what a random order of the gallery gives."""
    depths = [int(column[2:]) for column in columns if column.startswith("R@")]
    expected = chance_recall(train.tolist(), test.tolist(), depths)
    majority = majority_accuracy(train, test)
    values = {column: expected.get(column, majority) for column in columns}
    return {"name": "chance", "dim": 0, "values": values, "low": {}, "high": {}, "details": {}}
