"""Retrieval contact sheets: test videos and their nearest training videos; and pairs of videos that may be one and the same."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from reelvec.core.shapes import Bool, Float, UInt8
from reelvec.verbs.report.gallery import Gallery, class_words, spread
from reelvec.verbs.report.markup import Html, join, short, tag, warning
from reelvec.verbs.report.pictures import Pictures, cell, file_name, plain_name, playing_row

QUERIES, NEIGHBOURS = 6, 5
PAIRS = 9
"""pairs that are shown"""

COMPARED = 24
"""nearest pairs whose pictures are compared: of any two videos, and of a training and a test video"""

SAME_LEVELS = 12.0
"""grey levels of 255 under which two videos count as showing the same. Of real videos encoded anew at half the size or a
strongly lowered quality the largest difference was 7; of different videos from one camera the smallest was 18"""

_MOST_COMPARED = 20000
_BLOCK = 1024


def sheets(gallery: Gallery, pictures: Pictures, encoder: str) -> Html:
    """Show queries and what is nearest to them among the training videos (without labels: among all)."""
    vectors = gallery.vectors[encoder]
    sides = [gallery.is_test(path) for path in gallery.paths]
    labelled = any(sides) and not all(sides)
    queries = [i for i, is_test in enumerate(sides) if is_test] if labelled else list(range(len(sides)))
    others = torch.tensor([not is_test for is_test in sides]) if labelled else torch.ones(len(sides), dtype=torch.bool)
    rows = [sheet(gallery, i, nearest_of(vectors, i, others, NEIGHBOURS), pictures) for i in spread(queries, QUERIES)]
    return tag("div", *rows, class_="sheets")


def nearest_of(vectors: Float[Tensor, "n d"], query: int, allowed: Bool[Tensor, "n"], many: int) -> list[tuple[int, float]]:
    """Return numbers and cosines of the nearest allowed rows of unit vectors, nearest first; never the query itself."""
    cosines = vectors @ vectors[query]
    cosines[~allowed] = -2
    cosines[query] = -2
    best = cosines.topk(min(many, len(vectors)))
    return [(int(i), float(c)) for c, i in zip(best.values, best.indices, strict=True) if c > -2]


def sheet(gallery: Gallery, query: int, found: list[tuple[int, float]], pictures: Pictures, by: str = "") -> Html:
    """Show a query and what was found near it, as (number, cosine); `by` says whose features found it."""
    path = gallery.paths[query]
    classes = class_words(gallery, path)
    alt = f"Query {plain_name(path)}{_named(classes)}"
    whose = [tag("span", by, class_="by")] if by else []
    asked = cell(
        pictures.strip(path, alt),
        *whose,
        tag("b", "query"),
        tag("br"),
        file_name(path),
        *(_class(c, w) for c, w in classes.items()),
    )
    cells = [asked]
    for rank, (i, cosine) in enumerate(found, start=1):
        near = gallery.paths[i]
        theirs = class_words(gallery, near)
        words = [_told(column, theirs[column], classes.get(column)) for column in theirs]
        alt = f"Neighbour {rank}, {plain_name(near)}, cosine {cosine:.3f}{_named(theirs)}"
        cells.append(
            cell(pictures.strip(near, alt), tag("b", f"{rank}"), f" cosine {cosine:.3f}", tag("br"), file_name(near), *words)
        )
    label = f"Query {plain_name(path)} and its {len(found)} nearest videos"
    return playing_row(f"{label} by {by}" if by else label, *cells)


def _named(classes: Mapping[str, str]) -> str:
    return "".join(f", {column}: {word}" for column, word in classes.items())


def _class(column: str, word: str) -> Html:
    return tag("span", f"{short(column, 24)}: ", tag("b", word), class_="class")


def _told(column: str, theirs: str, asked: str | None) -> Html:
    """Say a neighbour's class, and in a word whether it is that of the query."""
    if asked is None:
        return _class(column, theirs)
    same = theirs == asked
    word = tag("span", "✓ same" if same else "✗ other", class_="right" if same else "wrong")
    return tag("span", f"{short(column, 24)}: {theirs} ", word, class_="class")


@dataclass(frozen=True)
class Pair:
    """Two different files whose features are close."""

    first: str
    second: str
    cosine: float
    levels: float | None
    """largest difference of their pictures, see `grey_levels_apart`; None where one cannot be read"""
    same_bytes: bool
    across: bool
    """one is a training, the other a test video"""

    @property
    def is_same(self) -> bool:
        """Whether both show the same, as far as eight small frames tell."""
        return self.same_bytes or (self.levels is not None and self.levels < SAME_LEVELS)


