"""The rows of the table: the run's encoders, the same networks untrained, pixels and colours, read in one go."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.core import Encoder, EncoderCard, Needs, Stream, StreamNeed
from reelvec.core.shapes import Bool, Float
from reelvec.data.index import Index
from reelvec.engine.extract import MOST_CLIPS, Change, OnProgress, Reader, encoder_reader
from reelvec.evals.baselines import colour_histogram, pixel_vector
from reelvec.evals.changed_clips import FROZEN, ORDINARY, changes_for
from reelvec.evals.kept_features import extract_kept, place_of
from reelvec.evals.table import Features, concatenate

UNTRAINED = 3
"""untrained networks that are averaged: a single one is a draw of its own"""


@dataclass(frozen=True)
class ReadFeatures:
    """Rows of features of all videos; which videos could be read; the others by path with the reason."""

    rows: list[Features]
    found: Bool[Tensor, "videos"]
    left_out: dict[str, str]
    places: dict[str, str]
    """encoder -> the folder in which its features are kept"""


@dataclass(frozen=True)
class ChangedFeatures:
    """One row of the diagnosis: features of all videos by variant of their clips; changed ones of test videos only.

    Frozen clips are there for all videos. What was not read is zeros.
    """

    name: str
    draws: list[dict[str, Float[Tensor, "videos _"]]]
    """several where several networks of a kind are averaged"""
    left_out: dict[str, str]
    """variant -> why it makes no sense for this encoder"""


@dataclass(frozen=True)
class ReadChanged:
    """Rows of features of all videos; which videos could be read; the others by path with the reason."""

    rows: list[ChangedFeatures]
    found: Bool[Tensor, "videos"]
    left_out: dict[str, str]


def untrained_encoder(card: EncoderCard, seed: int) -> Encoder:
    """Build the architecture of a card with fresh weights, a function of the seed alone."""
    # weights that were loaded by path are training too
    arguments = {name: value for name, value in card.arguments.items() if name != "weights"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder(card.architecture, card.channels, **arguments)


def features_in_words(clips: int | None) -> str:
    """Say for a protocol how features are read; `clips` of a video, None for as many as lie end to end."""
    per_video = f"{clips} clips" if clips else f"as many clips as lie end to end in a video, 1 to {MOST_CLIPS}"
    return f"frozen, evaluation mode, centre square; {per_video}, spread evenly, features averaged"


def untrained_in_words(seed: int) -> str:
    """Say for a protocol what the rows of untrained networks are."""
    return f"same architecture, fresh weights: mean of {UNTRAINED} networks (seeds {seed} to {seed + UNTRAINED - 1})"


def read_features(
    encoders: dict[str, tuple[Encoder, EncoderCard]],
    index: Index,
    rows: Sequence[int],
    *,
    folder: Path,
    clips: int | None,
    seed: int,
    baselines: bool = True,
    device: torch.device,
    workers: int = 0,
    on_progress: OnProgress | None = None,
) -> ReadFeatures:
    """Compute the features of these videos of the index for every row of the table but chance.

    With more than one encoder, "both" are their features side by side. Baselines are untrained networks, with the seeds
    seed ... seed + 2, and pixels and colours of the pictures that the first encoder of RGB sees. Features are kept in `folder`.
    """
    readers = [_trained_reader(name, encoder, card, device) for name, (encoder, card) in encoders.items()]
    if baselines:
        for name, (_, card) in encoders.items():
            readers += [_untrained_reader(name, card, seed, draw, device) for draw in range(UNTRAINED)]
        readers += _picture_readers(encoders)
    read = extract_kept(folder, readers, index, rows, clips=clips, device=device, workers=workers, on_progress=on_progress)
    vectors = {name: torch.from_numpy(values) for name, values in read.vectors.items()}
    if not vectors:  # not one file could be read: no reader has said how long its vectors are
        return ReadFeatures([], torch.from_numpy(read.found), read.left_out, {})
    table = [Features(name, [vectors[name]]) for name in encoders]
    if len(encoders) > 1:
        table.append(Features("both", [concatenate([vectors[name] for name in encoders])]))
    if baselines:
        fresh = [Features(f"untrained {n}", [vectors[_untrained(n, d)] for d in range(UNTRAINED)]) for n in encoders]
        if len(encoders) > 1:
            each = [concatenate([row.draws[draw] for row in fresh]) for draw in range(UNTRAINED)]
            fresh.append(Features("untrained both", each))
        table += [*fresh, *(Features(name, [vectors[name]]) for name in ("raw pixels", "colour histogram"))]
    places = {reader.name: place_of(reader, clips) for reader in readers if reader.name in encoders}
    return ReadFeatures(table, torch.from_numpy(read.found), read.left_out, places)


def read_changed(
    encoders: dict[str, tuple[Encoder, EncoderCard]],
    index: Index,
    rows: Sequence[int],
    tested: Sequence[bool],
    *,
    folder: Path,
    clips: int | None,
    seed: int,
    baselines: bool = True,
    device: torch.device,
    workers: int = 0,
    on_progress: OnProgress | None = None,
) -> ReadChanged:
    """Compute the features of these videos of ordinary and of frozen clips, and of every change where they are `tested`.

    A video is decoded once for all of it. Rows are the encoders, then, as baselines, the same networks untrained. With these,
    the vectors of pixels and colours that `read_features` wants are kept in passing: it then decodes nothing.
    """
    made: list[tuple[str, list[dict[str, Reader]], dict[str, str]]] = []
    for name, (encoder, card) in encoders.items():
        changes, left_out = changes_for(card, seed)
        networks = {name: [_trained_reader(name, encoder, card, device)]}
        if baselines:
            networks[f"untrained {name}"] = [_untrained_reader(name, card, seed, draw, device) for draw in range(UNTRAINED)]
        for row, plain in networks.items():
            made.append((row, [_changed(reader, changes, seed) for reader in plain], left_out))
    made.sort(key=lambda row: row[0] not in encoders)  # untrained ones last
    every = [readers for _, draws, _ in made for readers in draws]
    found = torch.zeros(len(rows), dtype=torch.bool)
    unreadable: dict[str, str] = {}
    vectors: dict[str, Tensor] = {}
    done_before = 0
    for side in (True, False):
        where = [i for i, is_tested in enumerate(tested) if is_tested is side]
        if not where:
            continue
        readers = [
            reader for variants in every for variant, reader in variants.items() if side or variant in (ORDINARY, FROZEN)
        ] + (_picture_readers(encoders) if baselines else [])

        def progress(done: int, total: int, text: str, before: int = done_before, many: int = len(where)) -> None:
            if on_progress:
                on_progress(before + done * many // total, len(rows), text)

        part = [rows[i] for i in where]
        read = extract_kept(folder, readers, index, part, clips=clips, device=device, workers=workers, on_progress=progress)
        done_before += len(where)
        unreadable |= read.left_out
        found[where] = torch.from_numpy(read.found)
        for name, values in read.vectors.items():
            whole = vectors.setdefault(name, torch.zeros(len(rows), values.shape[1]))
            whole[where] = torch.from_numpy(values)
    # where no video of a side could be read, no reader has said how long its vectors are
    table = [
        ChangedFeatures(row, [{v: vectors[r.name] for v, r in one.items() if r.name in vectors} for one in draws], left_out)
        for row, draws, left_out in made
    ]
    return ReadChanged(table, found, unreadable)


def _picture_readers(encoders: dict[str, tuple[Encoder, EncoderCard]]) -> list[Reader]:
    """Return readers of pixels and colours of the pictures that the first encoder of RGB sees."""
    picture = picture_card(encoders)
    return [
        Reader("raw pixels", picture.needs, picture.size, pixel_vector, identity="4x16x16 grey, 8x8 colour"),
        Reader("colour histogram", picture.needs, picture.size, colour_histogram, identity="8x8x8 bins, square roots"),
    ]


def _changed(reader: Reader, changes: dict[str, Change], seed: int) -> dict[str, Reader]:
    """Return the reader of ordinary clips and one for each change, each under a name of its own."""
    changed = {
        variant: replace(
            reader, name=f"{reader.name} {variant}", change=change, identity=f"{reader.identity}, {variant} by seed {seed}"
        )
        for variant, change in changes.items()
    }
    return {ORDINARY: reader, **changed}


def _trained_reader(name: str, encoder: Encoder, card: EncoderCard, device: torch.device) -> Reader:
    return replace(encoder_reader(name, encoder, card, device), identity=f"{_fed(card)} {card.weights_sha256}")


def _untrained_reader(name: str, card: EncoderCard, seed: int, draw: int, device: torch.device) -> Reader:
    reader = encoder_reader(_untrained(name, draw), untrained_encoder(card, seed + draw), card, device)
    return replace(reader, identity=f"{_fed(card)} untrained by seed {seed + draw}, torch {torch.__version__}")


def _fed(card: EncoderCard) -> str:
    """Say what features hang on beside weights and clips: the network, and what pixels become on their way into it."""
    return card.model_dump_json(include={"architecture", "channels", "arguments", "mean", "std"})


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
