"""A map of the embeddings: each video a mark, coloured and shaped by its class, with its picture when one points at it."""

from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from reelvec.core.shapes import Float
from reelvec.verbs.report.gallery import Gallery, class_words, spread
from reelvec.verbs.report.markup import Html, details, join, percent, raw, short, table, tag
from reelvec.verbs.report.neighbours import nearest_of
from reelvec.verbs.report.pictures import Pictures, plain_name

MOST_POINTS = 600
MOST_CLASSES = 24
"""that get a mark of their own: the most frequent; the rest share one"""

COLOURS = 8
_SIDE = 520
_MARGIN = 16
_MOST_ROWS = 120

MARKS = (
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    "M-4.6 -4.6H4.6V4.6H-4.6Z",
    "M0 -5.8L5.4 4.2H-5.4Z",
    "M0 -6L6 0L0 6L-6 0Z",
    "M-5.4 -4.2H5.4L0 5.8Z",
    "M-1.8 -5.6H1.8V-1.8H5.6V1.8H1.8V5.6H-1.8V1.8H-5.6V-1.8H-1.8Z",
    "M-5.6 -3.2L-3.2 -5.6L0 -2.4L3.2 -5.6L5.6 -3.2L2.4 0L5.6 3.2L3.2 5.6L0 2.4L-3.2 5.6L-5.6 3.2L-2.4 0Z",
    "M0 -6L1.6 -2H5.8L2.4 0.9L3.7 5.2L0 2.6L-3.7 5.2L-2.4 0.9L-5.8 -2H-1.6Z",
)
"""shapes, so that no class is told by its colour alone"""


def marks_defined() -> Html:
    """Return the shapes, once for the page."""
    shapes = [tag("path", id=f"m{i}", d=shape) for i, shape in enumerate(MARKS)]
    return tag("svg", tag("defs", *shapes), width=0, height=0, aria_hidden="true", class_="unseen")


def flat(vectors: Float[Tensor, "n d"], seed: int = 0) -> tuple[Float[Tensor, "n 2"], str]:
    """Lay unit vectors out in two dimensions, within [0, 1], and say how: t-SNE where scikit-learn is there, else PCA."""
    n = len(vectors)
    if n >= 10 and find_spec("sklearn") is not None:
        perplexity = min(30.0, (n - 1) / 3)
        tsne = import_module("sklearn.manifold").TSNE(perplexity=perplexity, init="pca", random_state=seed)
        places = torch.from_numpy(tsne.fit_transform(vectors.numpy())).float()
        how = (
            f"t-SNE of scikit-learn (perplexity {perplexity:.0f}): who is near whom tells something, distances of groups do not"
        )
    else:
        centred = (vectors - vectors.mean(0)).double()
        directions = torch.linalg.svd(centred, full_matrices=False)
        places = (directions.U[:, :2] * directions.S[:2]).float()
        if places.shape[1] < 2:
            places = torch.cat([places, torch.zeros(n, 2 - places.shape[1])], 1)
        places = places * torch.where(places.sum(0) < 0, -1.0, 1.0)  # the sign of a direction is anybody's choice
        share = float(directions.S[:2].square().sum() / directions.S.square().sum().clamp(min=1e-12))
        how = f"PCA: the two directions hold {percent(share)} % of the spread, the rest is not seen here"
    low, high = places.min(0).values, places.max(0).values
    size = (high - low).max().clamp(min=1e-12)
    return (places - (low + high) / 2) / size + 0.5, how  # in the middle of the square


def map_block(gallery: Gallery, pictures: Pictures, encoder: str) -> Html:
    """Draw a map for each label column, the first one open; one without classes where nothing is labelled."""
    chosen = spread(range(len(gallery.paths)), MOST_POINTS)
    places, how = flat(gallery.vectors[encoder][chosen])
    thumbs = pictures.thumbs([gallery.paths[i] for i in chosen])
    part = (
        f"{len(chosen)} of {len(gallery.paths)} videos, spread evenly over their paths. "
        if len(chosen) < len(gallery.paths)
        else ""
    )
    note = tag("p", f"{part}{how}.", class_="dim")
    if not gallery.columns:
        return join([note, _map(gallery, encoder, chosen, places, thumbs, None), _nearest(gallery, encoder, chosen)])
    maps = [
        details(f"by {short(column, 40)}", _map(gallery, encoder, chosen, places, thumbs, column), opened=i == 0)
        for i, column in enumerate(gallery.columns)
    ]
    return join([note, *maps, _nearest(gallery, encoder, chosen)])


