"""The run's log: one JSON object a line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reelvec.core import write_whole

Row = dict[str, Any]

_NOT_LOSSES = ("step", "lr", "clips_per_second", "waiting_share")


class RunLog:
    """log.jsonl. On resuming, lines after the saved step are dropped, so that the log tells one story."""

    def __init__(self, path: Path, from_step: int) -> None:
        """`from_step` 0: nothing was saved, so the story begins anew."""
        self.path = path
        if path.exists():
            lines = path.read_text().splitlines(keepends=True) if from_step else []
            kept = "".join(line for line in lines if _whole_and_before(line, from_step))
            write_whole(path, lambda part: part.write_text(kept))

    def write(self, row: Row) -> None:
        """Append one row and hand it to the system at once."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _whole_and_before(line: str, step: int) -> bool:
    try:
        return line.endswith("\n") and json.loads(line).get("step", 0) <= step
    except json.JSONDecodeError:
        return False  # a line cut short by a kill


def read_log(path: Path) -> list[Row]:
    """Read all rows of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def newest(rows: Sequence[Row], key: str) -> Row:
    """Return the newest row that has this key; an empty one if none has."""
    return next((row for row in reversed(rows) if key in row), {})


def losses_of(row: Row) -> dict[str, float]:
    """Return the losses that stand in a row."""
    return {name: value for name, value in row.items() if name not in _NOT_LOSSES}
