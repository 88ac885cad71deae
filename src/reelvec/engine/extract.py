"""Vectors of spans of videos: clips spread evenly over each span, a function of each clip, and the mean over the clips."""

import math
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reelvec.core import Batch, Clips, Encoder, EncoderCard, Needs, ReelvecError, Stream
from reelvec.core.shapes import Bool, Float, Int
from reelvec.data.clips import even_starts
from reelvec.data.index import Index, VideoRow
from reelvec.data.loader import ClipLoader
from reelvec.data.plans import Request
from reelvec.data.streams import delivered_size, span_seconds
from reelvec.views import centre_view, normalise

MOST_CLIPS = 10
"""clips of a span unless a number is asked for: as many as lie end to end in it, up to this (eval_protocols, section b)"""

_CLIPS_AT_ONCE = 16
"""clips in one forward pass: constant, so that memory depends on neither videos nor their number"""

_CLIPS_OF_JOB, _SECONDS_OF_JOB, _BYTES_OF_JOB = 256, 30.0, 1 << 27
"""spans of a video that follow one another are read at once up to these: what they share is then decoded once. More would
hold too much in memory, and for longer than a loader waits"""

_VECTOR_CELL = 8
"""pixels of the picture to one motion vector, as `Stream.MOTION_VECTORS` says"""

OnProgress = Callable[[int, int, str], None]
"""called with (spans done, spans in all, what is being done)"""

Change = Callable[[Float[Tensor, "b c t s s"], Int[Tensor, "b"]], Float[Tensor, "b c t s s"]]
"""makes other clips of clips; draws may hang on the number of a clip, a function of its row of the index and its start"""


@dataclass(frozen=True)
class Piece:
    """A span of one video that becomes one vector."""

    row: int
    """of the index"""
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class Reader:
    """Something that turns clips into vectors, and what it needs to see."""

    name: str
    needs: Needs
    """one stream"""
    size: int
    """side of the centre square that it is shown"""
    vectors: Callable[[Float[Tensor, "b c t s s"]], Float[Tensor, "b d"]]
    """of frames on the device, in [0, 1] or in the pixels of the view, not normalised"""
    change: Change | None = None
    """what is done to the clips first; readers of one stream share its decoding whatever they change"""
    identity: str = ""
    """what its vectors hang on beside the clips, in words that change with it; empty: they are not to be kept"""


@dataclass(frozen=True)
class Extracted:
    """Vectors of pieces by the reader's name; rows of pieces that could not be read are zeros and not `found`."""

    vectors: dict[str, Float[np.ndarray, "pieces _"]]
    found: Bool[np.ndarray, "pieces"]
    left_out: dict[str, str]
    """path -> reason, for files that could not be read"""


def encoder_reader(name: str, encoder: Encoder, card: EncoderCard, device: torch.device) -> Reader:
    """Read clips by an encoder in evaluation mode; it is moved to the device and its gradients are switched off."""
    encoder = encoder.to(device).eval().requires_grad_(False)

    def vectors(frames: Float[Tensor, "b c t s s"]) -> Float[Tensor, "b d"]:
        return encoder.features(normalise(frames, card.mean, card.std))

    return Reader(name, card.needs, card.size, vectors)


def clips_of(seconds: float, span: float, clips: int | None) -> int:
    """Return how many clips a span of a video gets: as asked, or as many as lie end to end in it, 1 to 10."""
    return clips or max(1, min(MOST_CLIPS, math.ceil(seconds / max(span, 1e-9) - 0.01)))


def whole_videos(index: Index, rows: Sequence[int] | np.ndarray) -> list[Piece]:
    """Return one piece for each of these rows: all of the video."""
    return [Piece(int(row), 0.0, index.row(int(row)).duration_seconds) for row in rows]


@dataclass(frozen=True)
class _Job:
    """Clips of one video that are read with one opening of its file, and the piece each belongs to."""

    row: int
    start_seconds: tuple[float, ...]
    pieces: tuple[int, ...]


@dataclass(frozen=True)
class _JobPlan:
    """Jobs by number, for the loader; a job that fails is not replaced."""

    jobs: tuple[_Job, ...]

    def __len__(self) -> int:
        return len(self.jobs)

    def request(self, number: int, attempt: int) -> Request | None:
        job = self.jobs[number]
        return None if attempt else Request(job.row, job.start_seconds)


