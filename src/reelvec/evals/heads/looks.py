"""What a network is shown of labelled videos: drawn clips and crops to learn from, even clips and side crops to test with."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
from pydantic import Field, model_validator
from torch import Tensor

from reelvec.core import Batch, Clips, Config, Draws, Encoder, EncoderCard, ReelvecError, Stream, Times, sample_generator
from reelvec.core.shapes import Bool, Float, Int
from reelvec.data.clips import draw_starts, even_starts
from reelvec.data.index import Index
from reelvec.data.loader import ClipLoader, Request
from reelvec.data.motion_vectors import CELL
from reelvec.data.streams import span_seconds
from reelvec.engine.extract import OnProgress, clips_of
from reelvec.evals.heads.augment import Augment
from reelvec.evals.outcome import Answers
from reelvec.views import normalise
from reelvec.views.geometry import crop, draw_boxes, scale_vectors
from reelvec.views.side_crops import side_views

CLIPS_AT_ONCE = 16
"""clips in one forward pass without a gradient: memory depends on neither videos nor their number"""

Crops = Literal[1, 3]
"""squares of the picture that are tested: the centre, or both ends of the long side too"""


class RandomCrop(Config):
    """Which part of the picture is shown while a network learns."""

    area: tuple[float, float] = (0.5, 1.0)
    """share of the picture's area"""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """width / height before it is made square"""
    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    """probability of mirroring left and right; 0: labels of motion do not survive a mirror"""

    @model_validator(mode="after")
    def _ranges(self) -> "RandomCrop":
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError("area: two shares, 0 < smallest <= largest <= 1")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError("aspect: two ratios, 0 < smallest <= largest")
        return self

    @property
    def in_words(self) -> str:
        """For the protocol."""
        low, high = self.area
        flipped = f"mirrored with probability {self.flip:g}" if self.flip else "never mirrored"
        return (
            f"a random crop of {low:g} to {high:g} of the area, aspect {self.aspect[0]:.2f} to {self.aspect[1]:.2f}, {flipped}"
        )


_AS_IT_IS = Augment()


class Tally:
    """Counts what is done of all that there is to do, and tells."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self.done, self.total, self.on_progress = 0, total, on_progress

    def add(self, many: int, text: str) -> None:
        """Count `many` more."""
        self.done += many
        if self.on_progress:
            self.on_progress(min(self.done, self.total), self.total, text)


@dataclass(frozen=True)
class Source:
    """Where clips come from, where they go, and who is told."""

    index: Index
    card: EncoderCard
    device: torch.device
    workers: int
    tally: Tally


@dataclass(frozen=True)
class Requests:
    """A plan of the loader: what to read for each sample, written out. What cannot be read is left out."""

    requests: tuple[Request, ...]

    def __len__(self) -> int:
        return len(self.requests)

    def request(self, number: int, attempt: int) -> Request | None:
        """Return what to read for a sample."""
        return None if attempt else self.requests[number]


def rows_by_side(rows: Sequence[int], test: Bool[Tensor, "videos"]) -> tuple[list[int], list[int]]:
    """Return the rows of the index of training videos and those of test videos."""
    sides: tuple[list[int], list[int]] = ([], [])
    for row, is_test in zip(rows, test.tolist(), strict=True):
        sides[is_test].append(int(row))
    return sides


def clips_of_median(source: Source, rows: Sequence[int], most: int) -> int:
    """Return how many clips lie end to end in the median of these videos, 1 to `most`."""
    videos = [source.index.row(number) for number in rows]
    fitting = [clips_of(video.duration_seconds, span_seconds(source.card.needs, video), None) for video in videos]
    return min(most, sorted(fitting)[len(fitting) // 2])


def even_requests(source: Source, rows: Sequence[int], clips: int | None) -> Requests:
    """Ask for clips spread evenly over each video: so many, or as many as lie end to end in it, 1 to 10."""
    asked = []
    for number in rows:
        row = source.index.row(number)
        span = span_seconds(source.card.needs, row)
        starts = even_starts(clips_of(row.duration_seconds, span, clips), row.duration_seconds, span)
        asked.append(Request(number, tuple(starts.tolist())))
    return Requests(tuple(asked))


def drawn_requests(source: Source, rows: Sequence[int], clips: int, look: int, seed: int) -> Requests:
    """Ask for clips drawn by (seed, place in `rows`, look): one in the same, drawn place of each of `clips` equal parts."""
    asked = []
    for place, number in enumerate(rows):
        row = source.index.row(number)
        rng = sample_generator(seed, place, f"looks/times/{look}")
        starts = draw_starts(Times(rule="spread"), clips, row.duration_seconds, span_seconds(source.card.needs, row), rng)
        asked.append(Request(number, tuple(starts.tolist())))
    return Requests(tuple(asked))


def read(source: Source, requests: Requests) -> Iterator[tuple[Int[Tensor, "b"], Batch]]:
    """Read requests, about `CLIPS_AT_ONCE` clips at a time; yield which of them, and their clips on the device.

    Those of a file that cannot be read are missing.
    """
    with ClipLoader(source.index, source.card.needs, requests, 1, workers=source.workers) as loader:
        for batch in loader.batches(_batches(requests)):
            yield batch.numbers, batch.to(source.device)


def _batches(requests: Requests) -> Iterator[list[int]]:
    """Group requests of equally many clips; a batch is a tensor."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for number, request in enumerate(requests.requests):
        clips = len(request.start_seconds)
        waiting[clips].append(number)
        if (len(waiting[clips]) + 1) * clips > CLIPS_AT_ONCE:
            yield waiting.pop(clips)
    yield from waiting.values()


