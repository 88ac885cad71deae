"""Probing many files: in processes of their own, kept as they finish, and not ended by one that crashes or hangs."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path

from reelvec.core import ReelvecError
from reelvec.core.machine import usable_cores
from reelvec.core.spawning import main_module_unseen
from reelvec.data.probe import PROBE_VERSION, Row, empty_row, probe, serve

_FEW = 16
"""files that are probed in this process by default: starting others would take longer"""
_PATIENCE_SECONDS = 120.0
_BYTES_PER_SECOND = 1e6
"""a file may take _PATIENCE_SECONDS, and a second more for this many bytes"""


def probe_all(
    paths: list[str],
    known: dict[str, Row],
    sidecar: Path | None,
    workers: int | None,
    on_progress: Callable[[int, int, str], None] | None,
) -> list[Row]:
    """Return a row for each path, in their order. Rows in `known` or `sidecar` stand for files that have not changed."""
    known = known | (_read_sidecar(sidecar) if sidecar else {})
    rows = {path: known[path] for path in paths if path in known and _unchanged(path, known[path])}
    todo = [path for path in paths if path not in rows]
    if on_progress and rows:
        on_progress(len(rows), len(paths), next(reversed(rows)))
    if workers is None:
        workers = 0 if len(todo) <= _FEW else usable_cores()
    with _appending_to(sidecar if todo else None) as keep:
        for path, row in _in_processes(todo, workers) if workers else ((path, probe(path)) for path in todo):
            rows[path] = row
            keep(row)
            if on_progress:
                on_progress(len(rows), len(paths), row["path"])
    return [rows[path] for path in paths]


def _unchanged(path: str, row: Row) -> bool:
    try:
        there = os.stat(path)
    except OSError:
        return False
    return bool((row["size_bytes"], row["modified_ns"]) == (there.st_size, there.st_mtime_ns))


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


def _read_sidecar(sidecar: Path) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    if sidecar.exists():
        for line in sidecar.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                version, row = json.loads(line)
                if version == PROBE_VERSION:
                    rows[row["path"]] = row
            except (ValueError, TypeError, KeyError):
                continue  # an empty or half line
    return rows


class _Worker:
    """A process that probes one file after the other, and the file it is at."""

    def __init__(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
        with main_module_unseen():
            self.process.start()
        theirs.close()  # so that its death is seen at this end
        self.path, self.deadline = "", 0.0

    def begin(self, path: str) -> None:
        self.path = path
        size = os.stat(path).st_size if os.path.exists(path) else 0
        self.deadline = time.monotonic() + _PATIENCE_SECONDS + size / _BYTES_PER_SECOND
        self.connection.send(path)

    def stop(self) -> int | None:
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def _in_processes(paths: list[str], workers: int) -> Iterator[tuple[str, Row]]:
    """Yield (path, row) as they come. A file at which a process dies or hangs gets a row that says so."""
    todo = iter(paths)
    busy: dict[Connection, _Worker] = {}

    def employ(worker: _Worker | None) -> None:
        """Give a worker (None: a new one) the next file, or send it home."""
        path = next(todo, None)
        if path is not None:
            worker = worker or _Worker()
            busy[worker.connection] = worker
            worker.begin(path)
        elif worker:
            worker.stop()

    try:
        for _ in range(min(workers, len(paths))):
            employ(None)
        while busy:
            nearest = min(worker.deadline for worker in busy.values())
            heard = wait(list(busy), timeout=max(nearest - time.monotonic(), 0))
            ready = [c for c in busy if c in heard]
            late = [c for c, worker in busy.items() if worker.deadline <= time.monotonic() and c not in ready]
            for connection in [*ready, *late]:
                worker = busy.pop(connection)
                try:
                    if connection in late:
                        worker.stop()
                        row = _lost(worker.path, "probing it did not end in time")
                    else:
                        row = worker.connection.recv()
                except (EOFError, ConnectionError):
                    row = _lost(worker.path, f"the decoder crashed on it (exit code {worker.stop()})")
                alive = worker if worker.process.is_alive() else None
                path = worker.path
                employ(alive)
                yield path, row
    finally:
        for worker in busy.values():
            worker.stop()


def _lost(path: str, reason: str) -> Row:
    row = empty_row(path)
    if os.path.exists(path):
        there = os.stat(path)
        row |= {"size_bytes": there.st_size, "modified_ns": there.st_mtime_ns}
    return row | {"status": "broken", "reason": reason}
