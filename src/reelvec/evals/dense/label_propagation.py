"""Labels of a first frame carried along a video by the likeness of features (eval_protocols, section f).

Nothing is trained. A place of a new frame takes the labels of the places that it is most like, in the first frame and in the
last ones, of which those are the network's own answers. Affinity, window and top-k differ between papers, and so do the numbers
that come out: a number without its preset says nothing.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import Config, ReelvecError
from reelvec.core.shapes import Bool, Float, Int

_SCORES_AT_ONCE = 1 << 25
"""likenesses that are held at a time: 128 MiB"""


class Preset(Config):
    """One paper's way of carrying labels along."""

    source: str
    frames: Literal["native", "long side in steps of 64", "11:6"]
    """the size frames are shown in: their own; or the long side cut to a multiple of 64; or 480 x 880 whatever their shape"""
    short_side: int | None
    """of the frames; None: their own"""
    previous: int
    """frames before the new one that labels are taken from, besides the first"""
    filled: bool
    """whether there are always so many: copies of the first frame stand for those before it"""
    radius: float
    """in cells of the map: how far away labels are taken from"""
    window: Literal["circle", "square"]
    """circle: Euclidean distance below the radius; square: up to the radius in rows and in columns"""
    first_everywhere: bool
    """whether labels of the first frame are taken from all of it"""
    temperature: float
    top: int
    """places that labels are taken from, the most like ones of all frames together"""
    masks: Literal["bilinear", "bilinear, corners aligned", "nearest", "nearest to the input, then bilinear"]
    """how masks become maps"""
    answer: Literal["frame", "input"]
    """where the likeliest object is named: at the frame's own size, or at the input's, brought to the frame's by nearest"""
    stretched: bool = False
    """whether each object's map is stretched to 0..1 before the likeliest is named"""

    def in_words(self, size: int | tuple[int, int] | None = None, layers: str | None = None) -> str:
        """Return the complete setting; `size` as in `input_size`, `layers` where labels are made otherwise than of masks."""
        short = size or self.short_side
        if isinstance(size, tuple) or self.frames == "11:6":
            height, width = self.input_size(1, 1, size)
            frames = f"all frames at {height} x {width}"
        else:
            cut = ", long side cut to a multiple of 64" if self.frames == "long side in steps of 64" else ""
            frames = ("frames at their own size" if short is None else f"frames at short side {short}") + cut
        reach = f"less than {self.radius:g} cells" if self.window == "circle" else f"up to {self.radius:g} rows and columns"
        window = "in recent frames, from anywhere in the first" if self.first_everywhere else "in all frames, the first too"
        back = "bilinear, corners aligned" if self.masks == "bilinear, corners aligned" else "bilinear"
        of_masks = (
            f"masks to maps: {self.masks}; back: {back}{', each object stretched to 0..1' if self.stretched else ''}; objects "
            f"named at the {self.answer}'s size"
        )
        return (
            f"{self.source}; {frames}; features of length one; labels from the first and the {self.previous} previous frames"
            f"{' (filled up with the first)' if self.filled else ''}, {reach} away {window}; the {self.top} most like places "
            f"of all, softmax of cosine / {self.temperature:g} over them; {layers or of_masks}; soft labels are carried on"
        )

    def input_size(self, height: int, width: int, size: int | tuple[int, int] | None) -> tuple[int, int]:
        """Return the height and width that frames are shown in; `size` stands for the preset's short side, or is both."""
        if isinstance(size, tuple):
            return size
        short = size or self.short_side
        if short is None:
            return height, width
        if self.frames == "11:6":
            return short, round(short * 11 / 6)
        tall, long = height > width, short * max(height, width) / min(height, width)
        side = int(long // 64 * 64) or short if self.frames == "long side in steps of 64" else round(long)
        return (side, short) if tall else (short, side)


PRESETS = {
    "crw": Preset(
        source="Jabri et al. 2020 (videowalk)", frames="native", short_side=None, previous=20, filled=True, radius=12,
        window="circle", first_everywhere=True, temperature=0.05, top=10, masks="bilinear", answer="frame",
    ),
    "dul": Preset(
        source="Araslanov et al. 2021 (dense-ulearn-vos)", frames="native", short_side=None, previous=20, filled=True,
        radius=12, window="circle", first_everywhere=True, temperature=0.05, top=10, masks="bilinear, corners aligned",
        answer="frame",
    ),
    "dino": Preset(
        source="Caron et al. 2021 (DINO)", frames="long side in steps of 64", short_side=480, previous=7, filled=False,
        radius=12, window="square", first_everywhere=False, temperature=0.1, top=5, masks="nearest", answer="input",
        stretched=True,
    ),
    "rvm": Preset(
        source="evaluation notebook of RVM and 4DS (representations4d)", frames="11:6", short_side=480, previous=20,
        filled=True, radius=20, window="circle", first_everywhere=True, temperature=0.7, top=7,
        masks="nearest to the input, then bilinear", answer="input",
    ),
}  # fmt: skip
"""by name"""


def chosen_presets(names: Sequence[str]) -> dict[str, Preset]:
    """Return presets by name, one or several; ReelvecError for a name that does not exist."""
    names = [names] if isinstance(names, str) else names
    unknown = [name for name in names if name not in PRESETS]
    if unknown or not names:
        raise ReelvecError(
            f"propagate labels with preset={','.join(names)}", f"presets {', '.join(PRESETS)}", "name some of these"
        )
    return {name: PRESETS[name] for name in names}


def carry(
    maps: Iterable[Float[Tensor, "d h w"]], first: Float[Tensor, "k h w"], preset: Preset
) -> Iterator[Float[Tensor, "k h w"]]:
    """Yield soft labels for the map of every frame in order: for the first `first` itself, then what is carried on from it.

    Memory depends on the preset's frames and the map's size, not on the length of the video.
    """
    kept: deque[tuple[Tensor, Tensor]] = deque(maxlen=preset.previous)
    start: tuple[Tensor, Tensor] | None = None
    for frame in maps:
        now = F.normalize(frame, dim=0)
        if start is None:
            start = (now, first)
            kept.extend([start] * (preset.previous if preset.filled else 0))
            yield first
            continue
        labels = look_up(now, start, list(kept), preset)
        kept.append((now, labels))
        yield labels


def look_up(
    now: Float[Tensor, "d h w"],
    start: tuple[Float[Tensor, "d h w"], Float[Tensor, "k h w"]],
    recent: Sequence[tuple[Float[Tensor, "d h w"], Float[Tensor, "k h w"]]],
    preset: Preset,
) -> Float[Tensor, "k h w"]:
    """Return labels for a map: a mean of the labels of the places that each place is most like.

    Maps have features of length one. `start` is the map of the first frame with its labels, `recent` those of others.
    """
    (_, height, width), reach = now.shape, math.ceil(preset.radius)
    near = [*recent] if preset.first_everywhere else [start, *recent]
    far = [start] if preset.first_everywhere else []
    # rows at a time: of the frames with a window, only rows within reach are compared with
    cells = width * (len(far) * height + len(near) * min(height, 2 * reach + 1))
    step = max(1, min(height, _SCORES_AT_ONCE // (cells * width)))
    rows = []
    for top in range(0, height, step):
        bottom = min(top + step, height)
        low, high = max(0, top - reach), min(height, bottom + reach)
        query = now[:, top:bottom].flatten(1)
        scores = [query.T @ keys.flatten(1) for keys, _ in far]
        labels = [values.flatten(1) for _, values in far]
        closed = ~_within(preset, (top, bottom), (low, high), width, now.device)
        scores += [(query.T @ keys[:, low:high].flatten(1)).masked_fill_(closed, -math.inf) for keys, _ in near]
        labels += [values[:, low:high].flatten(1) for _, values in near]
        most, where = torch.cat(scores, 1).topk(min(preset.top, sum(part.shape[1] for part in scores)), dim=1)
        weights = torch.softmax(most / preset.temperature, dim=1)
        rows.append((torch.cat(labels, 1)[:, where] * weights).sum(2).unflatten(1, (bottom - top, width)))
    return torch.cat(rows, 1)


def _within(
    preset: Preset, asked: tuple[int, int], there: tuple[int, int], width: int, device: torch.device
) -> Bool[Tensor, "q n"]:
    """True where a cell of the rows `there` lies in the window of a cell of the rows `asked`."""
    down = (torch.arange(*asked, device=device)[:, None] - torch.arange(*there, device=device)).abs()[:, None, :, None]
    column = torch.arange(width, device=device)
    across = (column[:, None] - column).abs()[None, :, None, :]
    if preset.window == "circle":
        inside = down**2 + across**2 < preset.radius**2
    else:
        inside = (down <= preset.radius) & (across <= preset.radius)
    return inside.flatten(2).flatten(0, 1)


def to_map(
    numbers: Int[Tensor, "h0 w0"],
    objects: Sequence[int],
    input_size: tuple[int, int],
    map_size: tuple[int, int],
    preset: Preset,
) -> Float[Tensor, "k h w"]:
    """Turn a mask into soft labels at the map's size: background first, then a layer for each of the objects."""
    which = torch.tensor(objects, dtype=numbers.dtype, device=numbers.device)
    layers = (numbers == which[:, None, None]).float()[None]
    layers = torch.cat([1 - layers.sum(1, keepdim=True), layers], 1)
    if preset.masks == "nearest":
        return F.interpolate(layers, map_size, mode="nearest-exact")[0]
    if preset.masks == "nearest to the input, then bilinear":
        layers = F.interpolate(layers, input_size, mode="nearest")
    aligned = preset.masks == "bilinear, corners aligned"
    return F.interpolate(layers, map_size, mode="bilinear", align_corners=aligned)[0]


def to_mask(
    labels: Float[Tensor, "k h w"],
    objects: Sequence[int],
    input_size: tuple[int, int],
    frame_size: tuple[int, int],
    preset: Preset,
) -> Int[Tensor, "h0 w0"]:
    """Name the likeliest object of each pixel of the frame: 0 for background, else a number of `objects`."""
    aligned = preset.masks == "bilinear, corners aligned"
    size = frame_size if preset.answer == "frame" else input_size
    layers = F.interpolate(labels[None], size, mode="bilinear", align_corners=aligned)[0]
    if preset.stretched:
        low, high = layers.amin((1, 2), keepdim=True), layers.amax((1, 2), keepdim=True)
        layers = torch.where(high > 0, (layers - low) / (high - low).clamp(min=1e-12), layers)
    named = torch.tensor([0, *objects], device=labels.device)[layers.argmax(0)]
    if size != frame_size:
        named = F.interpolate(named[None, None].float(), frame_size, mode="nearest-exact")[0, 0].long()
    return named