def _one_by_one(batch: Batch, card: EncoderCard) -> tuple[Clips, bool, int]:
    """Return all clips of a batch (n = 1), video by video; whether they are vectors; pixels of the picture to one of them."""
    stream = card.needs.streams[0].stream
    clips = batch.streams[stream]
    apart = Clips(clips.frames.flatten(0, 1)[:, None], clips.size.repeat_interleave(clips.frames.shape[1], 0))
    vectors = stream in (Stream.FLOW, Stream.MOTION_VECTORS)
    return apart, vectors, CELL if stream is Stream.MOTION_VECTORS else 1


def drawn_views(
    batch: Batch, card: EncoderCard, shown: RandomCrop, draws: Draws, augment: Augment = _AS_IT_IS
) -> Float[Tensor, "b n c t s s"]:
    """Crop each clip of a batch at random and normalise it; clips of a video are cropped apart.

    `draws` are those of the batch's samples. Of `augment`, RandAugment is for RGB alone.
    """
    clips, vectors, cell = _one_by_one(batch, card)
    many = len(clips.frames) // len(batch)
    numbers = draws.numbers.cpu()[:, None] * many + torch.arange(many)
    # what steers the work is small and made on the CPU, where the crop wants it
    host = Draws(draws.seed, numbers.flatten(), draws.scope)
    if card.needs.streams[0].stream is Stream.RGB:
        clips = augment.pictures(clips, host.within("augment"))
    box = draw_boxes(clips.size.cpu(), shown.area, shown.aspect, host)
    flipped = host.chance("flip", shown.flip)
    cut = crop(clips, box, flipped, card.size)
    if vectors:
        cut = scale_vectors(cut, box.to(cut.device), flipped.to(cut.device), clips.size * cell)
    views = augment.erased(normalise(cut, card.mean, card.std), host.within("erase"))
    return views.unflatten(0, (len(batch), many))


def even_views(batch: Batch, card: EncoderCard, crops: int) -> Float[Tensor, "b n k c t s s"]:
    """Show squares along the long side of each clip, normalised; one where all pictures are square."""
    clips, vectors, cell = _one_by_one(batch, card)
    cut = side_views(clips, card.size, crops, vectors=vectors, cell=cell)
    views = normalise(cut.flatten(0, 1), card.mean, card.std).unflatten(0, cut.shape[:2])
    return views.unflatten(0, (len(batch), -1))


