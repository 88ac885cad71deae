"""The file of embeddings: a Parquet table, and in its metadata how the vectors were made."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reelvec.core import Config, ReelvecError
from reelvec.core.shapes import Float, Int
from reelvec.embeddings.nearest import Nearest

_KEY = b"reelvec"

ROWS_IN_GROUP = 8192
"""of the Parquet file: groups of 64 rows take three times as long to read"""

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("vector", pa.list_(pa.field("element", pa.float32(), nullable=False))),
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
        "vector": pa.ListArray.from_arrays(
            offsets, pa.array(vectors.astype(np.float32).reshape(-1)), type=SCHEMA.field("vector").type
        ),
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


def write_table(tables: Iterable[pa.Table], path: Path, made: Made) -> None:
    """Write tables as one file in groups of `ROWS_IN_GROUP` rows, no more than a group and a table in memory at a time.

    Vectors are written plainly: their numbers hardly repeat, and neither a dictionary nor Snappy makes them smaller.
    """
    schema = stamped(made)
    words = [field.name for field in SCHEMA if field.type == pa.string()]
    compression = {field.name: "snappy" for field in SCHEMA if field.name != "vector"} | {"vector.list.element": "none"}
    with pq.ParquetWriter(path, schema, use_dictionary=words, compression=compression) as writer:
        waiting: list[pa.Table] = []
        rows = 0
        for table in tables:
            waiting.append(table.cast(schema))
            rows += table.num_rows
            if rows >= ROWS_IN_GROUP:
                together = pa.concat_tables(waiting)
                whole = rows - rows % ROWS_IN_GROUP
                writer.write_table(together[:whole], row_group_size=ROWS_IN_GROUP)
                waiting, rows = [together[whole:]], rows - whole
        if rows:
            writer.write_table(pa.concat_tables(waiting), row_group_size=ROWS_IN_GROUP)


class Embeddings:
    """All rows of a file of embeddings, with vectors as one array (4 bytes a number; what `open_embeddings` adds, says it)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raise ReelvecError if `path` is not such a file, or holds nothing."""
        asked = f"search in {path}"
        if not Path(path).is_file():
            raise ReelvecError(asked, "no such file", "make it with: reelvec embed RUN VIDEOS out=FILE.parquet")
        made = read_made(Path(path))
        if made is None:
            raise ReelvecError(asked, "a file that `reelvec embed` did not write", "give the out= file of an embed command")
        spans = pq.read_table(path, columns=["path", "start_seconds", "end_seconds"])
        if not spans.num_rows:
            raise ReelvecError(asked, "a table without rows", "embed some videos first")
        self.path, self.made = Path(path), made
        self.start_seconds: np.ndarray = spans.column("start_seconds").to_numpy()
        self.end_seconds: np.ndarray = spans.column("end_seconds").to_numpy()
        self.vectors: Float[np.ndarray, "n d"] = _read_vectors(Path(path))
        self.nearest = Nearest(self.vectors)
        self._paths: pa.ChunkedArray = spans.column("path")

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def paths(self) -> list[str]:
        """The path of every row; a list of a million strings, so made when asked for."""
        return self._paths.to_pylist()

    def row(self, i: int) -> dict[str, Any]:
        """Return path and span of a row."""
        return {
            "path": self._paths[i].as_py(),
            "start_seconds": float(self.start_seconds[i]),
            "end_seconds": float(self.end_seconds[i]),
        }

    def rows_of(self, video: Path) -> list[int]:
        """Return the rows of a video, however its path is written."""
        real = os.path.realpath(video)
        # resolving a million paths takes longer than a search: only those of its name are, or else each path once
        named = {name for path in (video, real) if (name := os.path.basename(path))}
        ending = [pc.ends_with(self._paths, pattern=name) for name in named]
        near = np.flatnonzero(np.logical_or.reduce([mask.to_numpy() for mask in ending]))
        rows = [int(i) for i in near if os.path.realpath(self._paths[int(i)].as_py()) == real]
        if rows:
            return rows
        same = {path for path in self._paths.unique().to_pylist() if os.path.realpath(path) == real}
        return [i for i, path in enumerate(self.paths) if path in same] if same else []

    def search(self, vector: np.ndarray, top: int = 10) -> list[dict[str, Any]]:
        """Find the rows of largest cosine with a vector (d,) that the same encoder made.

        Returns what `reelvec.search` does, exact likewise. No row is passed over: a vector of the table finds itself first.
        """
        if top < 1:
            raise ReelvecError(f"search with top={top}", "neighbours, of which at least one is wanted", "use top=1 or more")
        return self.described(*self.nearest.find(vector, top))

    def described(self, rows: Int[np.ndarray, "k"], cosines: Float[np.ndarray, "k"]) -> list[dict[str, Any]]:
        """Return found rows as `reelvec.search` does."""
        return [
            {"rank": rank, "row": int(row), **self.row(int(row)), "similarity": float(cosine)}
            for rank, (row, cosine) in enumerate(zip(rows, cosines, strict=True), start=1)
        ]


def open_embeddings(path: str | os.PathLike[str]) -> Embeddings:
    """Open a file of embeddings once, to search it often: `table.search(vector)`, or `reelvec.search(query, table)`.

    From some ten thousand rows on a copy in 8 bits is made, where that makes searches faster; what is found stays exact.
    Takes d (4 + 1) + 24 bytes a row and its path: about 2.7 GB for 1 000 000 vectors of 512 numbers.
    Raises ReelvecError for a file that is none of `reelvec embed`, or empty.
    """
    table = Embeddings(path)
    table.nearest.shrink()
    return table


def _read_vectors(path: Path) -> Float[np.ndarray, "n d"]:
    """Read the vectors into one array, some thousands of rows at a time, so that they are not in memory twice."""
    file = pq.ParquetFile(path)
    counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    first_rows = np.concatenate([[0], np.cumsum(counts)])
    first = next(file.iter_batches(1, columns=["vector"])).column(0)
    vectors = np.empty((int(first_rows[-1]), len(first[0])), np.float32)
    # files of earlier versions have groups of 64 rows
    many = max(1, ROWS_IN_GROUP // max(1, max(counts)))
    runs = [range(start, min(start + many, len(counts))) for start in range(0, len(counts), many)]

    def read(share: Sequence[range]) -> None:
        with pq.ParquetFile(path, metadata=file.metadata) as mine:  # one reader is not for several threads
            for run in share:
                column = mine.read_row_groups(list(run), columns=["vector"], use_threads=False).column("vector")
                at = int(first_rows[run.start])
                for chunk in column.chunks:
                    vectors[at : at + len(chunk)] = chunk.flatten().to_numpy().reshape(len(chunk), -1)
                    at += len(chunk)

    # Arrow's own threads read columns side by side, and this is one column
    cores = pa.cpu_count()
    with ThreadPoolExecutor(cores) as threads:
        for _ in threads.map(read, [runs[i::cores] for i in range(cores)]):
            pass
    return vectors
