"""Columns of the table whose evaluations train on clips: minutes each, so what was found is kept and not done twice."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reelvec import __version__
from reelvec.core import Encoder, EncoderCard, ReelvecError, write_json
from reelvec.core.shapes import Bool, Int
from reelvec.data.index import Index
from reelvec.engine.extract import OnProgress
from reelvec.evals.heads.clip_eval import ClipEval
from reelvec.evals.kept_features import files_of
from reelvec.evals.outcome import Answers, Outcome
from reelvec.evals.table import joined


@dataclass(frozen=True)
class Network:
    """A row of the table that can read clips."""

    name: str
    encoder: Encoder
    card: EncoderCard
    identity: str
    """of its weights"""


@dataclass(frozen=True)
class Failed:
    """A task that could not be done with a network."""

    task: str
    row: str
    reason: str


def clip_outcomes(
    evals: Mapping[str, ClipEval],
    networks: Sequence[Network],
    index: Index,
    rows: Sequence[int],
    labels: Int[Tensor, "videos"],
    test: Bool[Tensor, "videos"],
    groups: Int[Tensor, "videos"] | None,
    *,
    folder: Path,
    device: torch.device,
    workers: int = 0,
    on_progress: OnProgress | None = None,
    goes_on: bool = False,
) -> tuple[dict[str, Outcome], list[Failed]]:
    """Run every evaluation on every network, or take what `folder` has of it; return the outcome of each network by name.

    With `goes_on`, what raises ReelvecError has no columns in the outcome and stands in the list that is returned beside.
    """
    failed: list[Failed] = []
    videos = [files_of(index, rows), labels.tolist(), test.tolist(), None if groups is None else groups.tolist()]
    found: dict[str, list[Outcome]] = {network.name: [] for network in networks}
    for network in networks:
        for task, one in evals.items():
            fed = network.card.model_dump(mode="json", exclude={"name", "method", "step", "weights_sha256"})
            depends = json.dumps([__version__, task, one.protocol, network.identity, fed, videos], sort_keys=True)
            file = folder / f"{task}-{network.name.replace(' ', '-')}-{hashlib.sha256(depends.encode()).hexdigest()[:12]}.json"
            kept = _read(file)
            if kept is None:

                def progress(done: int, total: int, text: str, said: str = f"{task}, {network.name}: ") -> None:
                    if on_progress:
                        on_progress(done, total, said + text)

                try:
                    kept = one.run(
                        network.encoder, network.card, index, rows, labels, test, groups, device=device, workers=workers,
                        on_progress=progress,
                    )  # fmt: skip
                except ReelvecError as error:
                    if not goes_on:
                        raise
                    failed.append(Failed(task, network.name, str(error)))
                    continue
                write_json(file, _plain(kept))
            found[network.name].append(kept)
    return {name: joined(outcomes) for name, outcomes in found.items()}, failed


def _plain(outcome: Outcome) -> dict[str, Any]:
    columns = {
        name: {
            "over": one.over,
            "score": one.score.tolist(),
            "named": None if one.named is None else one.named.tolist(),
            "sure": None if one.sure is None else one.sure.tolist(),
        }
        for name, one in outcome.columns.items()
    }
    return {"columns": columns, "details": dict(outcome.details)}


def _read(file: Path) -> Outcome | None:
    """Return what was kept; a file that cannot be read counts as absent."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        columns = {
            name: Answers(
                torch.tensor(one["score"], dtype=torch.float64),
                one["over"],
                None if one["named"] is None else torch.tensor(one["named"]),
                None if one["sure"] is None else torch.tensor(one["sure"]),
            )
            for name, one in kept["columns"].items()
        }
        return Outcome(columns, kept["details"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
