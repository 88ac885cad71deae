"""Batches of clips from video files, read ahead by worker processes, in an order that depends on no worker."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType

from reelvec.core import Batch, Needs
from reelvec.core.machine import keep_freed_memory
from reelvec.data.index import Index
from reelvec.data.plans import EvenPlan, Plan, Request, TrainingPlan
from reelvec.data.reading import BatchReader, Reader, Reading
from reelvec.data.streams import read_clips
from reelvec.data.workers import WorkerPool

__all__ = ["ClipLoader", "EvenPlan", "Plan", "Quarantined", "Request", "TrainingPlan"]

_AHEAD = 2
"""batches each worker reads ahead: one in the making while the other waits to be fetched"""


@dataclass(frozen=True)
class Quarantined:
    """A file that could not be read and was not opened again."""

    path: str
    reason: str
    times: int
    """samples that wanted it, each replaced or left out by the rule of the plan"""


class ClipLoader:
    """Reads the samples of a plan in batches. Use it as a context manager, or close it.

    What comes out depends on the plan and the sample numbers alone, not on `workers` or on what was asked before. With
    `workers=0` files are read in this process, and nobody watches for a file that hangs.
    """

    def __init__(
        self,
        index: Index,
        needs: Needs,
        plan: Plan,
        batch: int,
        *,
        workers: int = 0,
        timeout_seconds: float = 60.0,
        cache_bytes: int = 0,
        pin: bool = False,
        reader: Reader = read_clips,
    ) -> None:
        """`batch` is the size of the batches that `batches()` makes itself.

        `timeout_seconds` is the longest that one file may take; `cache_bytes` the memory for decoded videos, all workers
        together: each has an equal share, and copies of its own of whatever it was asked for, so it is with workers=0 that a
        cache holds most. `pin` puts pictures into pinned memory. This process and the workers keep what they free for what
        comes next (`core.machine.keep_freed_memory`).
        """
        keep_freed_memory()
        self.index, self.plan, self.batch = index, plan, batch
        self.workers, self.timeout_seconds, self.pin = workers, timeout_seconds, pin
        self.waiting_seconds = 0.0
        """time that whoever takes the batches has spent waiting for them"""
        self._reader = BatchReader(index, needs, plan, reader, cache_bytes // max(workers, 1))
        self._pool: WorkerPool | None = None
        self._failures: dict[int, tuple[str, int]] = {}

    @property
    def quarantine(self) -> list[Quarantined]:
        """The files that could not be read so far, in the order in which they were met."""
        failures = self._failures.items()
        return [Quarantined(self.index.row(row).path, reason, times) for row, (reason, times) in failures]

    def batches(self, numbers: Iterable[Sequence[int]] | None = None) -> Iterator[Batch]:
        """Give the batch of each list of sample numbers, in that order; by default every video of the plan once.

        Samples that a plan leaves out are missing in their batch, so read `Batch.numbers`; a batch of which nothing is
        left is passed over. Raises ReelvecError where file after file cannot be read.
        """
        if numbers is None:
            epoch = range(len(self.plan))
            numbers = (epoch[i : i + self.batch] for i in range(0, len(epoch), self.batch))
        readings = self._read_ahead(iter(numbers)) if self.workers else map(self._reader.read, numbers)
        return self._hand_out(readings)

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        if self._pool:
            self._pool.close()
            self._pool = None

    def __enter__(self) -> "ClipLoader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _hand_out(self, readings: Iterator[Reading]) -> Iterator[Batch]:
        while True:
            began = time.perf_counter()
            reading = next(readings, None)
            batch = reading.batch() if reading else None
            if batch and self.pin:
                batch = batch.pin()
            self.waiting_seconds += time.perf_counter() - began
            if reading is None:
                return
            for row, reason in reading.failures:
                first_reason, times = self._failures.get(row, (reason, 0))
                self._failures[row] = first_reason, times + 1
            if batch:
                yield batch

    def _read_ahead(self, numbers: Iterator[Sequence[int]]) -> Iterator[Reading]:
        """Keep every worker busy with the batches that come next."""
        if self._pool is None:
            self._pool = WorkerPool(self._reader, self.workers, self.timeout_seconds)
        return self._taken(self._pool, deque(), numbers)

    def _taken(self, pool: WorkerPool, tickets: deque[int], numbers: Iterator[Sequence[int]]) -> Iterator[Reading]:
        try:
            while True:
                tickets.extend(pool.ask(wanted) for wanted in islice(numbers, _AHEAD * self.workers - len(tickets)))
                if not tickets:
                    return
                yield pool.take(tickets.popleft())
        except GeneratorExit:
            for ticket in tickets:
                pool.drop(ticket)
            raise
        except BaseException:  # an interrupt in the middle of an answer leaves a pipe that nobody can read on
            self.close()
            raise
