"""Ctrl-C and SIGTERM as a wish to stop."""

import signal
from collections.abc import Callable
from typing import Any


class StopSignals:
    """The first Ctrl-C or SIGTERM asks whoever reads `asked` to stop at the next good moment; a second one stops at once.

    A signal that is ignored stays so: whoever started this process sees to it.
    """

    def __init__(self, on_ask: Callable[[], None] = lambda: None) -> None:
        self.asked, self.on_ask = False, on_ask

    def __enter__(self) -> "StopSignals":
        self._before: dict[int, Any] = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # not in the main thread: the caller's program owns the signals
                break
        return self

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self.on_ask()

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
