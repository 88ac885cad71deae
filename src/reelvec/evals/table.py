"""The evaluations by name, and the table they fill: a row for each kind of features, shares of test videos, intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import Config
from reelvec.core.shapes import Bool, Float, Int
from reelvec.engine.config import validate
from reelvec.evals.fewshot import Fewshot
from reelvec.evals.knn import Knn
from reelvec.evals.linear import Linear
from reelvec.evals.lowshot import Lowshot
from reelvec.evals.outcome import Answers, Outcome, interval
from reelvec.evals.plan import Plan
from reelvec.evals.retrieval import Retrieval
from reelvec.evals.similarity import Similarity

AnyEval = TypeVar("AnyEval")


@runtime_checkable
class Planned(Protocol):
    """What can say, of some labels, which columns there are."""

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        ...

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """Return which columns there are with these labels, what chance gives in each, and notes for the reader."""
        ...


@runtime_checkable
class Eval(Planned, Protocol):
    """What an evaluation of frozen features offers. It knows features and class numbers, no encoder and no file."""

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


def seeded(task: str, seed: int, settings: Mapping[str, Any] | None = None) -> Eval:
    """Make the evaluation of this name with these settings; what it draws, it draws by `seed`."""
    return with_settings(EVALS[task], task, seed, settings)


def with_settings(kind: type[AnyEval], task: str, seed: int, settings: Mapping[str, Any] | None) -> AnyEval:
    """Make an evaluation; ReelvecError names every setting that it does not have or that does not fit."""
    given = dict(settings or {})
    if not issubclass(kind, Config):
        return kind()
    if "seed" in kind.model_fields:
        given = {"seed": seed, **given}
    return validate(kind, given, f"the task {task}")


@dataclass(frozen=True)
class Features:
    """One row of the table: features of all videos; several times where several networks of a kind are averaged."""

    name: str
    draws: list[Float[Tensor, "videos _"]]


def concatenate(parts: Sequence[Float[Tensor, "videos _"]]) -> Float[Tensor, "videos _"]:
    """Put features side by side, each of length one, so that no part outweighs another by its scale."""
    return torch.cat([F.normalize(part, dim=1) for part in parts], dim=1)


@dataclass(frozen=True)
class Numbered:
    """Labels, sides and groups of all videos as numbers; groups are None where there are none."""

    classes: list[str]
    labels: Int[Tensor, "videos"]
    test: Bool[Tensor, "videos"]
    groups: Int[Tensor, "videos"] | None

    @classmethod
    def of(cls, labels: Sequence[str], test: Sequence[bool], groups: Sequence[str | None] | None = None) -> "Numbered":
        """Number the classes and the groups in the order of their names."""
        classes = sorted(set(labels))
        number = {name: i for i, name in enumerate(classes)}
        y, sides = torch.tensor([number[label] for label in labels]), torch.tensor(list(test))
        if not groups or groups[0] is None:
            return cls(classes, y, sides, None)
        of_group = {name: i for i, name in enumerate(sorted({str(group) for group in groups}))}
        return cls(classes, y, sides, torch.tensor([of_group[str(group)] for group in groups]))


def fill_table(
    evals: Mapping[str, Eval],
    rows: Sequence[Features],
    videos: Numbered,
    clip_evals: Mapping[str, Planned] | None = None,
    found: Mapping[str, Outcome] | None = None,
) -> dict[str, Any]:
    """Run every evaluation on every row of features, add what those that train on clips found, and the row of chance.

    Returns {"classes", "train", "test", "columns", "notes", "rows": [{"name", "dim", "values", "low", "high", "details"}],
    "answers"}, the last being row -> column -> `Answers` of each network that is averaged. What `found` has for a row stands
    in that row alone.
    """
    is_test, found = videos.test, found or {}
    train_y, test_y = videos.labels[~is_test], videos.labels[is_test]
    train_groups = test_groups = None
    if videos.groups is not None:
        train_groups, test_groups = videos.groups[~is_test], videos.groups[is_test]
    plans = [one.plan(train_y, test_y, test_groups) for one in [*evals.values(), *(clip_evals or {}).values()]]
    chance = {column: share for plan in plans for column, share in plan.chance.items()}
    filled: list[dict[str, Any]] = []
    answers: dict[str, dict[str, list[Answers]]] = {}
    for row in rows:
        runs = []
        for features in row.draws:
            outcomes = [
                one.run(features[~is_test], train_y, features[is_test], test_y, train_groups, test_groups)
                for one in evals.values()
            ]
            runs.append(joined(outcomes))
        added = found.get(row.name, Outcome({}))
        filled.append(_row(row.name, row.draws[0].shape[1], runs, added, test_groups))
        answers[row.name] = {column: [run.columns[column] for run in runs] for column in runs[0].columns}
        answers[row.name] |= {column: [one] for column, one in added.columns.items()}
    filled.append({"name": "chance", "dim": 0, "values": chance, "low": {}, "high": {}, "details": {}})
    return {
        "classes": videos.classes,
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


def _row(name: str, dim: int, runs: list[Outcome], added: Outcome, test_groups: Int[Tensor, "m"] | None) -> dict[str, Any]:
    """Put one kind of features into a row; several runs are several networks of the kind, of which `added` saw the first."""
    every = {column: [run.columns[column] for run in runs] for column in runs[0].columns}
    details: dict[str, Any] = {key: [run.details[key] for run in runs] for key in runs[0].details}
    if len(runs) > 1:
        details["each"] = {column: [one.mean for one in several] for column, several in every.items()}
    every |= {column: [one] for column, one in added.columns.items()}
    bounds = {column: interval(several, test_groups) for column, several in every.items()}
    return {
        "name": name,
        "dim": dim,
        "values": {column: sum(one.mean for one in several) / len(several) for column, several in every.items()},
        "low": {column: low for column, (low, _) in bounds.items()},
        "high": {column: high for column, (_, high) in bounds.items()},
        "details": details | dict(added.details),
    }