@runtime_checkable
class Layered(Protocol):
    """The body of an encoder that gives what stands after each of its blocks, not at its end alone."""

    def maps_of_layers(self, clip: Float[Tensor, "b c t h w"], layers: Sequence[int]) -> list[Float[Tensor, "b d t2 h2 w2"]]:
        """Return a map for each of these blocks, all of one size; ReelvecError for blocks that do not exist."""
        ...


def tokens_of(encoder: Encoder, clips: Float[Tensor, "b c t s s"], layers: Sequence[int] = ()) -> Float[Tensor, "b n d"]:
    """Return the places of an encoder's map as tokens; with `layers`, those after these blocks, one after the other.

    Raises ReelvecError where an encoder does not give away what is inside it.
    """
    if not layers:
        return encoder(clips).flatten(2).transpose(1, 2)
    body = encoder.body
    if not isinstance(body, Layered):
        raise ReelvecError(
            f"look at the layers {', '.join(map(str, layers))} of a {encoder.architecture}",
            "a network that gives the map at its end alone",
            "leave layers out; networks with layers are vjepa2 and videomae of transformers",
        )
    return torch.cat([one.flatten(2).transpose(1, 2) for one in body.maps_of_layers(clips, layers)], 1)


def encode(
    encoder: Encoder, clips: Float[Tensor, "b c t s s"], pooled: bool, layers: Sequence[int] = ()
) -> Float[Tensor, "b n d"]:
    """Return the tokens of clips, or their mean as the only one (n = 1), some clips at a time, without a gradient.

    `layers` as in `tokens_of`. Raises ReelvecError for features that are not finite.
    """
    parts = []
    with torch.no_grad():
        for some in clips.split(CLIPS_AT_ONCE):
            tokens = encoder.features(some)[:, None] if pooled else tokens_of(encoder, some, layers)
            parts.append(tokens.float())
    whole = torch.cat(parts)
    if not bool(whole.isfinite().all()):
        raise ReelvecError(
            "train a head on features of clips",
            "features that are not finite",
            "use the encoder of an earlier step: this one's weights have diverged",
        )
    return whole


def none_readable(source: Source, requests: Requests) -> ReelvecError:
    """Say that nothing came of any request."""
    first = source.index.row(requests.requests[0].row).path
    return ReelvecError(
        f"read clips of {len(requests)} videos",
        f"not one that can be read, the first {first}",
        "run `reelvec index` on them to see what is wrong",
    )


@dataclass(frozen=True)
class Shares:
    """What networks say of each video: shares of the classes, the mean over the views of it."""

    shares: Float[Tensor, "videos networks classes"]
    found: Bool[Tensor, "videos"]
    """False where the file could not be read; its shares are zeros"""

    def answers(self, network: int, labels: Int[Tensor, "videos"]) -> Answers:
        """Compare with the truth. A video that could not be read counts as missed, and is named -1."""
        sure, named = self.shares[:, network].max(1)
        named = torch.where(self.found, named, -1)
        return Answers((named == labels).double(), named=named, sure=sure)


Judge = Callable[[Float[Tensor, "b n k c t s s"]], Float[Tensor, "b networks classes"]]
"""says what the n clips and k crops of each video show, as shares of the classes"""


def judged(judge: Judge, source: Source, requests: Requests, crops: int) -> Shares:
    """Read even clips of videos and let networks in evaluation mode judge them. No label is known here."""
    shares: Tensor | None = None
    found = torch.zeros(len(requests), dtype=torch.bool)
    with torch.no_grad():
        for numbers, batch in read(source, requests):
            said = judge(even_views(batch, source.card, crops)).cpu()
            if shares is None:
                shares = torch.zeros(len(requests), *said.shape[1:])
            shares[numbers], found[numbers] = said, True
            source.tally.add(len(numbers), "testing: " + source.index.row(int(batch.rows[-1])).path)
    if shares is None:
        raise none_readable(source, requests)
    return Shares(shares, found)
