"""The index: one row a file, in a Parquet file; made once, read by everything that decodes."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reelvec.core import ReelvecError, write_whole
from reelvec.data.probe import PROBE_VERSION, Row
from reelvec.data.probing import probe_all
from reelvec.data.sources import Source, list_files

OnProgress = Callable[[int, int, str], None]
"""called with (files done, files in all, path of the file just done)"""

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_ns", pa.int64()),
        ("content_hash", pa.string()),
        ("container", pa.string()),
        ("codec", pa.string()),
        ("pixel_format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("rotation_degrees", pa.int32()),
        ("time_base_num", pa.int64()),
        ("time_base_den", pa.int64()),
        ("pts", pa.list_(pa.int64())),
        ("key_frames", pa.list_(pa.int32())),
        ("frames", pa.int64()),
        ("duration_seconds", pa.float64()),
        ("frames_per_second", pa.float64()),
        ("variable_rate", pa.bool_()),
        ("has_audio", pa.bool_()),
        ("has_motion_vectors", pa.bool_()),
        ("seeks_by_pts", pa.bool_()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ],
    metadata={"reelvec_index": str(PROBE_VERSION)},
)


@dataclass(frozen=True)
class VideoRow:
    """What the index knows of one file. Frame numbers count in presentation order, from 0."""

    row: int
    """number of the row in its index"""
    path: str
    """absolute"""
    codec: str
    width: int
    """pixels, as displayed: upright, with square pixels"""
    height: int
    rotation_degrees: int
    """clockwise turn that the decoded picture needs for display: 0, 90, 180 or 270"""
    time_base: Fraction
    """seconds per tick of `pts`"""
    pts: np.ndarray
    """int64, presentation time stamp of every frame, rising"""
    key_frames: np.ndarray
    """int32, numbers of the frames at which decoding can start"""
    duration_seconds: float
    """from the first frame's time to the end of the last frame"""
    frames_per_second: float
    """mean rate"""
    has_audio: bool
    has_motion_vectors: bool
    """whether the decoder really gave vectors when tried"""
    status: str
    """ok, broken or not_video"""
    reason: str
    """why it is not ok; of an ok file, empty or a remark"""
    variable_rate: bool = False
    seeks_by_pts: bool = True
    """False where the file's own time stamps are absent or wrong: frames are then found by decoding from the start"""

    @property
    def frames(self) -> int:
        """Number of frames that can be shown."""
        return len(self.pts)

    @cached_property
    def frame_seconds(self) -> np.ndarray:
        """float64 (frames): when each frame appears, the first at 0."""
        return (self.pts - self.pts[:1]) * float(self.time_base)


_PLAIN = [name for name in VideoRow.__dataclass_fields__ if name in SCHEMA.names and name not in ("pts", "key_frames")]


class Index:
    """The rows of many files, kept as one Arrow table: a row becomes Python objects when it is asked for."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table.combine_chunks()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Index":
        """Read an index file; ReelvecError when it is absent, unreadable or of another version."""
        asked, again = f"read the index {path}", "make it with: reelvec index VIDEOS"
        try:
            table = pq.read_table(path)
        except FileNotFoundError as error:
            raise ReelvecError(asked, "no such file", again) from error
        except (OSError, pa.ArrowException) as error:
            raise ReelvecError(asked, f"it cannot be read: {str(error).splitlines()[0]}", again) from error
        if not table.schema.equals(SCHEMA):
            raise ReelvecError(asked, "a Parquet file, but no index", again)
        version = (table.schema.metadata or {}).get(b"reelvec_index", b"none").decode()
        if version != str(PROBE_VERSION):
            raise ReelvecError(asked, f"an index of version {version}; this is version {PROBE_VERSION}", again)
        return cls(table)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index as Parquet, whole or not at all."""
        write_whole(Path(path), lambda part: pq.write_table(self.table, part, compression="zstd"))

    def __len__(self) -> int:
        return self.table.num_rows

    def row(self, i: int) -> VideoRow:
        """Return row i."""
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of an index of {len(self)} files")
        cell = {name: self.table.column(name)[i].as_py() for name in [*_PLAIN, "time_base_num", "time_base_den"]}
        return VideoRow(
            row=i,
            time_base=Fraction(cell.pop("time_base_num"), cell.pop("time_base_den")),
            pts=self.table.column("pts")[i].values.to_numpy(),
            key_frames=self.table.column("key_frames")[i].values.to_numpy(),
            **cell,
        )

    def usable(self) -> np.ndarray:
        """int64: numbers of the rows with status ok."""
        return np.flatnonzero(pc.equal(self.table.column("status"), "ok").to_numpy(zero_copy_only=False)).astype(np.int64)

    def bad(self) -> list[tuple[str, str, str]]:
        """(path, status, reason) of every file that is not ok."""
        table = self.table.filter(pc.not_equal(self.table.column("status"), "ok"))
        return list(zip(*(table.column(name).to_pylist() for name in ("path", "status", "reason")), strict=True))

    def summary(self) -> dict[str, Any]:
        """Count what is there: files by status and codec, frames, hours, sizes, what they offer."""
        good = self.table.filter(pc.equal(self.table.column("status"), "ok"))

        def column(name: str) -> list[Any]:
            return good.column(name).to_pylist()

        return {
            "files": len(self),
            **{status: self.table.column("status").to_pylist().count(status) for status in ("ok", "broken", "not_video")},
            "remarks": sum(reason != "" for reason in column("reason")),
            "frames": sum(column("frames")),
            "hours": sum(column("duration_seconds")) / 3600,
            "gigabytes": sum(column("size_bytes")) / 1e9,
            "codecs": dict(Counter(column("codec")).most_common()),
            "variable_rate": sum(column("variable_rate")),
            "rotated": sum(degrees != 0 for degrees in column("rotation_degrees")),
            "with_audio": sum(column("has_audio")),
            "with_motion_vectors": sum(column("has_motion_vectors")),
        }


