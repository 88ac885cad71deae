"""One batch: its files are opened, broken ones replaced, and the clips of all videos put into common tensors."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from reelvec.core import Batch, Clips, Needs, PlaneClips, ReelvecError, Stream
from reelvec.core.needs import PLANES
from reelvec.data.cache import DecodedCache
from reelvec.data.decode import DecodeError
from reelvec.data.index import Index, VideoRow
from reelvec.data.plans import Plan, Request
from reelvec.data.streams import span_seconds

ATTEMPTS = 50
"""files that are tried for one sample before it is clear that the fault is not with the files"""


@runtime_checkable
class Reader(Protocol):
    """Reads the clips of one video from one opening of its file; `read_clips` is the real one."""

    def __call__(
        self, row: VideoRow, needs: Needs, start_seconds: Sequence[float], cache: DecodedCache | None = None
    ) -> dict[Stream, np.ndarray]:
        """Return every stream of every clip (n c t h w); any exception means that the file is broken."""
        ...


@dataclass(frozen=True)
class Reading:
    """A batch as it crosses a process border: pictures in tensors, which travel in shared memory, the rest in arrays."""

    frames: dict[Stream, Tensor]
    """(b n c t h w) each, padded"""
    sizes: dict[Stream, np.ndarray]
    """(b 2) each: height and width before padding"""
    numbers: list[int]
    rows: list[int]
    start_seconds: list[tuple[float, ...]]
    span_seconds: list[float]
    failures: list[tuple[int, str]]
    """row and reason, once for each sample that wanted a broken file"""

    def batch(self) -> Batch | None:
        """Return the batch for a method; None when every sample was left out."""
        if not self.numbers:
            return None
        sizes = {stream: torch.from_numpy(size) for stream, size in self.sizes.items()}
        streams = {stream: Clips(frames, sizes[stream]) for stream, frames in self.frames.items() if stream not in PLANES}
        if Stream.LUMA in self.frames:
            luma, chroma, to_rgb = (self.frames[stream] for stream in PLANES)
            matrix = to_rgb[:, 0, :, 0, 0, 0].unflatten(1, (3, 4))  # a file has one for all of its frames
            streams = {Stream.RGB: PlaneClips(luma, chroma, matrix, sizes[Stream.LUMA]), **streams}
        return Batch(
            streams=streams,
            numbers=torch.tensor(self.numbers),
            rows=torch.tensor(self.rows),
            start_seconds=torch.tensor(self.start_seconds, dtype=torch.float32),
            span_seconds=torch.tensor(self.span_seconds, dtype=torch.float32),
        )


class BatchReader:
    """Reads batches; remembers the files that were broken and never opens one of them again."""

    def __init__(self, index: Index, needs: Needs, plan: Plan, reader: Reader, cache_bytes: int) -> None:
        self.index, self.needs, self.plan, self.reader, self.cache_bytes = index, needs, plan, reader, cache_bytes
        self.cache: DecodedCache | None = None
        self.broken: dict[int, str] = {}
        """row and reason"""

    def read(self, numbers: Sequence[int], announce: Callable[[int], None] = lambda row: None, shared: bool = False) -> Reading:
        """Read the samples of a batch; `announce` is told the row whose file is about to be opened, and -1 after it.

        With `shared`, pictures are put into shared memory at once: for a batch that goes to another process.
        """
        if self.cache is None and self.cache_bytes:
            self.cache = DecodedCache(self.cache_bytes)
        failures: list[tuple[int, str]] = []
        samples = [(number, self._sample(number, announce, failures)) for number in numbers]
        read = [(number, *sample) for number, sample in samples if sample]
        streams = [need.stream for need in self.needs.streams] if read else []
        padded = {stream: _pad([clips[stream] for *_, clips in read], shared) for stream in streams}
        return Reading(
            frames={stream: frames for stream, (frames, _) in padded.items()},
            sizes={stream: sizes for stream, (_, sizes) in padded.items()},
            numbers=[number for number, *_ in read],
            rows=[request.row for _, request, *_ in read],
            start_seconds=[request.start_seconds for _, request, *_ in read],
            span_seconds=[span_seconds(self.needs, self.index.row(request.row)) for _, request, *_ in read],
            failures=failures,
        )

    def _sample(
        self, number: int, announce: Callable[[int], None], failures: list[tuple[int, str]]
    ) -> tuple[Request, dict[Stream, np.ndarray]] | None:
        """Read one sample or what replaces it; None where the plan leaves it out."""
        opened = 0
        for attempt in range(len(self.plan) + 1):
            request = self.plan.request(number, attempt)
            if request is None:
                return None
            if request.row not in self.broken:
                video = self.index.row(request.row)
                announce(request.row)
                try:
                    return request, self.reader(video, self.needs, request.start_seconds, cache=self.cache)
                except Exception as error:  # whatever a broken file does to a decoder
                    self.broken[request.row] = _reason(error)
                    opened += 1
                finally:
                    announce(-1)
            failures.append((request.row, self.broken[request.row]))
            if opened == ATTEMPTS:
                break
        raise self._nothing_readable(number)

    def _nothing_readable(self, number: int) -> ReelvecError:
        some = [f"{self.index.row(row).path} ({reason})" for row, reason in list(self.broken.items())[:3]]
        return ReelvecError(
            f"read a video for sample {number}, or another one in its place",
            f"one file after the other that cannot be read, {len(self.broken)} so far: {'; '.join(some)}",
            "see that the files are still where they were when `reelvec index` looked at them, and index them again",
        )


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, DecodeError) else f"{type(error).__name__}: {error}"


def _pad(clips: list[np.ndarray], shared: bool) -> tuple[Tensor, np.ndarray]:
    """Stack clips (n c t h w) of different sizes with zeros at the right and bottom; return their sizes (b 2) too."""
    sizes = np.array([clip.shape[-2:] for clip in clips], np.int64)
    height, width = sizes.max(axis=0).tolist()
    shape = (len(clips), *clips[0].shape[:3], height, width)
    stacked = _shared_zeros(shape, clips[0].dtype) if shared else torch.from_numpy(np.zeros(shape, clips[0].dtype))
    for place, clip in zip(stacked.numpy(), clips, strict=True):
        place[..., : clip.shape[-2], : clip.shape[-1]] = clip
    return stacked, sizes


def _shared_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    """Return zeros in shared memory, as torch's own loader makes them: what travels is then written once."""
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)
    return torch.from_numpy(np.empty(0, dtype)).set_(storage).view(shape)
