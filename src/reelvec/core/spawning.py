"""Starting processes from a library, inside a script that did not expect it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from types import ModuleType
from typing import Any


@contextmanager
def main_module_unseen(unless: bool = False) -> Iterator[None]:
    """Keep a new process from running the user's script again, so that a script needs no `if __name__ == "__main__":`.

    Not where what is handed over was defined in that script: then the process needs it, and the script the guard.
    """
    main = sys.modules["__main__"]
    if not unless:
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def process_pool(processes: int, begin: Callable[..., None] | None = None, *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of fresh processes; `begin` is called in each with the arguments.

    Where the block ends by an error or by Ctrl-C, or this process is killed, the pool ends at once and leaves its work
    undone; else it is waited for.
    """
    others = set(active_children())
    with main_module_unseen():
        pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (begin, arguments))
        try:
            yield pool
        except BaseException:
            workers = set(active_children()) - others
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.terminate()
            raise
        pool.shutdown()


def _begin(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _end_with_parent() -> None:
    """End this process when its parent is gone, killed perhaps: a task of minutes would go on for nobody."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