def index(
    source: Source,
    out: str | os.PathLike[str] | None = None,
    *,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Index:
    """Probe every file of a source once and return the index; with `out`, keep it there.

    Killed and called again, it goes on where it was: finished rows are kept beside `out` (`.NAME.rows.jsonl`). Rows of an
    existing `out` are used again for files whose path, size and time of change are the same. Rows are sorted by path.

    Args:
        source: a folder, a pattern, a CSV with a column of paths, a list of paths; or an index file (*.parquet), which is
            just loaded.
        out: where to write the index (Parquet).
        workers: processes; 0 probes in this one. Default: one a core, none for a handful of files.
        on_progress: called after each file with (done, total, path).

    Raises:
        ReelvecError: the source is absent or empty, or not one file in it is a usable video.
    """
    if isinstance(source, str | os.PathLike) and os.fspath(source).endswith(".parquet"):
        return Index.load(source)
    known = _rows_of(Path(out)) if out is not None else {}
    rows = _probe(list_files(source), known, out, workers, on_progress)
    made = Index(pa.Table.from_pylist(rows, schema=SCHEMA))
    if out is not None:
        made.save(out)
        _sidecar(out).unlink(missing_ok=True)
    _refuse_without_video(made, f"index {source if isinstance(source, str | os.PathLike) else 'a list of videos'}")
    return made


def index_within(
    file: str | os.PathLike[str],
    source: Source,
    *,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Index:
    """Return the index of some videos out of an index file that may hold others as well.

    Files that stand in it unchanged are not probed again; what it lacks is added to it, and its other rows stay. It is made
    where it is absent. Arguments are those of `index`.

    Raises:
        ReelvecError: the file is no index, or one of another version; not one video is usable; the source is absent.
    """
    known = {row["path"]: row for row in Index.load(file).table.to_pylist()} if os.path.exists(file) else {}
    rows = _probe(list_files(source), known, file, workers, on_progress)
    if any(row is not known.get(row["path"]) for row in rows):
        all_rows = known | {row["path"]: row for row in rows}
        Index(pa.Table.from_pylist([all_rows[path] for path in sorted(all_rows)], schema=SCHEMA)).save(file)
    _sidecar(file).unlink(missing_ok=True)
    made = Index(pa.Table.from_pylist(rows, schema=SCHEMA))
    _refuse_without_video(made, "index a list of videos")
    return made


def _probe(
    paths: list[str],
    known: dict[str, Row],
    out: str | os.PathLike[str] | None,
    workers: int | None,
    on_progress: OnProgress | None,
) -> list[Row]:
    return probe_all(paths, known, _sidecar(out) if out is not None else None, workers, on_progress)


def _sidecar(out: str | os.PathLike[str]) -> Path:
    """Return where finished rows are kept until the index is whole."""
    return Path(out).with_name(f".{Path(out).name}.rows.jsonl")


def _refuse_without_video(made: Index, asked: str) -> None:
    if len(made.usable()):
        return
    bad = made.bad()
    reasons = "; ".join(f"{os.path.basename(path)}: {reason}" for path, _, reason in bad[:3])
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    raise ReelvecError(
        asked,
        f"{len(bad)} file{'s' * (len(bad) > 1)}, none of them a usable video ({reasons}{more})",
        "give files that play in a video player; re-encode or fetch again what is cut off",
    )


def _rows_of(out: Path) -> dict[str, Row]:
    """Rows of an earlier index, by path; none if there is no readable one of this version."""
    try:
        return {row["path"]: row for row in Index.load(out).table.to_pylist()}
    except ReelvecError:
        return {}
