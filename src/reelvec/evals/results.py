"""Results on disk: where they stand in a run folder, and how they are read again."""

import json
from pathlib import Path
from typing import Any

from reelvec.core import ReelvecError, RunFolder
from reelvec.evals.kept_steps import run_folder

FEATURES = "features"
"""folder beside the results, in which features are kept"""


def result_file(run: Path, labels: Path, step: int, kind: str = "") -> Path:
    """Return where a result stands in a run folder: named after the labels and the step."""
    name = labels.absolute().stem if labels.is_file() else labels.absolute().name
    return RunFolder(run_folder(run)).evals / f"{name}{kind}-step{step:06d}.json"


def answers_file(file: Path) -> Path:
    """Return where the single answers of a result stand."""
    return file.with_suffix(".answers.parquet")


def read_result(file: Path) -> dict[str, Any]:
    """Read a result; its "file" says where it was found, whatever folder it was written in. ReelvecError if it is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReelvecError(f"read the result {file}", str(error), "measure again: reelvec evaluate RUN --labels ...") from error
    if not isinstance(content, dict) or not {"run", "labels", "protocol", "tables"} <= set(content):
        raise ReelvecError(f"read the result {file}", "JSON, but no result of evaluate", "give one of a run's evals/ folder")
    return {**content, "file": str(file)}
