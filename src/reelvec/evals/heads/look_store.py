"""Tokens of all training videos, several looks of each: computed once, kept in memory or, if that is too much, on disk."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from reelvec.core import Draws, Encoder, ReelvecError
from reelvec.core.shapes import Bool, Float, Int
from reelvec.evals.heads.augment import Augment
from reelvec.evals.heads.looks import (
    RandomCrop,
    Source,
    drawn_requests,
    drawn_views,
    encode,
    even_requests,
    even_views,
    none_readable,
    read,
)

_AS_IT_IS = Augment()


class LookStore:
    """Tokens (n d) of videos by look, float32. A context manager: what is on disk is gone afterwards."""

    def __init__(self, videos: int, looks: int, tokens: int, dim: int, memory_gb: float, disk_gb: float) -> None:
        """Make room; ReelvecError where neither memory nor disk may hold so much."""
        shape = (looks, videos, tokens, dim)
        gb = 4 * looks * videos * tokens * dim / 1e9
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if gb <= memory_gb:
            self._kept: np.ndarray = np.zeros(shape, np.float32)
            return
        free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
        if gb > min(disk_gb, 0.9 * free):
            raise ReelvecError(
                f"keep {looks} looks of {videos} videos, {tokens} tokens of {dim} numbers each",
                f"{gb:.1f} GB; allowed: {memory_gb:g} GB of memory or {disk_gb:g} GB of disk, of which {free:.0f} GB are free",
                "use looks=1, fewer segments, fewer videos or a larger disk_gb (temporary files go to $TMPDIR)",
            )
        self._folder = tempfile.TemporaryDirectory(prefix="reelvec-tokens-")
        self._kept = np.memmap(Path(self._folder.name) / "tokens", np.float32, "w+", shape=shape)

    @property
    def looks(self) -> int:
        """How many looks of each video there are."""
        return len(self._kept)

    @property
    def dim(self) -> int:
        """How many numbers a token has."""
        return self._kept.shape[-1]

    def put(self, videos: Sequence[int], look: int, tokens: Float[Tensor, "b n d"]) -> None:
        """Keep the tokens of one look of some videos."""
        self._kept[look, videos] = tokens.cpu().numpy()

    def take(self, videos: Sequence[int], look: int) -> Float[Tensor, "b n d"]:
        """Return the tokens of one look of some videos."""
        return torch.from_numpy(np.ascontiguousarray(self._kept[look, videos]))

    def __enter__(self) -> "LookStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        del self._kept
        if self._folder is not None:
            self._folder.cleanup()


def tokens_of_clip(encoder: Encoder, source: Source, layers: Sequence[int] = ()) -> tuple[int, int]:
    """Return how many tokens of how many numbers the encoder makes of one clip."""
    card = source.card
    clip = torch.zeros(1, card.channels, card.needs.streams[0].frames, card.size, card.size, device=source.device)
    _, tokens, dim = encode(encoder, clip, False, layers).shape
    return tokens, dim


def fill(
    store: LookStore,
    encoder: Encoder,
    source: Source,
    rows: Sequence[int],
    *,
    clips: int,
    shown: RandomCrop,
    pooled: bool,
    seed: int,
    augment: Augment = _AS_IT_IS,
    layers: Sequence[int] = (),
) -> Bool[Tensor, "videos"]:
    """Compute and keep every look of these videos; return which of them could be read every time.

    Look 0 is what is tested: `clips` even clips, the centre. The others are clips and crops drawn by (seed, place in `rows`,
    look), with `augment`. Tokens of all clips of a video stand one after the other. ReelvecError where no video could be read.
    """
    found = torch.ones(len(rows), dtype=torch.bool)
    even = even_requests(source, rows, clips)
    for look in range(store.looks):
        requests = drawn_requests(source, rows, clips, look, seed) if look else even
        seen = torch.zeros(len(rows), dtype=torch.bool)
        for numbers, batch in read(source, requests):
            if look:
                views = drawn_views(batch, source.card, shown, Draws(seed, numbers, f"looks/crop/{look}"), augment)
            else:
                views = even_views(batch, source.card, 1)[:, :, 0]
            tokens = encode(encoder, views.flatten(0, 1), pooled, layers)
            store.put(numbers.tolist(), look, tokens.unflatten(0, views.shape[:2]).flatten(1, 2))
            seen[numbers] = True
            source.tally.add(len(numbers), "reading: " + source.index.row(int(batch.rows[-1])).path)
        found &= seen
    if not found.any():
        raise none_readable(source, even)
    return found


def shuffled(videos: Int[np.ndarray, "n"], batch: int, rng: np.random.Generator) -> list[list[int]]:
    """Return the batches of an epoch, of nearly equal size: no last one of a single video."""
    parts = np.array_split(rng.permutation(videos), max(1, -(-len(videos) // batch)))
    return [part.tolist() for part in parts]
