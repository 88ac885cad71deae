"""Where the time of a step goes: named spans, which cost nothing while nobody looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from time import perf_counter
from typing import Any, ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

REST = "rest"
"""what stands in no span"""


class Spans:
    """Adds up the time of each span while it is active. A span inside another is not counted in the outer one.

    On a GPU, time is that of its queue of work: events are put into it and read at the end, so nothing waits. Time in which
    the queue is empty counts to the span that the CPU is in.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks: list[tuple[str, Any]] = []

    def enter(self, name: str) -> str:
        """Go over to a span; return the name of the one that is left."""
        if self._on_gpu:
            now: Any = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            now = perf_counter()
        before = self._marks[-1][0] if self._marks else REST
        self._marks.append((name, now))
        return before

    def shares(self) -> dict[str, float]:
        """Return the share of each span in the time from the first mark to the last."""
        seconds = self.seconds()
        total = sum(seconds.values())
        return {name: passed / total for name, passed in seconds.items()} if total > 0 else {}

    def seconds(self) -> dict[str, float]:
        """Return the time of each span, from the first mark to the last."""
        if self._on_gpu:
            self._marks[-1][1].synchronize()
        seconds: dict[str, float] = {}
        for (name, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            passed = begin.elapsed_time(end) / 1000 if self._on_gpu else end - begin
            seconds[name] = seconds.get(name, 0.0) + passed
        return seconds


_active: Spans | None = None


@contextmanager
def looking(spans: Spans) -> Iterator[None]:
    """Let `spans` take note of all spans of this process."""
    global _active
    before, _active = _active, spans
    spans.enter(REST)
    try:
        yield
    finally:
        spans.enter(REST)
        _active = before


@contextmanager
def span(name: str) -> Iterator[None]:
    """Count what stands inside as `name`, where somebody looks."""
    spans = _active
    if spans is None:
        yield
        return
    outer = spans.enter(name)
    try:
        yield
    finally:
        spans.enter(outer)


def counted_as(name: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Make a function a span."""

    def wrap(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(function)
        def inner(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Result:
            with span(name):
                return function(*arguments, **keywords)

        return inner

    return wrap
