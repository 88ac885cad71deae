"""The folder of a run: where each file stands, and how a file is written whole or not at all."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reelvec.core.errors import ReelvecError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file or folder under a temporary name and rename it, so that `path` is either absent, old or complete.

    A full disk ends in a ReelvecError and leaves what was there before untouched.
    """
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(part, path)
    except OSError as error:
        _remove(part)
        raise ReelvecError(
            f"save {path}",
            f"the system says: {error.strerror or error}",
            "free some space or choose another out=FOLDER, then run the same command again: it goes on from the last good step",
        ) from error
    except BaseException:
        _remove(part)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        path.unlink()


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    write_whole(path, lambda part: part.write_text(json.dumps(content, indent=2) + "\n"))


class RunFolder:
    """runs/NAME: config.yaml environment.json index.parquet log.jsonl steps/000100/ encoder/ evals/."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.environment = self.path / "environment.json"
        self.index = self.path / "index.parquet"
        self.log = self.path / "log.jsonl"
        self.quarantine = self.path / "quarantine.json"
        self.encoder = self.path / "encoder"
        self.evals = self.path / "evals"

    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.config.exists()

    def step_folder(self, step: int) -> Path:
        """Folder of a saved step: method.safetensors, optimizer.safetensors, state.json."""
        return self.path / "steps" / f"{step:06d}"

    def saved_steps(self) -> list[int]:
        """Steps that are saved, first to last; what is being written is not among them."""
        return sorted(int(p.name) for p in (self.path / "steps").glob("[0-9]*") if p.is_dir())
