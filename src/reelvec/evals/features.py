"""The rows of the table: the run's encoders, the same networks untrained, pixels and colours, read in one go."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.core import Encoder, EncoderCard, Needs, Stream, StreamNeed
from reelvec.core.shapes import Bool
from reelvec.data.index import Index
from reelvec.engine.extract import OnProgress, Reader, encoder_reader, extract, whole_videos
from reelvec.evals.baselines import colour_histogram, pixel_vector
from reelvec.evals.table import Features, concatenate

UNTRAINED = 3
"""untrained networks that are averaged: a single one is a draw of its own"""


@dataclass(frozen=True)
class ReadFeatures:
    """Rows of features of all videos; which videos could be read; the others by path with the reason."""

    rows: list[Features]
    found: Bool[Tensor, "videos"]
    left_out: dict[str, str]


def untrained_encoder(card: EncoderCard, seed: int) -> Encoder:
    """Build the architecture of a card with fresh weights, a function of the seed alone."""
    # weights that were loaded by path are training too
    arguments = {name: value for name, value in card.arguments.items() if name != "weights"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder(card.architecture, card.channels, **arguments)


def read_features(
    encoders: dict[str, tuple[Encoder, EncoderCard]],
    index: Index,
    rows: Sequence[int],
    *,
    clips: int | None,
    seed: int,
    baselines: bool = True,
    device: torch.device,
    workers: int = 0,
    on_progress: OnProgress | None = None,
) -> ReadFeatures:
    """Compute the features of these videos of the index for every row of the table but chance.

    With more than one encoder, "both" are their features side by side. Baselines are untrained networks, with the seeds
    seed ... seed + 2, and pixels and colours of the pictures that the first encoder of RGB sees.
    """
    readers = [encoder_reader(name, encoder, card, device) for name, (encoder, card) in encoders.items()]
    if baselines:
        for name, (_, card) in encoders.items():
            for draw in range(UNTRAINED):
                readers.append(encoder_reader(_untrained(name, draw), untrained_encoder(card, seed + draw), card, device))
        picture = picture_card(encoders)
        readers += [
            Reader("raw pixels", picture.needs, picture.size, pixel_vector),
            Reader("colour histogram", picture.needs, picture.size, colour_histogram),
        ]
    pieces = whole_videos(index, rows)
    read = extract(readers, index, pieces, clips=clips, device=device, workers=workers, on_progress=on_progress)
    vectors = {name: torch.from_numpy(values) for name, values in read.vectors.items()}
    if not vectors:  # not one file could be read: no reader has said how long its vectors are
        return ReadFeatures([], torch.from_numpy(read.found), read.left_out)
    table = [Features(name, [vectors[name]]) for name in encoders]
    if len(encoders) > 1:
        table.append(Features("both", [concatenate([vectors[name] for name in encoders])]))
    if baselines:
        fresh = [Features(f"untrained {n}", [vectors[_untrained(n, d)] for d in range(UNTRAINED)]) for n in encoders]
        if len(encoders) > 1:
            each = [concatenate([row.draws[draw] for row in fresh]) for draw in range(UNTRAINED)]
            fresh.append(Features("untrained both", each))
        table += [*fresh, *(Features(name, [vectors[name]]) for name in ("raw pixels", "colour histogram"))]
    return ReadFeatures(table, torch.from_numpy(read.found), read.left_out)


def picture_card(encoders: dict[str, tuple[Encoder, EncoderCard]]) -> EncoderCard:
    """Return the card of the first encoder of RGB, or the first card with its stream changed to RGB."""
    cards = [card for _, card in encoders.values()]
    for card in cards:
        if card.needs.streams[0].stream is Stream.RGB:
            return card
    need = cards[0].needs.streams[0]
    rgb = StreamNeed(stream=Stream.RGB, frames=need.frames, stride=need.stride)
    needs: Needs = cards[0].needs.model_copy(update={"streams": (rgb,)})
    return cards[0].model_copy(update={"needs": needs})


def _untrained(name: str, draw: int) -> str:
    return f"untrained {name} {draw}"
