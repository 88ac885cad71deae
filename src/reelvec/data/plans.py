"""Which video each sample of a run is, and where its clips start: functions of (seed, sample number), no state carried."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Protocol, runtime_checkable

import numpy as np

from reelvec.core import Needs, sample_generator
from reelvec.data.clips import draw_starts, even_starts
from reelvec.data.index import Index
from reelvec.data.streams import rows_offering, span_seconds


@dataclass(frozen=True)
class Request:
    """What to read for one sample."""

    row: int
    """row of the video in the index"""
    start_seconds: tuple[float, ...]
    """where each clip starts"""


@runtime_checkable
class Plan(Protocol):
    """Says what each sample is. Held by every worker, so it must be picklable and draw nothing from a global generator."""

    def __len__(self) -> int:
        """Number of videos, the samples of one epoch."""
        ...

    def request(self, number: int, attempt: int) -> Request | None:
        """Return what to read for sample `number` of the run.

        `attempt` counts how many of its earlier requests met a broken file; None leaves the sample out.
        """
        ...


class TrainingPlan:
    """Every video once an epoch in an order drawn for that epoch, clips drawn by `Needs.times`; without end.

    The videos are `rows` of the index, or all that can be read and offer every stream.
    Sample `number` is position number % videos of epoch number // videos. A broken file is replaced by another one of
    the epoch's order, a large step further on and around: the very next ones are in the same batch, and a video that is
    in a batch twice is a false negative of itself. After as many attempts as there are videos, each had its turn.
    """

    def __init__(self, index: Index, needs: Needs, seed: int, rows: Sequence[int] | np.ndarray | None = None) -> None:
        self.index, self.needs, self.seed = index, needs, seed
        self.rows = _chosen(index, needs, rows)

    def __len__(self) -> int:
        return len(self.rows)

    def request(self, number: int, attempt: int) -> Request:
        """Return the video and the clips of a sample; there is always one."""
        epoch, position = divmod(number, len(self))
        position = (position + attempt * _replacement_step(len(self))) % len(self)
        video = self.index.row(int(self.rows[_order(self.seed, epoch, len(self))[position]]))
        rng = sample_generator(self.seed, number, "times")
        span = span_seconds(self.needs, video)
        starts = draw_starts(self.needs.times, self.needs.clips, video.duration_seconds, span, rng)
        return Request(video.row, tuple(starts.tolist()))


class EvenPlan:
    """Every video once, in the order given, with clips spread evenly over it; a broken file is left out.

    The videos are `rows` of the index, or all that can be read and offer every stream.
    """

    def __init__(self, index: Index, needs: Needs, rows: Sequence[int] | np.ndarray | None = None, clips: int = 1) -> None:
        self.index, self.needs, self.clips = index, needs, clips
        self.rows = _chosen(index, needs, rows)

    def __len__(self) -> int:
        return len(self.rows)

    def request(self, number: int, attempt: int) -> Request | None:
        """Return the video at that place and its clips."""
        if attempt > 0:
            return None
        video = self.index.row(int(self.rows[number]))
        starts = even_starts(self.clips, video.duration_seconds, span_seconds(self.needs, video))
        return Request(video.row, tuple(starts.tolist()))


def _chosen(index: Index, needs: Needs, rows: Sequence[int] | np.ndarray | None) -> np.ndarray:
    return rows_offering(index, needs) if rows is None else np.asarray(rows, np.int64)


@lru_cache(maxsize=4)  # a batch may lie across two epochs, and two plans may be in use
def _order(seed: int, epoch: int, videos: int) -> np.ndarray:
    """Return the order of an epoch's videos: a permutation drawn for it."""
    return sample_generator(seed, epoch, "order").permutation(videos)


@lru_cache(maxsize=4)
def _replacement_step(videos: int) -> int:
    """Return a step near 0.38 of an epoch (the golden section: small multiples lie far apart) that meets every video."""
    step = int(0.382 * videos)
    while gcd(step, videos) != 1:
        step += 1
    return step
