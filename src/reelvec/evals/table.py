"""The evaluations by name, and the table they fill: a row for each kind of features, shares of test videos, intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import Config
from reelvec.core.shapes import Float, Int
from reelvec.evals.fewshot import Fewshot
from reelvec.evals.knn import Knn
from reelvec.evals.linear import Linear
from reelvec.evals.lowshot import Lowshot
from reelvec.evals.outcome import Answers, Outcome, interval
from reelvec.evals.plan import Plan
from reelvec.evals.retrieval import Retrieval
from reelvec.evals.similarity import Similarity


@runtime_checkable
class Eval(Protocol):
    """What an evaluation of frozen features offers. It knows features and class numbers, no encoder and no file."""

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        ...

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """Return which columns there are with these labels, what chance gives in each, and notes for the reader."""
        ...

    def run(
        self,
        train_features: Float[Tensor, "n d"],
        train_labels: Int[Tensor, "n"],
        test_features: Float[Tensor, "m d"],
        test_labels: Int[Tensor, "m"],
        train_groups: Int[Tensor, "n"] | None = None,
        test_groups: Int[Tensor, "m"] | None = None,
    ) -> Outcome:
        """Return the columns of `plan`, and numbers beside them, by name.

        Draws may depend on labels, never on features: all rows of a table share them. No label of a video may be learnt
        from and compared with at once.
        """
        ...


EVALS: dict[str, type[Eval]] = {
    "knn": Knn,
    "linear": Linear,
    "retrieval": Retrieval,
    "lowshot": Lowshot,
    "fewshot": Fewshot,
    "similarity": Similarity,
}


def seeded(task: str, seed: int) -> Eval:
    """Make the evaluation of this name; what it draws, it draws by `seed`."""
    kind = EVALS[task]
    if issubclass(kind, Config) and "seed" in kind.model_fields:
        return kind.model_validate({"seed": seed})
    return kind()


@dataclass(frozen=True)
class Features:
    """One row of the table: features of all videos; several times where several networks of a kind are averaged."""

    name: str
    draws: list[Float[Tensor, "videos _"]]


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

    Returns {"classes", "train", "test", "columns", "notes", "rows": [{"name", "dim", "values", "low", "high", "details"}],
    "answers"}, the last being row -> column -> `Answers` of each network that is averaged.
    """
    classes = sorted(set(labels))
    number = {name: i for i, name in enumerate(classes)}
    is_test = torch.tensor(list(test))
    y = torch.tensor([number[label] for label in labels])
    train_y, test_y = y[~is_test], y[is_test]
    train_groups = test_groups = None
    if groups is not None:
        of_group = {name: i for i, name in enumerate(sorted(set(groups)))}
        numbered = torch.tensor([of_group[group] for group in groups])
        train_groups, test_groups = numbered[~is_test], numbered[is_test]
    plans = [one.plan(train_y, test_y, test_groups) for one in evals]
    chance = {column: share for plan in plans for column, share in plan.chance.items()}
    filled: list[dict[str, Any]] = []
    answers: dict[str, dict[str, list[Answers]]] = {}
    for row in rows:
        runs = []
        for features in row.draws:
            found = [
                one.run(features[~is_test], train_y, features[is_test], test_y, train_groups, test_groups) for one in evals
            ]
            runs.append(joined(found))
        filled.append(_row(row.name, row.draws[0].shape[1], runs))
        answers[row.name] = {column: [run.columns[column] for run in runs] for column in runs[0].columns}
    filled.append({"name": "chance", "dim": 0, "values": chance, "low": {}, "high": {}, "details": {}})
    return {
        "classes": classes,
        "train": len(train_y),
        "test": len(test_y),
        "columns": list(chance),
        "notes": [note for plan in plans for note in plan.notes],
        "rows": filled,
        "answers": answers,
    }


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Put the columns and details of several evaluations of one encoder side by side."""
    columns = {column: answers for one in outcomes for column, answers in one.columns.items()}
    return Outcome(columns, {name: number for one in outcomes for name, number in one.details.items()})


def _row(name: str, dim: int, runs: list[Outcome]) -> dict[str, Any]:
    """Put one kind of features into a row; several runs are several networks of the kind."""
    columns = list(runs[0].columns)
    bounds = {column: interval([run.columns[column] for run in runs]) for column in columns}
    details: dict[str, Any] = {key: [run.details[key] for run in runs] for key in runs[0].details}
    if len(runs) > 1:
        details["each"] = {column: [run.shares[column] for run in runs] for column in columns}
    return {
        "name": name,
        "dim": dim,
        "values": {column: sum(run.shares[column] for run in runs) / len(runs) for column in columns},
        "low": {column: low for column, (low, _) in bounds.items()},
        "high": {column: high for column, (_, high) in bounds.items()},
        "details": details,
    }
