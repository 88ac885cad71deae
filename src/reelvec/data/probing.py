"""Probing many files: in processes of their own, kept as they finish, and not ended by one that crashes or hangs."""

import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from reelvec.core import ReelvecError
from reelvec.core.machine import usable_cores
from reelvec.data.file_processes import PATIENCE_SECONDS, Lost, in_processes
from reelvec.data.probe import PROBE_VERSION, Row, empty_row, probe, probe_watched

_FEW = 16
"""files that are probed in this process by default: starting others would take longer"""
_BYTES_PER_SECOND = 1e6
"""a file may take PATIENCE_SECONDS, and a second more for this many bytes"""


def probe_files(paths: list[str], sidecar: Path | None, workers: int | None) -> Generator[tuple[str, Row], None, None]:
    """Yield (path, row) as they are finished; by then the row stands in the sidecar, where there is one."""
    if workers is None:
        workers = 0 if len(paths) <= _FEW else usable_cores()
    answers = (
        in_processes(probe_watched, paths, workers, patience=_patience) if workers else ((path, probe(path)) for path in paths)
    )
    with _appending_to(sidecar if paths else None) as keep, closing(answers):
        for path, answer in answers:
            row = _lost(path, answer) if isinstance(answer, Lost) else answer
            keep(row)
            yield path, row


def is_unchanged(path: str, size_bytes: int, modified_ns: int) -> bool:
    """Whether a file is still there as it was."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    return (size_bytes, modified_ns) == (there.st_size, there.st_mtime_ns)


def finished_rows(sidecar: Path) -> Iterator[Row]:
    """Yield the rows that an earlier call left in a sidecar."""
    if not sidecar.exists():
        return
    with open(sidecar, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                version, row = json.loads(line)
                if version == PROBE_VERSION and row.keys() == empty_row("").keys():
                    yield row
            except (ValueError, TypeError, AttributeError):
                continue  # an empty or half line


@contextmanager
def _appending_to(sidecar: Path | None) -> Iterator[Callable[[Row], None]]:
    """Yield a function that keeps a finished row, one line of JSON each, for a later run should this one be killed."""
    if sidecar is None:
        yield lambda row: None
        return
    try:
        sidecar.parent.mkdir(parents=True, exist_ok=True)
        with open(sidecar, "a", encoding="utf-8") as file:
            file.write("\n")  # what was killed may have left half a line

            def keep(row: Row) -> None:
                plain = row | {name: [int(x) for x in row[name]] for name in ("pts", "key_frames")}
                file.write(json.dumps([PROBE_VERSION, plain]) + "\n")
                file.flush()

            yield keep
    except OSError as error:
        raise ReelvecError(
            f"keep the rows of the index in {sidecar}", f"the system says: {error.strerror or error}",
            "free some space or choose another place for the index; what is done is kept",
        ) from error  # fmt: skip


def _patience(path: str) -> float:
    size = os.stat(path).st_size if os.path.exists(path) else 0
    return PATIENCE_SECONDS + size / _BYTES_PER_SECOND


def _lost(path: str, lost: Lost) -> Row:
    row = empty_row(path)
    if os.path.exists(path):
        there = os.stat(path)
        row |= {"size_bytes": there.st_size, "modified_ns": there.st_mtime_ns}
    crashed = f"the decoder crashed on it (exit code {lost.exit_code})"
    return row | {"status": "broken", "reason": "probing it did not end in time" if lost.exit_code is None else crashed}
