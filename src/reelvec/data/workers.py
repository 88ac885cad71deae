"""Processes that read batches, and the watch over them: a file on which one hangs or dies is named and left out.

The processes come from a fork server, never from a fork of this process: decoders hold threads and locks that a fork copies
half. Each opens its files itself. What the reader holds (the index above all) is handed over once, in a file that all of them
map into their memory.
"""

import mmap
import os
import pickle
import signal
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess, parent_process
from multiprocessing.reduction import DupFd
from typing import Any, BinaryIO

import cv2
import torch
from torch.multiprocessing import get_context  # torch's, so that tensors travel in shared memory

from reelvec.core import ReelvecError
from reelvec.core.machine import keep_freed_memory
from reelvec.core.spawning import main_module_unseen
from reelvec.data.reading import BatchReader, Reading

_LOSSES = 3
"""workers that may be lost while no file was open, before it is clear that the fault is not with a file"""


class WorkerPool:
    """Reads batches in other processes. Ask for a batch and get a ticket; take what the ticket stands for later."""

    def __init__(self, batches: BatchReader, workers: int, timeout_seconds: float) -> None:
        self.broken = dict(batches.broken)
        """row and reason of every file that is known to be broken; workers are told with their next task"""
        self._timeout = timeout_seconds
        self._handed_over = _HandedOver.of(batches)
        self._wanted: dict[int, tuple[int, ...]] = {}
        self._finished: dict[int, Reading | BaseException] = {}
        self._tickets = 0
        self._lost = 0
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([__name__])  # so that torch is imported once, not by every worker
        self._workers: list[_Worker] = []
        self.close = weakref.finalize(self, _end, self._workers)
        """kills the workers; they hold nothing that could be lost. Also called when the pool or Python goes"""
        self._workers.extend(self._start() for _ in range(workers))

    def ask(self, numbers: Sequence[int]) -> int:
        """Ask for the batch of these samples; returns its ticket."""
        self._tickets += 1
        self._wanted[self._tickets] = tuple(numbers)
        self._send(min(self._workers, key=lambda worker: len(worker.tickets)), self._tickets)
        return self._tickets

    def take(self, ticket: int) -> Reading:
        """Wait for a batch that was asked for, and watch the workers meanwhile."""
        while ticket not in self._finished:
            self._receive()
            self._watch()
        del self._wanted[ticket]
        finished = self._finished.pop(ticket)
        if isinstance(finished, BaseException):
            raise finished
        self.broken.update(finished.failures)
        return finished

    def drop(self, ticket: int) -> None:
        """Give up a batch that was asked for."""
        self._wanted.pop(ticket, None)
        self._finished.pop(ticket, None)

    def _start(self) -> "_Worker":
        ours, theirs = self._context.Pipe()
        reading = self._context.RawArray("d", [-1.0, 0.0])
        process = self._context.Process(target=_work, args=(self._handed_over, theirs, reading), daemon=True)
        with main_module_unseen(unless=self._handed_over.names_main()):
            process.start()
        theirs.close()
        return _Worker(process, ours, reading)

    def _send(self, worker: "_Worker", ticket: int) -> None:
        news = dict(list(self.broken.items())[worker.told :])
        worker.told = len(self.broken)
        worker.tickets.append(ticket)
        with suppress(OSError):  # it died: `_receive` sees that too, and asks another one
            worker.pipe.send((ticket, self._wanted[ticket], news))

    def _receive(self) -> None:
        """Wait until a worker has something to say or the next one is due for a look."""
        due = min((worker.due(self._timeout) for worker in self._workers if worker.row >= 0), default=self._timeout)
        ready = wait([w.pipe for w in self._workers] + [w.process.sentinel for w in self._workers], max(due, 0))
        for worker in list(self._workers):
            if worker.pipe in ready:
                try:
                    ticket, finished = worker.pipe.recv()
                except (EOFError, OSError, RuntimeError) as error:  # also where a finished batch died with its worker
                    worker.process.join(1)
                    alive = worker.process.is_alive()  # then the fault is on this side: too many open files, say
                    self._replace(worker, f"{type(error).__name__}: {error}" if alive else "", file_at_fault=not alive)
                    continue
                if ticket is None:  # it could not even begin
                    raise finished
                worker.tickets.remove(ticket)
                if ticket in self._wanted:
                    self._finished[ticket] = finished
            elif worker.process.sentinel in ready:
                self._replace(worker, "")

    def _watch(self) -> None:
        """Kill the workers that do not come back from a file."""
        for worker in list(self._workers):
            if worker.row >= 0 and worker.due(self._timeout) <= 0:
                self._replace(worker, f"no frame within {self._timeout:g} s")

    def _replace(self, worker: "_Worker", reason: str, file_at_fault: bool = True) -> None:
        """Put a new worker in the place of a dead or hanging one, and ask it for all that the old one still owed."""
        row = worker.row
        exit_code = worker.end()
        reason = reason or f"the process that read it died ({_in_words(exit_code)})"
        if row >= 0 and file_at_fault:
            self.broken[row] = reason
        else:
            self._lost += 1
            if self._lost > _LOSSES:
                raise ReelvecError(
                    f"read videos with {len(self._workers)} worker processes",
                    f"{self._lost} of them were lost while they had no file open; the last: {reason}",
                    "this is most often memory, main or shared (/dev/shm): set workers or batch lower, or workers=0",
                )
        new = self._start()
        self._workers[self._workers.index(worker)] = new
        for ticket in worker.tickets:
            if ticket in self._wanted:
                self._send(new, ticket)


