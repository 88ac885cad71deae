"""What a run folder tells of its training: settings, machine, log, health, encoders. Whatever is absent is simply not told."""

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reelvec.backbones import saved_encoders
from reelvec.core import EncoderCard, ReelvecError, RunFolder
from reelvec.data.index import Index
from reelvec.engine.config import RunConfig, read_yaml, steps_of_run, validate
from reelvec.engine.health import Health, judge
from reelvec.evals.results import read_result

Json = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """One JSON file of the evals/ folder; `result` is None where it is no result of a known form."""

    file: Path
    content: Any

    @cached_property
    def result(self) -> Json | None:
        """The result of `evaluate` or `diagnose`, with "file" as it was found."""
        try:
            return read_result(self.file)
        except ReelvecError:
            return None


class RunStory:
    """Reads a run folder, or an encoder folder, which knows no training."""

    def __init__(self, run: Path) -> None:
        """Raise ReelvecError where `run` is neither."""
        self.path, self.folder = run, RunFolder(run)
        asked = f"report on {run}"
        if not run.is_dir():
            raise ReelvecError(asked, "no such folder", "give the folder of a run: runs/NAME")
        if not (self.folder.exists() or saved_encoders(run) or self.folder.evals.is_dir()):
            there = ", ".join(sorted(p.name for p in run.iterdir())[:5]) or "an empty folder"
            raise ReelvecError(
                asked, f"no config.yaml, encoder or evals in it ({there})", "give the folder of a run: runs/NAME"
            )

    @cached_property
    def config(self) -> Json | None:
        """The settings of the run, as they stand in config.yaml."""
        return read_yaml(self.folder.config) if self.folder.exists() else None

    @cached_property
    def environment(self) -> Json:
        """The machine, the versions and the command."""
        content = _json(self.folder.environment)
        return content if isinstance(content, dict) else {}

    @cached_property
    def quarantine(self) -> list[Json]:
        """Files that broke while training."""
        content = _json(self.folder.quarantine)
        return content if isinstance(content, list) else []

    @cached_property
    def log(self) -> list[Json]:
        """Rows of the log; what a kill cut short is passed over."""
        if not self.folder.log.exists():
            return []
        rows = (_parsed(line) for line in self.folder.log.read_text(encoding="utf-8", errors="replace").splitlines())
        return [row for row in rows if isinstance(row, dict) and isinstance(row.get("step"), int)]

    @cached_property
    def index(self) -> Index | None:
        """The videos of the training."""
        try:
            return Index.load(self.folder.index)
        except ReelvecError:
            return None

    @cached_property
    def cards(self) -> dict[str, EncoderCard]:
        """The encoders by name, visual first."""
        place = self.folder.encoder if self.folder.encoder.is_dir() else self.path
        found = {}
        for name in saved_encoders(self.path):
            try:
                found[name] = EncoderCard.model_validate(_json(place / f"{name}.json"))
            except ValidationError:
                continue  # a JSON file of something else
        return found

    @cached_property
    def measured(self) -> list[Measured]:
        """The files of the evals/ folder, by name."""
        files = sorted(self.folder.evals.glob("*.json"))
        return [Measured(file, content) for file in files if (content := _json(file)) is not None]

    @property
    def steps_done(self) -> int:
        """The last step that the log knows."""
        return max((row["step"] for row in self.log), default=0)

    @cached_property
    def steps_asked(self) -> int | None:
        """Steps that the settings ask for."""
        if self.config is None:
            return None
        try:
            config = validate(RunConfig, self.config, str(self.folder.config))
            return steps_of_run(config, len(self.index.usable()) if self.index is not None else 0)
        except ReelvecError:
            return None

    def series(self) -> dict[str, list[tuple[int, float]]]:
        """Return (step, value) of every number that was logged, by name; those of health are "health.NAME"."""
        found: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for row in self.log:
            numbers = {f"health.{name}": value for name, value in row.get("health", {}).items()} if "health" in row else row
            for name, value in numbers.items():
                if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                    found[name].append((row["step"], float(value)))
        return dict(found)

    @cached_property
    def health(self) -> list[Health]:
        """All looks at the probe batch."""
        names = {name for name in Health.__dataclass_fields__ if name != "step"}
        return [
            Health(step=row["step"], **{name: float(row["health"][name]) for name in names})
            for row in self.log
            if isinstance(row.get("health"), dict) and names <= set(row["health"])
        ]

    @cached_property
    def verdict(self) -> tuple[str, str] | None:
        """The newest word on the run's health and what to do; None where nobody looked."""
        if not self.health:
            return None
        total = self.steps_asked or self.steps_done
        return judge(self.health, self.health[-1].step / max(total, 1))

    @property
    def broken_numbers(self) -> list[str]:
        """Names of logged numbers that were not finite."""
        return [name for name, points in self.series().items() if any(not math.isfinite(value) for _, value in points)]


def _json(path: Path) -> Any:
    """Read a JSON file; None where it is absent or cut short."""
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