def extract(
    readers: Sequence[Reader],
    index: Index,
    pieces: Sequence[Piece],
    *,
    clips: int | None = None,
    device: torch.device,
    workers: int = 0,
    on_progress: OnProgress | None = None,
) -> Extracted:
    """Read every piece with every reader; a vector is the mean over the clips of its piece.

    Readers that look at the same times share one decoding of the files, and so do pieces of one video that overlap, as far as
    half a minute goes: give them in the order of their times. A file that cannot be read is left out and named.
    Raises ReelvecError when a reader's vectors are not finite.
    """
    vectors: dict[str, np.ndarray] = {}
    found = np.ones(len(pieces), dtype=bool)
    left_out: dict[str, str] = {}
    groups = _groups(readers)
    for number, (needs, members) in enumerate(groups):
        jobs = _cut(index, pieces, needs, clips)
        sums = _Sums(len(pieces))
        with torch.inference_mode(), ClipLoader(index, needs, _JobPlan(tuple(jobs)), 1, workers=workers) as loader:
            for batch in loader.batches(_batches(jobs)):
                sums.add(batch, jobs, members, device)
                if on_progress:
                    done = sums.done + number * len(pieces)
                    on_progress(done, len(groups) * len(pieces), index.row(int(batch.rows[-1])).path)
            left_out |= {quarantined.path: quarantined.reason for quarantined in loader.quarantine}
        found &= sums.found
        vectors |= sums.means()
    _refuse_non_finite(vectors)
    return Extracted(vectors, found, left_out)


def extract_in_parts(
    reader: Reader,
    index: Index,
    parts: Sequence[Sequence[Piece]],
    *,
    clips: int | None = None,
    device: torch.device,
    workers: int = 0,
    on_progress: OnProgress | None = None,
) -> Generator[Extracted, None, None]:
    """Yield what `extract` returns for each part, in order; workers are started once and read ahead into the next part.

    No two parts hold pieces of one video. Raises ReelvecError when a part's vectors are not finite.
    """
    ((needs, members),) = _groups([reader])
    jobs: list[_Job] = []
    batches: list[list[int]] = []
    part_of: list[int] = []
    for number, pieces in enumerate(parts):
        of_part = _cut(index, pieces, needs, clips)
        batches += [[len(jobs) + job for job in together] for together in _batches(of_part)]
        jobs += of_part
        part_of += [number] * len(of_part)
    finished, total = 0, sum(map(len, parts))
    with ClipLoader(index, needs, _JobPlan(tuple(jobs)), 1, workers=workers) as loader:

        def result_of(pieces: Sequence[Piece], sums: _Sums) -> Extracted:
            paths = {index.row(row).path for row in {piece.row for piece in pieces}}
            left_out = {one.path: one.reason for one in loader.quarantine if one.path in paths}
            vectors = sums.means()
            _refuse_non_finite(vectors)
            return Extracted(vectors, sums.found, left_out)

        at, sums = 0, _Sums(len(parts[0]) if parts else 0)
        for batch in loader.batches(batches):
            while at < part_of[int(batch.numbers[0])]:
                yield result_of(parts[at], sums)
                finished += len(parts[at])
                at, sums = at + 1, _Sums(len(parts[at + 1]))
            with torch.inference_mode():  # not around the yield: it would hold in whoever goes on
                sums.add(batch, jobs, members, device)
            if on_progress:
                on_progress(finished + sums.done, total, index.row(int(batch.rows[-1])).path)
        while at < len(parts):
            yield result_of(parts[at], sums)
            at += 1
            sums = _Sums(len(parts[at]) if at < len(parts) else 0)


class _Sums:
    """Vectors of pieces, added up clip by clip."""

    def __init__(self, pieces: int) -> None:
        self.counts = torch.zeros(pieces, dtype=torch.float64)
        self.sums: dict[str, Tensor] = {}

    @property
    def found(self) -> Bool[np.ndarray, "pieces"]:
        """Pieces of which something was read."""
        return (self.counts > 0).numpy()

    @property
    def done(self) -> int:
        """How many these are."""
        return int((self.counts > 0).sum())

    def add(self, batch: Batch, jobs: Sequence[_Job], readers: Sequence[Reader], device: torch.device) -> None:
        """Compute the vectors of a batch's clips and add them to those of their pieces."""
        read = [piece for sample in batch.numbers.tolist() for piece in jobs[sample].pieces]
        where = torch.tensor(read, dtype=torch.long)
        self.counts.index_add_(0, where, torch.ones(len(read), dtype=torch.float64))
        for name, part, features in _vectors_of(batch.to(device), readers):
            total = self.sums.setdefault(name, torch.zeros(len(self.counts), features.shape[1], dtype=torch.float64))
            total.index_add_(0, where[part], features.double().cpu())

    def means(self) -> dict[str, Float[np.ndarray, "pieces _"]]:
        """Return the mean of each piece, zeros where nothing was read."""
        return {name: (total / self.counts.clamp(min=1)[:, None]).float().numpy() for name, total in self.sums.items()}