@dataclass(eq=False)
class _Worker:
    """What the parent knows of a worker."""

    process: BaseProcess
    pipe: Connection
    reading: Any
    """shared memory, written by the worker: the row whose file it has open, -1 for none, and since when"""
    tickets: list[int] = field(default_factory=list)
    """what it was asked for and has not yet delivered, in this order"""
    told: int = 0
    """how many of the pool's broken files it knows"""

    @property
    def row(self) -> int:
        return int(self.reading[0])

    def due(self, timeout_seconds: float) -> float:
        """Return the seconds until its patience with the open file is over."""
        return float(self.reading[1]) + timeout_seconds - time.monotonic()

    def end(self) -> int | None:
        """Kill it and return its exit code."""
        self.process.kill()
        self.process.join(5)  # no longer: what the kernel holds on a dead network mount does not even die
        self.pipe.close()
        return self.process.exitcode


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.end()
    workers.clear()


def _in_words(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"{name}, most often too little memory" if name in ("SIGKILL", "SIGBUS") else name


class _SharedFile:
    """A file without a name, to be mapped by many processes: in memory once for all, and gone with the last of them.

    Not in /dev/shm, of which a container has 64 MB by default. Pickled only for a process that is being started.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def map(self) -> memoryview:
        """Return its bytes, to be read."""
        return memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))

    def __getstate__(self) -> Any:
        return DupFd(self._file.fileno())

    def __setstate__(self, descriptor: Any) -> None:
        self._file = os.fdopen(descriptor.detach(), "rb")


@dataclass(frozen=True)
class _HandedOver:
    """A reader of batches on its way to the workers; its large arrays lie in one file for all of them."""

    pickled: bytes
    places: list[tuple[int, int]]
    """begin and end of each array in `file`"""
    file: _SharedFile

    @classmethod
    def of(cls, batches: BatchReader) -> "_HandedOver":
        """Pickle it, with the arrays aside (pickle protocol 5); ReelvecError where there is no room for them."""
        arrays: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(batches, protocol=5, buffer_callback=arrays.append)
        places, end = [], 0
        try:
            file: Any = tempfile.TemporaryFile()  # noqa: SIM115  closed with the last process that holds it
            for array in arrays:
                end += file.write(bytes(-end % 64))  # Arrow asks for aligned buffers
                places.append((end, end + array.raw().nbytes))
                end += file.write(array.raw())
            file.write(b"\0")  # what is empty cannot be mapped
            file.flush()
        except OSError as error:
            raise ReelvecError(
                f"hand an index of {sum(array.raw().nbytes for array in arrays) / 1e6:.3g} MB to worker processes",
                f"the system says of the folder for temporary files: {error.strerror or error}",
                "free some space, set TMPDIR to another folder, or workers=0",
            ) from error
        return cls(pickled, places, _SharedFile(file))

    def open(self) -> BatchReader:
        """Put it together again, without a copy of the arrays."""
        memory = self.file.map()
        return pickle.loads(self.pickled, buffers=[memory[begin:end] for begin, end in self.places])

    def names_main(self) -> bool:
        """Whether something in it was defined in the user's script."""
        return b"__main__" in self.pickled


def _work(handed_over: _HandedOver, pipe: Connection, reading: Any) -> None:
    """Be a worker: read the batches asked for, one after the other, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()

    def announce(row: int) -> None:
        reading[1] = time.monotonic()
        reading[0] = row

    try:
        try:
            batches = handed_over.open()
        except Exception as error:
            pipe.send((None, _picklable(error)))
            return
        while True:
            ticket, numbers, broken = pipe.recv()
            batches.broken.update(broken)
            try:
                pipe.send((ticket, batches.read(numbers, announce, shared=True)))
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                pipe.send((ticket, _picklable(error)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent has closed its end


def _exit_with_parent() -> None:
    """End this process with its parent, even while it is deep in a decoder."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(0)


def _picklable(error: Exception) -> Exception:
    """Return the error itself if it is for people, else one that carries its traceback as text."""
    if isinstance(error, ReelvecError):
        return error
    return RuntimeError("in a worker of the loader:\n" + "".join(traceback.format_exception(error)))
