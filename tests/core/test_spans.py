"""Spans: each second counts once, to the innermost span; without a looker nothing is kept."""

import pytest
import torch

from reelvec.core import spans
from reelvec.core.spans import Spans, counted_as, looking, span


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when it is told to."""
    now = [0.0]
    monkeypatch.setattr(spans, "perf_counter", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


def test_every_second_counts_once_and_to_the_innermost_span(clock):
    seen = Spans(torch.device("cpu"))
    with looking(seen):
        clock(1)
        with span("networks"):
            clock(2)
            with span("views"):
                clock(4)
            clock(1)
        clock(2)
    assert seen.shares() == pytest.approx({"rest": 0.3, "networks": 0.3, "views": 0.4})


def test_a_span_that_fails_ends_and_nobody_looks_afterwards(clock):
    seen = Spans(torch.device("cpu"))

    @counted_as("views")
    def breaks() -> None:
        """Cannot."""
        clock(3)
        raise ValueError("cannot")

    with looking(seen), pytest.raises(ValueError, match="cannot"):
        breaks()
    with span("views"):
        clock(100)
    assert seen.shares() == {"rest": 0.0, "views": 1.0}
    assert breaks.__doc__ == "Cannot."


def test_without_time_there_are_no_shares():
    assert Spans(torch.device("cpu")).shares() == {}
