"""The run's log: one JSON object a line."""

import json
from pathlib import Path
from typing import Any


class RunLog:
    """log.jsonl. On resuming, lines after the saved step are dropped, so that the log tells one story."""

    def __init__(self, path: Path, from_step: int) -> None:
        self.path = path
        if path.exists():
            lines = [line for line in path.read_text().splitlines(keepends=True) if _whole_and_before(line, from_step)]
            path.write_text("".join(lines))

    def write(self, row: dict[str, Any]) -> None:
        """Append one row and hand it to the system at once."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _whole_and_before(line: str, step: int) -> bool:
    try:
        return line.endswith("\n") and json.loads(line).get("step", 0) <= step
    except json.JSONDecodeError:
        return False  # a line cut short by a kill


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read all rows of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
