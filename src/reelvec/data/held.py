"""Whole decoded videos on the device that trains: a small set is read once, and clips are cut out where they are needed.

What comes out equals, bit for bit, what `ClipLoader` reads by the same plan.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from reelvec.core import Batch, Clips, Needs, PlaneClips, ReelvecError, Stream
from reelvec.core.needs import PLANES
from reelvec.core.shapes import Int, Shaped
from reelvec.data.index import Index, VideoRow
from reelvec.data.loader import ClipLoader, EvenPlan, Quarantined, TrainingPlan
from reelvec.data.plans import Request
from reelvec.data.reading import Reader
from reelvec.data.streams import content_stream, frames_shown, read_whole, span_seconds, whole_bytes, whole_needs


@dataclass(frozen=True)
class _Planned:
    """What a batch holds, worked out before anything is cut."""

    numbers: list[int]
    requests: list[Request]
    videos: list[VideoRow]
    shown: dict[Stream, Int[np.ndarray, "b n t"]]
    passed_over: list[int]
    """rows of broken files, once for each sample that wanted one"""


class HeldLoader:
    """Gives the batches that a `ClipLoader` of the same plan gives, on a device that holds all videos decoded.

    They are read when the first batch is asked for, by `workers` processes. Of several processes that train, each holds all.
    """

    def __init__(
        self,
        index: Index,
        needs: Needs,
        plan: TrainingPlan,
        device: torch.device,
        budget_bytes: int,
        *,
        workers: int = 0,
        timeout_seconds: float = 60.0,
        reader: Reader = read_whole,
    ) -> None:
        """`budget_bytes` is what decoded videos may take on the device; ReelvecError where they take more."""
        self.index, self.needs, self.plan, self.device = index, needs, plan, device
        self.workers, self.timeout_seconds = workers, timeout_seconds
        self.waiting_seconds = 0.0
        """time that whoever takes the batches has spent waiting for them"""
        self._whole_needs, self._reader = whole_needs(needs), reader
        self._videos = {int(row): index.row(int(row)) for row in plan.rows}
        self.decoded_bytes = sum(whole_bytes(video, self._whole_needs) for video in self._videos.values())
        self._refuse_what_does_not_fit(budget_bytes)
        self._held: dict[int, dict[Stream, Tensor]] = {}
        """row -> stream -> all frames (c frames h w); of TO_RGB the matrix of the file (3 4)"""
        self._broken: dict[int, str] = {}
        self._wanted_broken: dict[int, int] = {}

    @property
    def quarantine(self) -> list[Quarantined]:
        """The files that could not be read and that a sample wanted so far."""
        wanted = self._wanted_broken.items()
        return [Quarantined(self._videos[row].path, self._broken[row], times) for row, times in wanted]

    def batches(self, numbers: Iterable[Sequence[int]]) -> Iterator[Batch]:
        """Give the batch of each list of sample numbers, in that order. Raises ReelvecError where no video can be read."""
        with ThreadPoolExecutor(1) as ahead:  # the next batch is planned while this one is computed with
            began = time.perf_counter()
            if not self._held:
                self._read_all()
            wanted = iter(numbers)
            planned = next(wanted, None)
            coming = None if planned is None else ahead.submit(self._plan, planned)
            while coming is not None:
                ready = coming.result()
                following = next(wanted, None)
                coming = None if following is None else ahead.submit(self._plan, following)
                batch = self._cut(ready)
                self.waiting_seconds += time.perf_counter() - began
                yield batch
                began = time.perf_counter()

    def close(self) -> None:
        """Let the videos go."""
        self._held.clear()

    def __enter__(self) -> "HeldLoader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _refuse_what_does_not_fit(self, budget_bytes: int) -> None:
        free = torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else self.decoded_bytes
        if self.decoded_bytes <= min(budget_bytes, free):
            return
        gib = 2**30
        limit = f"cache_gb={budget_bytes / gib:.3g}" if budget_bytes <= free else f"{free / gib:.3g} GiB free there"
        raise ReelvecError(
            f"hold {len(self._videos)} videos decoded on {self.device} (cache_on=device)",
            f"{self.decoded_bytes / gib:.3g} GiB of pictures, and {limit}",
            f"set cache_gb={np.ceil(10 * self.decoded_bytes / gib) / 10:.1f} where the device has that much beside what "
            "training takes; or lower short_side, use pictures=yuv, or leave cache_on=host",
        )

    def _read_all(self) -> None:
        plan = EvenPlan(self.index, self._whole_needs, self.plan.rows)
        with ClipLoader(
            self.index, self._whole_needs, plan, 1, workers=self.workers, timeout_seconds=self.timeout_seconds,
            reader=self._reader,
        ) as loader:  # fmt: skip
            for batch in loader.batches():
                self._held[int(batch.rows[0])] = {
                    stream: frames.to(self.device) for stream, frames in _frames_of(batch).items()
                }
            reasons = {quarantined.path: quarantined.reason for quarantined in loader.quarantine}
        self._broken = {row: reasons[video.path] for row, video in self._videos.items() if row not in self._held}
        if not self._held:
            path, reason = next(iter(reasons.items()))
            raise ReelvecError(f"read {len(self._videos)} videos", f"none can be read; {path}: {reason}", "run `reelvec index`")

    def _plan(self, numbers: Sequence[int]) -> _Planned:
        passed_over: list[int] = []
        requests = [self._request(number, passed_over) for number in numbers]
        videos = [self._videos[request.row] for request in requests]
        shown = {
            need.stream: np.stack(
                [frames_shown(v, self.needs, need, r.start_seconds) for v, r in zip(videos, requests, strict=True)]
            )
            for need in self.needs.streams
        }
        return _Planned(list(numbers), requests, videos, shown, passed_over)

    def _request(self, number: int, passed_over: list[int]) -> Request:
        """Return the first request for a sample whose file is held; some file is."""
        attempt = 0
        while (request := self.plan.request(number, attempt)).row not in self._held:
            passed_over.append(request.row)
            attempt += 1
        return request

    def _cut(self, planned: _Planned) -> Batch:
        for row in planned.passed_over:
            self._wanted_broken[row] = self._wanted_broken.get(row, 0) + 1
        held = [self._held[request.row] for request in planned.requests]
        cut = {
            stream: _clips([streams[content_stream(stream)] for streams in held], shown)
            for stream, shown in planned.shown.items()
            if stream is not Stream.TO_RGB
        }
        streams: dict[Stream, Clips] = {stream: Clips(*clips) for stream, clips in cut.items() if stream not in PLANES}
        if Stream.LUMA in cut:
            (luma, sizes), (chroma, _) = cut[Stream.LUMA], cut[Stream.CHROMA]
            matrix = torch.stack([streams[Stream.TO_RGB] for streams in held])
            streams = {Stream.RGB: PlaneClips(luma, chroma, matrix, sizes), **streams}
        batch = Batch(
            streams=streams,
            numbers=torch.tensor(planned.numbers),
            rows=torch.tensor([request.row for request in planned.requests]),
            start_seconds=torch.tensor([request.start_seconds for request in planned.requests], dtype=torch.float32),
            span_seconds=torch.tensor([span_seconds(self.needs, video) for video in planned.videos], dtype=torch.float32),
        )
        return batch.to(self.device)


def _frames_of(batch: Batch) -> dict[Stream, Tensor]:
    """Return the frames of the one clip of the one video of a batch, as they are held."""
    frames: dict[Stream, Tensor] = {}
    for stream, clips in batch.streams.items():
        if isinstance(clips, PlaneClips):
            of_planes = (clips.luma[0, 0], clips.chroma[0, 0], clips.to_rgb[0])
            frames |= dict(zip(PLANES, of_planes, strict=True))
        else:
            frames[stream] = clips.frames[0, 0]
    return frames


def _clips(
    wholes: Sequence[Shaped[Tensor, "c _ _ _"]], shown: Int[np.ndarray, "b n t"]
) -> tuple[Shaped[Tensor, "b n c t h2 w2"], Int[Tensor, "b 2"]]:
    """Cut clips out of whole videos, with zeros at the right and bottom of smaller ones; return their sizes too."""
    sizes = torch.tensor([whole.shape[-2:] for whole in wholes])
    height, width = sizes.amax(0).tolist()
    first = wholes[0]
    out = first.new_zeros((len(wholes), shown.shape[1], len(first), shown.shape[2], height, width))
    places = torch.from_numpy(shown).to(first.device, non_blocking=True)
    for into, whole, clips in zip(out, wholes, places, strict=True):
        for clip, frames in zip(into, clips, strict=True):
            clip[..., : whole.shape[-2], : whole.shape[-1]] = whole.index_select(1, frames)
    return out, sizes
