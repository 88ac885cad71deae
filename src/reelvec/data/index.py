"""The index: one row a file, in a Parquet file; made once, read by everything that decodes.

Times of frames and numbers of key frames are kept by their steps (`data.steps`): a file of an even rate takes as much room
as a picture, and an index of a million videos opens in a moment.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reelvec.core import ReelvecError, write_whole
from reelvec.data.probe import PROBE_VERSION, Row
from reelvec.data.probing import finished_rows, is_unchanged, probe_files
from reelvec.data.sources import Source, list_files
from reelvec.data.steps import from_steps, steps_type, to_steps

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
        ("pts", steps_type(pa.int64())),
        ("key_frames", steps_type(pa.int32())),
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

_FOR_INDEXING = ("size_bytes", "modified_ns", "content_hash", "container", "pixel_format")
"""columns that nobody reads in order to decode; `content_hash` alone is 71 MB for a million files"""
_SCHEMA_TO_DECODE = pa.schema([field for field in SCHEMA if field.name not in _FOR_INDEXING], metadata=SCHEMA.metadata)


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


_IN_STEPS = {"pts": np.int64, "key_frames": np.int32}
_PLAIN_CELLS = [name for name in VideoRow.__dataclass_fields__ if name in SCHEMA.names and name not in _IN_STEPS]
_PLAIN_CELLS += ["time_base_num", "time_base_den"]


class Index:
    """The rows of many files, kept as one Arrow table: a row becomes Python objects when it is asked for."""

    def __init__(self, table: pa.Table) -> None:
        """`table` has the columns of `SCHEMA`; lists of all numbers, as earlier indexes have them, are put in their place."""
        table = _without_lists(table)
        in_pieces = any(column.num_chunks > 1 for column in table.columns)
        self.table = table.combine_chunks() if in_pieces else table

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, to_decode: bool = False) -> "Index":
        """Read an index file; ReelvecError when it is absent, unreadable or of another version.

        `to_decode` leaves out what only a later indexing asks for: such an index cannot be saved.
        """
        asked, again = f"read the index {path}", "make it with: reelvec index VIDEOS"
        try:
            with pq.ParquetFile(path) as file:
                names = [name for name in file.schema_arrow.names if not (to_decode and name in _FOR_INDEXING)]
                found = cls(file.read(columns=names))
        except FileNotFoundError as error:
            raise ReelvecError(asked, "no such file", again) from error
        except (OSError, pa.ArrowException) as error:
            raise ReelvecError(asked, f"it cannot be read: {str(error).splitlines()[0]}", again) from error
        pa.default_memory_pool().release_unused()  # reading takes half as much again as the table
        if not found.table.schema.equals(_SCHEMA_TO_DECODE if to_decode else SCHEMA):
            raise ReelvecError(asked, "a Parquet file, but no index", again)
        version = (found.table.schema.metadata or {}).get(b"reelvec_index", b"none").decode()
        if version != str(PROBE_VERSION):
            raise ReelvecError(asked, f"an index of version {version}; this is version {PROBE_VERSION}", again)
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index as Parquet, whole or not at all."""
        assert self.table.schema.names == SCHEMA.names, "an index that was opened to decode lacks columns"
        write_whole(Path(path), lambda part: pq.write_table(self.table, part, compression="zstd"))

    def __len__(self) -> int:
        return self.table.num_rows

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_columns"}

    @cached_property
    def _columns(self) -> dict[str, pa.ChunkedArray]:
        """The columns by name: asking the table for one takes longer than to read a cell."""
        return dict(zip(self.table.column_names, self.table.columns, strict=True))

    def row(self, i: int) -> VideoRow:
        """Return row i."""
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of an index of {len(self)} files")
        cell = {name: self._columns[name][i].as_py() for name in _PLAIN_CELLS}
        return VideoRow(
            row=i,
            time_base=Fraction(cell.pop("time_base_num"), cell.pop("time_base_den")),
            pts=self._numbers("pts", i),
            key_frames=self._numbers("key_frames", i),
            **cell,
        )

    def part(self, rows: Sequence[int] | np.ndarray) -> "Index":
        """Return an index of these rows alone, counted from 0: workers that read no others need no more."""
        return Index(self.table.take(pa.array(rows, pa.int64())))

    def paths(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """Return the paths of some rows: many times as fast as asking for the rows."""
        paths: list[str] = self.table.column("path").take(pa.array(rows, pa.int64())).to_pylist()
        return paths

    def probed(self, i: int) -> Row:
        """Return row i as `probe` gave it, with all columns."""
        row: Row = self.table.slice(i, 1).to_pylist()[0]
        return row | {name: self._numbers(name, i).tolist() for name in _IN_STEPS}

    def _numbers(self, column: str, i: int) -> np.ndarray:
        cell = self._columns[column][i]
        return from_steps(cell["first"].as_py(), cell["steps"].values.to_numpy(), cell["count"].as_py())

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
        statuses = Counter(self.table.column("status").to_pylist())

        def column(name: str) -> np.ndarray:
            return good.column(name).to_numpy()

        return {
            "files": len(self),
            **{status: statuses[status] for status in ("ok", "broken", "not_video")},
            "remarks": int((column("reason") != "").sum()),
            "frames": int(column("frames").sum()),
            "hours": float(column("duration_seconds").sum()) / 3600,
            "gigabytes": int(column("size_bytes").sum()) / 1e9,
            "codecs": dict(Counter(column("codec").tolist()).most_common()),
            "variable_rate": int(column("variable_rate").sum()),
            "rotated": int((column("rotation_degrees") != 0).sum()),
            "with_audio": int(column("has_audio").sum()),
            "with_motion_vectors": int(column("has_motion_vectors").sum()),
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
    known = _rows_of(Path(out)) if out is not None else SCHEMA.empty_table()
    made = Index(_gather(list_files(source), known, out, workers, on_progress)[0])
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
    known = Index.load(file).table if os.path.exists(file) else SCHEMA.empty_table()
    rows, are_new = _gather(list_files(source), known, file, workers, on_progress)
    if are_new:
        others = known.filter(pc.invert(pc.is_in(known.column("path"), rows.column("path"))))
        Index(pa.concat_tables([others, rows]).sort_by("path")).save(file)
    _sidecar(file).unlink(missing_ok=True)
    made = Index(rows)
    _refuse_without_video(made, "index a list of videos")
    return made


def _gather(
    paths: list[str],
    known: pa.Table,
    out: str | os.PathLike[str] | None,
    workers: int | None,
    on_progress: OnProgress | None,
) -> tuple[pa.Table, bool]:
    """Return a row for each path, in their order; and whether any of them is not from `known`.

    A row in `known`, or kept beside `out` by an earlier call, stands for a file that has not changed. The rest is probed.
    """
    sidecar = _sidecar(out) if out is not None else None
    there = pa.concat_tables([known, _as_table(finished_rows(sidecar) if sidecar else ())])
    places = {path: i for i, path in enumerate(there.column("path").to_pylist())}  # of a path's rows, the last
    sizes, times = (there.column(name).to_pylist() for name in ("size_bytes", "modified_ns"))
    found = {path: places[path] for path in paths if path in places}
    found = {path: i for path, i in found.items() if is_unchanged(path, sizes[i], times[i])}
    if on_progress and found:
        on_progress(len(found), len(paths), next(reversed(found)))

    def probed() -> Iterator[Row]:
        todo = [path for path in paths if path not in found]
        with closing(probe_files(todo, sidecar, workers)) as rows:
            for number, (path, row) in enumerate(rows, start=len(there)):
                found[path] = number
                if on_progress:
                    on_progress(len(found), len(paths), row["path"])
                yield row

    everything = pa.concat_tables([there, _as_table(probed())]).combine_chunks()
    return everything.take([found[path] for path in paths]), any(i >= len(known) for i in found.values())


def _as_table(rows: Iterable[Row]) -> pa.Table:
    """Put rows into a table piece by piece: as Python objects they take many times the room."""
    rows, pieces = iter(rows), [SCHEMA.empty_table()]
    while some := list(islice(rows, 1000)):
        in_steps = [row | {name: to_steps(np.asarray(row[name], kind)) for name, kind in _IN_STEPS.items()} for row in some]
        pieces.append(pa.Table.from_pylist(in_steps, schema=SCHEMA))
    return pa.concat_tables(pieces)


def _without_lists(table: pa.Table) -> pa.Table:
    """Put steps in the place of lists of all numbers."""
    for name in _IN_STEPS:
        kept = SCHEMA.field(name).type
        place = table.schema.get_field_index(name)
        if place >= 0 and table.schema.types[place] == kept.field("steps").type:
            cells = [to_steps(cell.values.to_numpy()) for cell in table.column(place)]
            table = table.set_column(place, name, pa.array(cells, kept))
    return table


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


def _rows_of(out: Path) -> pa.Table:
    """Rows of an earlier index; none if there is no readable one of this version."""
    try:
        return Index.load(out).table
    except ReelvecError:
        return SCHEMA.empty_table()
