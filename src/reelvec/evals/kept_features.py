"""Features that are kept on disk: computed once for a video, shared by all that is measured on it, and gone on with.

A folder for each thing that makes vectors, named by what they hang on (weights, clips, change); in it Parquet files with a row
for each video, which grow by one file with every part that is read. A video that has changed since is read again.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from reelvec import __version__
from reelvec.core import ReelvecError, write_whole
from reelvec.core.shapes import Bool, Float
from reelvec.data.index import Index
from reelvec.engine.extract import Extracted, OnProgress, Reader, extract, whole_videos

_PART = 512
"""videos that are read before their features are written: what is lost at most when the power goes"""

_SCHEMA = pa.schema(
    [("path", pa.string()), ("size_bytes", pa.int64()), ("modified_ns", pa.int64()), ("vector", pa.list_(pa.float32()))]
)

VideoFile = tuple[str, int, int]
"""path, size in bytes and time of change in nanoseconds: the same three are the same video"""


@dataclass(frozen=True)
class KeptFeatures:
    """Features of the videos of one result."""

    paths: list[str]
    vectors: dict[str, Float[np.ndarray, "videos _"]]
    """by encoder"""


def extract_kept(
    folder: Path,
    readers: Sequence[Reader],
    index: Index,
    rows: Sequence[int],
    *,
    clips: int | None,
    device: torch.device,
    workers: int = 0,
    on_progress: OnProgress | None = None,
) -> Extracted:
    """Return what `extract` returns of whole videos; what `folder` has is taken from there, what it lacks is added.

    Readers must have an `identity`. Readers that lack the same videos share their decoding.
    """
    files = files_of(index, rows)
    wanted = set(files)
    known = {reader.name: _read(folder / place_of(reader, clips), wanted) for reader in readers}
    lacking: dict[tuple[int, ...], list[Reader]] = defaultdict(list)
    for reader in readers:
        missing = tuple(i for i, file in enumerate(files) if file not in known[reader.name])
        if missing:
            lacking[missing].append(reader)
    todo, before, left_out = sum(len(missing) for missing in lacking), 0, dict[str, str]()

    for missing, members in lacking.items():
        for first in range(0, len(missing), _PART):
            part = missing[first : first + _PART]

            def progress(done: int, total: int, text: str, before: int = before, many: int = len(part)) -> None:
                if on_progress:
                    on_progress(before + done * many // max(total, 1), todo, text)

            pieces = whole_videos(index, [rows[i] for i in part])
            read = extract(members, index, pieces, clips=clips, device=device, workers=workers, on_progress=progress)
            before += len(part)
            left_out |= read.left_out
            for reader in members:
                if reader.name in read.vectors:
                    added = {files[i]: read.vectors[reader.name][n] for n, i in enumerate(part) if read.found[n]}
                    known[reader.name] |= added
                    _write(folder / place_of(reader, clips), added)
    return _together(readers, files, known, left_out)


def files_of(index: Index, rows: Sequence[int]) -> list[VideoFile]:
    """Return what tells whether the videos of these rows are the same as another time."""
    table = index.table.select(["path", "size_bytes", "modified_ns"]).take(pa.array(rows, pa.int64())).to_pydict()
    return list(zip(table["path"], table["size_bytes"], table["modified_ns"], strict=True))


def place_of(reader: Reader, clips: int | None) -> str:
    """Return the folder name of a reader's features: its name, and a hash of all that they hang on but the videos."""
    if not reader.identity:
        raise ValueError(f"the features of {reader.name} cannot be kept: it does not say what they hang on")
    needs = reader.needs.model_dump(mode="json", exclude={"clips", "times"})
    depends = json.dumps([__version__, reader.identity, needs, reader.size, clips], sort_keys=True)
    return f"{reader.name.replace(' ', '-')}-{hashlib.sha256(depends.encode()).hexdigest()[:12]}"


def kept_features(result: Mapping[str, Any]) -> KeptFeatures:
    """Load the features that a result of `evaluate` was made of: those of the run's encoders, sorted by path.

    Raises ReelvecError where they were not kept, or were removed since.
    """
    asked = f"the features of {result['file']}"
    again = f"make it again: reelvec evaluate {result['run']} --labels {result['labels']}"
    if "features" not in result:
        raise ReelvecError(asked, "a result of an earlier version, which kept none", again)
    base = Path(result["file"]).parent
    paths, vectors = set[str](), dict[str, dict[str, np.ndarray]]()
    for name, place in result["features"].items():
        found = _read(base / place, None)
        if not found:
            raise ReelvecError(asked, f"no {base / place}", again)
        vectors[name] = {path: vector for (path, _, _), vector in found.items()}
        paths |= set(vectors[name])
    everywhere = sorted(path for path in paths if all(path in of_one for of_one in vectors.values()))
    return KeptFeatures(everywhere, {name: np.stack([of[path] for path in everywhere]) for name, of in vectors.items()})


def _read(folder: Path, wanted: set[VideoFile] | None) -> dict[VideoFile, np.ndarray]:
    """Return the kept vectors of the wanted files, or of all; a file that cannot be read counts as absent."""
    found: dict[VideoFile, np.ndarray] = {}
    for part in sorted(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns):
        try:
            table = pq.read_table(part)
        except (OSError, pa.ArrowException):
            continue  # it is computed again
        vectors = table["vector"].combine_chunks()
        rows = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
        files = zip(*(table[name].to_pylist() for name in ("path", "size_bytes", "modified_ns")), strict=True)
        found |= {file: row for file, row in zip(files, rows, strict=True) if wanted is None or file in wanted}
    return found


def _write(folder: Path, added: Mapping[VideoFile, np.ndarray]) -> None:
    if not added:
        return
    columns = [pa.array(values) for values in zip(*added, strict=True)]
    vectors = np.stack(list(added.values())).astype(np.float32)
    offsets = pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1])
    columns.append(pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)), type=_SCHEMA.field("vector").type))
    name = hashlib.sha256("\n".join(path for path, _, _ in added).encode()).hexdigest()[:12]
    write_whole(folder / f"{name}.parquet", lambda part: pq.write_table(pa.table(columns, schema=_SCHEMA), part))


def _together(
    readers: Sequence[Reader],
    files: Sequence[VideoFile],
    known: Mapping[str, Mapping[VideoFile, np.ndarray]],
    left_out: dict[str, str],
) -> Extracted:
    """Put the rows in order; what one reader could not read is found for none."""
    found: Bool[np.ndarray, "pieces"] = np.array([all(file in known[r.name] for r in readers) for file in files], dtype=bool)
    vectors = {}
    for reader in readers:
        rows = known[reader.name]
        if rows:
            dim = len(next(iter(rows.values())))
            vectors[reader.name] = np.stack([rows.get(file, np.zeros(dim, np.float32)) for file in files])
    return Extracted(vectors, found, left_out)