def _map(
    gallery: Gallery, encoder: str, chosen: Sequence[int], places: Tensor, thumbs: Sequence[int | None], column: str | None
) -> Html:
    of_path = gallery.labels[column] if column else {}
    counted = Counter(of_path[gallery.paths[i]] for i in chosen if gallery.paths[i] in of_path)
    classes = sorted(name for name, _ in counted.most_common(MOST_CLASSES))
    numbers = {name: i for i, name in enumerate(classes)}
    points = []
    room = _SIDE - 2 * _MARGIN
    for i, (x, y), thumb in zip(chosen, places.tolist(), thumbs, strict=True):
        path = gallery.paths[i]
        kind = numbers.get(of_path.get(path, ""), -1)
        side = ("test" if gallery.is_test(path) else "training") if gallery.tested else ""
        words = ", ".join(
            [plain_name(path), *(f"{c}: {w}" for c, w in class_words(gallery, path).items()), *([side] if side else [])]
        )
        points.append(
            tag(
                "g",
                tag("title", words),
                tag("use", href=f"#m{mark_of(kind)}"),
                class_=f"p {colour_of(kind)}{' test' if side == 'test' else ''}",
                transform=f"translate({_MARGIN + x * room:.1f} {_SIDE - _MARGIN - y * room:.1f})",
                data_k=kind,
                data_t=thumb,
            )
        )
    tall = room * float((places[:, 1] - 0.5).abs().max()) + _MARGIN if len(places) else _MARGIN  # half the height that is used
    box = f"0 {_SIDE / 2 - tall:.0f} {_SIDE} {2 * tall:.0f}"
    picture = tag("svg", *points, viewBox=box, aria_hidden="true")
    about = f"Map of {len(chosen)} videos by {encoder}" + (f", marked by {column}" if column else "")
    ground = tag(
        "div", picture, class_="ground", tabindex=0, role="application", aria_roledescription="map",
        aria_label=f"{about}. Arrow keys go to the nearest video in that direction; a table of neighbours follows.",
    )  # fmt: skip
    panel = tag(
        "div",
        tag("span", class_="thumb atlas", aria_hidden="true"),
        tag("p", "Point at a mark, or move with the arrow keys.", class_="words", role="status"),
        class_="panel scripted",
    )
    return tag("div", ground, tag("div", _legend(classes, counted, gallery), panel, class_="beside"), class_="map")


def mark_of(kind: int) -> int:
    """Return the shape of a class: 64 classes have each their own pair of shape and colour."""
    return 0 if kind < 0 else (kind + kind // COLOURS) % len(MARKS)


def colour_of(kind: int) -> str:
    """Return the CSS class of a class's colour."""
    return "k-" if kind < 0 else f"k{kind % COLOURS}"


def _legend(classes: Sequence[str], counted: Counter[str], gallery: Gallery) -> Html:
    rows = []
    for i, name in enumerate(classes):
        mark = tag(
            "svg",
            tag("use", href=f"#m{mark_of(i)}"),
            viewBox="-8 -8 16 16",
            class_=f"p {colour_of(i)} test",
            aria_hidden="true",
        )
        button = tag("button", mark, short(name, 40), tag("span", f" {counted[name]}", class_="dim"), type="button", data_k=i,
                     aria_pressed="false")  # fmt: skip
        rows.append(tag("li", button))
    others = len(counted) - len(classes)
    more = tag("li", f"{others} more classes share the grey mark.", class_="dim") if others > 0 else None
    filled = raw("<p class='dim'>Filled: test videos; hollow: training videos.</p>") if gallery.tested else None
    return join([tag("ul", *rows, more, class_="legend") if rows else None, filled])


def _nearest(gallery: Gallery, encoder: str, chosen: Sequence[int]) -> Html:
    """The map for who does not see it: each video and what lies nearest to it."""
    vectors = gallery.vectors[encoder]
    everywhere = torch.ones(len(vectors), dtype=torch.bool)
    some = spread(chosen, _MOST_ROWS)
    rows = []
    for i in some:
        for j, cosine in nearest_of(vectors, i, everywhere, 1):
            rows.append((plain_name(gallery.paths[i]), _classes(gallery, i), plain_name(gallery.paths[j]), _classes(gallery, j),
                         f"{cosine:.3f}"))  # fmt: skip
    part = f" ({len(some)} of {len(gallery.paths)})" if len(some) < len(gallery.paths) else ""
    columns = ["its classes", "nearest video", "its classes", "cosine"]
    return details(
        "The same as a table: each video and its nearest",
        table(f"Videos and their nearest{part}", columns, rows, corner="video"),
    )


def _classes(gallery: Gallery, i: int) -> str:
    return ", ".join(class_words(gallery, gallery.paths[i]).values())