def _groups(readers: Sequence[Reader]) -> list[tuple[Needs, list[Reader]]]:
    """Put readers together that see the same times of the same pictures; their streams are decoded at once."""
    together: dict[Any, list[Reader]] = defaultdict(list)
    for reader in readers:
        need = reader.needs.streams[0]
        times = reader.needs.model_copy(update={"streams": ()}).model_dump_json(exclude={"clips", "times"})
        # two recipes for one stream cannot be had in one reading
        recipe = need.model_dump_json(exclude={"stream"}) if _twice(readers, need.stream) else ""
        together[times, need.frames, need.stride, recipe].append(reader)
    groups = []
    for members in together.values():
        streams = {reader.needs.streams[0].stream: reader.needs.streams[0] for reader in members}
        groups.append((members[0].needs.model_copy(update={"streams": tuple(streams.values())}), members))
    return groups


def _twice(readers: Sequence[Reader], stream: Stream) -> bool:
    return len({r.needs.streams[0] for r in readers if r.needs.streams[0].stream is stream}) > 1


def _cut(index: Index, pieces: Sequence[Piece], needs: Needs, clips: int | None) -> list[_Job]:
    """Turn pieces into jobs of one file each, in order; pieces of a video share a job as long as it is small enough.

    A job is one pass over its part of a file. The next one begins with frames of the last again where windows overlap, and
    with all of them from the key frame before.
    """
    jobs: list[_Job] = []
    row, span, most = None, 0.0, 0
    for number, piece in enumerate(pieces):
        if row is None or row.row != piece.row:
            row = index.row(piece.row)
            span, most = span_seconds(needs, row), _most_clips(needs, row)
        seconds = piece.end_seconds - piece.start_seconds
        starts = piece.start_seconds + even_starts(clips_of(seconds, span, clips), seconds, span)
        added = tuple(float(start) for start in starts)
        last = jobs[-1] if jobs and jobs[-1].row == piece.row else None
        together = last.start_seconds + added if last else added
        is_short = max(together) - min(together) + span <= _SECONDS_OF_JOB
        if last and len(together) <= (most if is_short else min(most, _CLIPS_AT_ONCE)):
            jobs[-1] = _Job(piece.row, together, last.pieces + (number,) * len(added))
        else:
            jobs.append(_Job(piece.row, added, (number,) * len(added)))
    return jobs


def _most_clips(needs: Needs, row: VideoRow) -> int:
    """Return how many clips of a video a job may hold; a piece with more is a job of its own."""
    height, width = delivered_size(row, needs)
    clip = sum(4 * need.frames * height * width for need in needs.streams)  # 4 bytes to the pixel are the most
    return max(_CLIPS_AT_ONCE, min(_CLIPS_OF_JOB, _BYTES_OF_JOB // clip))


def _batches(jobs: Sequence[_Job]) -> Iterator[list[int]]:
    """Group jobs of equally many clips; a batch is a tensor, so its videos need the same number of clips."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for number, job in enumerate(jobs):
        clips = len(job.start_seconds)
        waiting[clips].append(number)
        if (len(waiting[clips]) + 1) * clips > _CLIPS_AT_ONCE:
            yield waiting.pop(clips)
    yield from waiting.values()


def _vectors_of(batch: Batch, readers: Sequence[Reader]) -> Iterator[tuple[str, slice, Tensor]]:
    """Yield (name, which clips, vectors (k d)) of all clips of a batch, video by video, `_CLIPS_AT_ONCE` at a time."""
    clips = {
        stream: Clips(of_videos.frames.flatten(0, 1)[:, None], of_videos.size.repeat_interleave(of_videos.frames.shape[1], 0))
        for stream, of_videos in batch.streams.items()
    }
    many = len(next(iter(clips.values())).frames)
    milliseconds = (1000 * batch.start_seconds.double()).round().long()
    clip_numbers = ((batch.rows[:, None] << 32) + milliseconds).flatten()
    for first in range(0, many, _CLIPS_AT_ONCE):
        part = slice(first, min(first + _CLIPS_AT_ONCE, many))
        seen: dict[tuple[Stream, int], Tensor] = {}  # many readers look at the same pictures
        for reader in readers:
            stream = reader.needs.streams[0].stream
            if (stream, reader.size) not in seen:
                some = Clips(clips[stream].frames[part], clips[stream].size[part])
                has_vectors = stream in (Stream.FLOW, Stream.MOTION_VECTORS)
                cell = _VECTOR_CELL if stream is Stream.MOTION_VECTORS else 1
                seen[stream, reader.size] = centre_view(some, reader.size, vectors=has_vectors, cell=cell)
            shown = seen[stream, reader.size]
            if reader.change is not None:
                shown = reader.change(shown, clip_numbers[part])
            yield reader.name, part, reader.vectors(shown)


def _refuse_non_finite(vectors: dict[str, np.ndarray]) -> None:
    for name, values in vectors.items():
        bad = int((~np.isfinite(values).all(1)).sum())
        if bad:
            raise ReelvecError(
                f"compute features with {name}",
                f"features that are not finite for {bad} of {len(values)} videos",
                "use the encoder of an earlier step: this one's weights have diverged",
            )
