"""The file of embeddings: a Parquet table, and in its metadata how the vectors were made."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reelvec.core import Config, ReelvecError
from reelvec.core.shapes import Float

_KEY = b"reelvec"

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("vector", pa.list_(pa.float32())),
        ("encoder", pa.string()),
        ("weights_sha256", pa.string()),
    ]
)


class Made(Config):
    """How the vectors of a file were made; two files with equal values hold comparable vectors of the same videos."""

    encoder: str
    weights_sha256: str
    window_seconds: float | None
    hop_seconds: float | None
    clips: int | None
    videos: str
    """hash of the paths, sizes and times of change of all videos"""
    left_out: dict[str, str] = {}
    """path -> reason, for videos without a row"""

    def same_work(self, other: "Made") -> bool:
        """Whether both come from equal settings and unchanged videos."""
        return self.model_copy(update={"left_out": {}}) == other.model_copy(update={"left_out": {}})


def fingerprint(paths: Sequence[str]) -> str:
    """Hash paths, sizes and times of change."""
    digest = hashlib.sha256()
    for path in paths:
        stat = os.stat(path)
        digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def make_table(
    paths: Sequence[str], starts: Sequence[float], ends: Sequence[float], vectors: Float[np.ndarray, "n d"], made: Made
) -> pa.Table:
    """Build the table of one part."""
    n, dim = vectors.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * dim)
    columns = {
        "path": pa.array(paths, pa.string()),
        "start_seconds": pa.array(starts, pa.float64()),
        "end_seconds": pa.array(ends, pa.float64()),
        "vector": pa.ListArray.from_arrays(offsets, pa.array(vectors.astype(np.float32).reshape(-1))),
        "encoder": pa.array([made.encoder] * n, pa.string()),
        "weights_sha256": pa.array([made.weights_sha256] * n, pa.string()),
    }
    return pa.table(columns, schema=stamped(made))


def stamped(made: Made) -> pa.Schema:
    """Return the schema with `made` in its metadata."""
    return SCHEMA.with_metadata({_KEY: made.model_dump_json().encode()})


def read_made(path: Path) -> Made | None:
    """Return how a file was made; None if it is absent, cut short or no file of embeddings."""
    try:
        schema = pq.read_schema(path)
        return Made.model_validate(json.loads((schema.metadata or {})[_KEY]))
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None


class Embeddings:
    """All rows of a file of embeddings, with vectors as one array."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raise ReelvecError if `path` is not such a file, or holds nothing."""
        asked = f"search in {path}"
        if not Path(path).is_file():
            raise ReelvecError(asked, "no such file", "make it with: reelvec embed RUN VIDEOS out=FILE.parquet")
        made = read_made(Path(path))
        if made is None:
            raise ReelvecError(asked, "a file that `reelvec embed` did not write", "give the out= file of an embed command")
        table = pq.read_table(path)
        if not table.num_rows:
            raise ReelvecError(asked, "a table without rows", "embed some videos first")
        self.path, self.made = Path(path), made
        self.paths: list[str] = table.column("path").to_pylist()
        self.start_seconds: np.ndarray = table.column("start_seconds").to_numpy()
        self.end_seconds: np.ndarray = table.column("end_seconds").to_numpy()
        flat = table.column("vector").combine_chunks().flatten().to_numpy()
        self.vectors: np.ndarray = flat.reshape(table.num_rows, -1)

    def __len__(self) -> int:
        return len(self.paths)

    def row(self, i: int) -> dict[str, Any]:
        """Return path and span of a row."""
        return {
            "path": self.paths[i],
            "start_seconds": float(self.start_seconds[i]),
            "end_seconds": float(self.end_seconds[i]),
        }
