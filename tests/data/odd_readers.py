"""An index without files and readers that misbehave. A module of its own, so that worker processes can import it."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from reelvec.core import Needs, Stream, StreamNeed
from reelvec.data.cache import DecodedCache
from reelvec.data.decode import DecodeError
from reelvec.data.index import Index, VideoRow

NEEDS = Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=2),), clips=2)
"""two clips of 8 frames' time"""


class PretendIndex(Index):
    """An index of videos of 2 seconds at 24 frames a second, none of which is there."""

    def __init__(self, videos: int, broken: Sequence[int] = (), without_vectors: Sequence[int] = ()) -> None:
        statuses = ["broken" if i in broken else "ok" for i in range(videos)]
        vectors = [i not in without_vectors for i in range(videos)]
        super().__init__(pa.table({"status": statuses, "has_motion_vectors": vectors}))

    def row(self, i: int) -> VideoRow:
        if i >= len(self):
            raise IndexError(i)
        return VideoRow(
            row=i,
            path=f"/videos/{i}.mp4",
            codec="h264",
            width=8,
            height=6,
            rotation_degrees=0,
            time_base=Fraction(1, 24),
            pts=np.arange(48),
            key_frames=np.zeros(1, np.int32),
            duration_seconds=2.0,
            frames_per_second=24.0,
            has_audio=False,
            has_motion_vectors=True,
            seeks_by_pts=True,
            status="ok",
            reason="",
        )


@dataclass(frozen=True)
class OddReader:
    """Fills a clip with its row and its start; some rows are read less well. Frames differ in height from row to row."""

    broken: frozenset[int] = frozenset()
    hangs: frozenset[int] = frozenset()
    dies: frozenset[int] = frozenset()

    def __call__(
        self, row: VideoRow, needs: Needs, start_seconds: Sequence[float], cache: DecodedCache | None = None
    ) -> dict[Stream, np.ndarray]:
        if row.row in self.broken:
            raise DecodeError(row.path, "no picture in it")
        if row.row in self.hangs:
            threading.Event().wait()
        if row.row in self.dies:
            os._exit(7)
        clips = np.full((len(start_seconds), 3, 4, 6 + row.row % 3, 8), row.row % 256, np.uint8)
        clips[:, 0, 0, 0, 0] = [int(start * 100) for start in start_seconds]
        return {Stream.RGB: clips}