def near_pairs(gallery: Gallery, encoder: str, pictures: Pictures) -> list[Pair]:
    """Find the pairs of largest cosine, those across training and test apart from the rest, and compare their pictures."""
    chosen = spread(range(len(gallery.paths)), _MOST_COMPARED)
    vectors = gallery.vectors[encoder][chosen]
    test = torch.tensor([gallery.is_test(gallery.paths[i]) for i in chosen])
    found = [*nearest_pairs(vectors, COMPARED, test), *nearest_pairs(vectors, COMPARED, None)]
    grey: dict[str, np.ndarray | None] = {}
    pairs, seen = [], set[tuple[int, int]]()
    for i, j, cosine in found:
        if (i, j) in seen:
            continue
        seen.add((i, j))
        first, second = gallery.paths[chosen[i]], gallery.paths[chosen[j]]
        for path in (first, second):
            if path not in grey:
                grey[path] = small_and_grey(pictures.frames(path))
        levels = grey_levels_apart(grey[first], grey[second])
        same = levels is not None and levels < SAME_LEVELS and _digest(first) == _digest(second)
        pairs.append(Pair(first, second, cosine, levels, same, gallery.is_across(first, second)))
    return sorted(pairs, key=lambda pair: (not (pair.is_same and pair.across), not pair.is_same, -pair.cosine))


def nearest_pairs(vectors: Float[Tensor, "n d"], many: int, sides: Bool[Tensor, "n"] | None) -> list[tuple[int, int, float]]:
    """Return the pairs i < j of unit vectors with the largest cosines; with `sides`, only those across them."""
    best: list[tuple[float, int, int]] = []
    for start in range(0, len(vectors), _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ vectors.T
        numbers = torch.arange(start, start + len(cosines))
        forbidden = torch.arange(len(vectors))[None] <= numbers[:, None]
        if sides is not None:
            forbidden |= sides[None] == sides[numbers][:, None]
        cosines[forbidden] = -2
        top = cosines.flatten().topk(min(many, cosines.numel()))
        for value, place in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            if value > -2:
                best.append((value, start + place // len(vectors), place % len(vectors)))
    best.sort(key=lambda one: (-one[0], one[1], one[2]))
    return [(i, j, cosine) for cosine, i, j in best[:many]]


def small_and_grey(frames: UInt8[np.ndarray, "n h w 3"] | None) -> Float[np.ndarray, "n 32 32"] | None:
    """Bring frames (RGB) to 32 x 32 pixels of grey."""
    if frames is None:
        return None
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    return np.stack([cv2.resize(frame, (32, 32), interpolation=cv2.INTER_AREA) for frame in grey]).astype(np.float32)


def grey_levels_apart(first: Float[np.ndarray, "n 32 32"] | None, second: Float[np.ndarray, "n 32 32"] | None) -> float | None:
    """Compare frames at the same shares of two videos: the mean difference in the sixteenth that differs most, of 255.

    A mean over the whole picture would overlook a small thing that moves before a background that stays.
    """
    if first is None or second is None:
        return None
    apart = np.abs(first - second).reshape(len(first), 4, 8, 4, 8)
    return float(apart.mean((2, 4)).max())


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pairs_block(gallery: Gallery, pairs: list[Pair], pictures: Pictures) -> Html:
    """Show the nearest pairs, possible leaks first and loudly."""
    leaks = [pair for pair in pairs if pair.is_same and pair.across]
    twice = [pair for pair in pairs if pair.is_same and not pair.across]
    parts: list[Html] = []
    if leaks:
        parts.append(warning(leak_words(leaks)))
    elif any(pair.across for pair in pairs):
        words = (
            "Among the nearest pairs of a training and a test video none shows the same pictures: no leak was found this way."
        )
        parts.append(tag("p", words))
    if twice:
        where = " of one side" if gallery.tested else ""
        many = (
            f"{len(twice)} pairs{where} show the same pictures"
            if len(twice) > 1
            else f"One pair{where} shows the same pictures"
        )
        parts.append(tag("p", f"{many}: such videos count twice."))
    rows = [_pair(gallery, pair, pictures) for pair in pairs[:PAIRS]]
    return join([*parts, tag("div", *rows, class_="pairs")])


def leak_words(leaks: list[Pair]) -> str:
    """Say loudly that test videos stand in the training set."""
    if len(leaks) == 1:
        begin = "A test video shows the same as a training video, a leak"
    else:
        begin = f"{len(leaks)} pairs of a test and a training video show the same, leaks"
    many = " (perhaps more: only the nearest are compared)" if len(leaks) >= COMPARED else ""
    do = "Name the source in a group column, or take one out."
    return f"{begin}{many}: what was measured on them says little about new videos. {do}"


def _pair(gallery: Gallery, pair: Pair, pictures: Pictures) -> Html:
    def one(path: str) -> Html:
        side = ("test" if gallery.is_test(path) else "training") if gallery.tested else ""
        classes = [_class(column, word) for column, word in class_words(gallery, path).items()]
        return cell(
            pictures.strip(path, plain_name(path)), tag("b", side), tag("br") if side else None, file_name(path), *classes
        )

    if pair.same_bytes:
        verdict = "the same file, byte for byte"
    elif pair.is_same:
        verdict = "the same pictures"
    else:
        verdict = "different pictures" if pair.levels is not None else "not compared: a file cannot be read"
    apart = "" if pair.levels is None else f", up to {pair.levels:.0f} of 255 grey levels apart"
    words = tag(
        "p", tag("b", verdict, class_="wrong" if pair.is_same else None), f"; cosine {pair.cosine:.4f}{apart}", class_="dim"
    )
    label = f"Pair {plain_name(pair.first)} and {plain_name(pair.second)}"
    return tag("div", playing_row(label, one(pair.first), one(pair.second)), words, class_="pair")
