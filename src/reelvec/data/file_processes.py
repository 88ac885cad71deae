"""Processes that work at one file each, and the watch over them: a file on which one dies or falls silent is named.

For work of seconds to hours on a file: how long is too long is not known in advance, so a process says now and then that it
gets on, and is given up when it has said nothing for a while.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

PATIENCE_SECONDS = 120.0
_SIGN_SECONDS = 2.0

Alive = Callable[[], None]
"""to be called while working, as often as one likes"""


@dataclass(frozen=True)
class Lost:
    """What comes in place of an answer where the process is gone."""

    reason: str
    exit_code: int | None = None
    """of a process that died; None of one that was given up"""


def in_processes(
    work: Callable[[Any, Alive], Any],
    tasks: Iterable[Any],
    processes: int,
    patience: Callable[[Any], float] = lambda task: PATIENCE_SECONDS,
) -> Generator[tuple[Any, Any], None, None]:
    """Yield (task, answer) as they come; the answer is a `Lost` where the process died or was given up.

    `patience` says for how many seconds nothing may be heard of a task.
    `work` is called in the processes with a task and `alive`, and should itself turn what goes wrong into an answer. It
    stands in a module that a new process can import; tasks and answers are pickled.
    """
    todo = iter(tasks)
    busy: dict[Connection, _Worker] = {}

    def employ(worker: _Worker | None) -> None:
        """Give a worker (None: a new one) the next task, or send it home."""
        task = next(todo, None)
        if task is not None:
            worker = worker or _Worker.start(work)
            busy[worker.connection] = worker
            worker.begin(task, patience(task))
        elif worker:
            worker.stop()

    try:
        for _ in range(processes):
            employ(None)
        while busy:
            nearest = min(worker.deadline for worker in busy.values())
            ready = wait(list(busy), timeout=max(nearest - time.monotonic(), 0))
            silent = [c for c, worker in busy.items() if worker.deadline <= time.monotonic() and c not in ready]
            for connection in [c for c in busy if c in ready] + silent:
                worker = busy[connection]
                try:
                    if connection in silent:
                        worker.stop()
                        answer: Any = Lost(f"nothing came of it for {worker.patience_seconds:g} s")
                    else:
                        finished, answer = connection.recv()
                        worker.heard = time.monotonic()
                        if not finished:
                            continue
                except (EOFError, ConnectionError):
                    exit_code = worker.stop()
                    answer = Lost(f"the process that worked at it died (exit code {exit_code})", exit_code)
                del busy[connection]
                task = worker.task
                employ(worker if worker.process.is_alive() else None)
                yield task, answer
    finally:
        for worker in busy.values():
            worker.stop()


@dataclass
class _Worker:
    """A process, and the task it is at."""

    process: Any
    connection: Connection
    task: Any = None
    patience_seconds: float = PATIENCE_SECONDS
    heard: float = field(default_factory=time.monotonic)
    """when it last said anything"""

    @property
    def deadline(self) -> float:
        return self.heard + self.patience_seconds

    @classmethod
    def start(cls, work: Callable[[Any, Alive], Any]) -> "_Worker":
        # not above: the new process imports this module too, and with core would come torch, which takes seconds
        from reelvec.core.spawning import main_module_unseen

        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(work, theirs), daemon=True)
        with main_module_unseen():
            process.start()
        theirs.close()  # so that its death is seen at this end
        return cls(process, ours)

    def begin(self, task: Any, patience_seconds: float) -> None:
        self.task, self.patience_seconds, self.heard = task, patience_seconds, time.monotonic()
        with suppress(ConnectionError):  # it died: that is seen at the next look
            self.connection.send(task)

    def stop(self) -> int | None:
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def _serve(work: Callable[[Any, Alive], Any], connection: Connection) -> None:
    """Work at tasks as they come over a connection, until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C too, and ends its workers
    said = time.monotonic()

    def alive() -> None:
        nonlocal said
        if time.monotonic() - said >= _SIGN_SECONDS:
            said = time.monotonic()
            connection.send((False, None))

    with suppress(EOFError, ConnectionError):  # the parent is done, or was killed
        while True:
            connection.send((True, work(connection.recv(), alive)))
