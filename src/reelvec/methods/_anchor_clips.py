"""What dsm and vtdl share: an anchor clip seen twice, another time of its video, the augmentation and head of both papers.

Both are the work of one group and of one released trainer (Wang et al., arXiv 2009.05757 and 2008.02129).
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from reelvec.core import Clips, Config, Draws, Needs, Stream, StreamNeed, Times
from reelvec.core.shapes import Float
from reelvec.parts.heads import mlp
from reelvec.views import ViewConfig, make_view
from reelvec.views.warp import resample, still_grid, turned


class AnchorConfig(Config):
    """The network, the clips and the contrast; the defaults are the released ones."""

    encoder: str = "i3d"
    encoder_arguments: dict = {}
    frames: PositiveInt = 16
    stride: PositiveInt = 4
    min_gap_seconds: NonNegativeFloat = 0.08
    """smallest distance of the starts of the anchor and of the clip of another time (released: two frames)"""
    frames_per_second: PositiveFloat | None = None
    """the rate at which the stride counts; none: the file's own, as released"""
    short_side: PositiveInt = 256
    fit: Literal["keep", "square"] = "square"
    view: ViewConfig = ViewConfig(
        size=224, area=(0.766, 0.766), aspect=(1.0, 1.0), flip=0.0, jitter=1.0, brightness=0.5, contrast=0.5,
        saturation=0.25, hue=0.5, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
    )  # fmt: skip
    rotation: NonNegativeFloat = 10.0
    """largest turn of a view, in degrees"""
    temperature: PositiveFloat = 0.07
    momentum: Annotated[float, Field(ge=0, le=1)] = 0.999
    hidden: PositiveInt | None = None
    """width of a hidden layer of the head; none: a single linear layer, as in the papers"""
    dim: PositiveInt = 128
    head_batch_norm: bool = False
    """batch norm behind the hidden layer: not in the papers; small networks leave their start sooner with it"""

    @model_validator(mode="after")
    def _norm_needs_a_layer(self) -> "AnchorConfig":
        if self.head_batch_norm and self.hidden is None:
            raise ValueError("head_batch_norm: a single linear layer has none; give hidden a number")
        return self


def anchor_needs(c: AnchorConfig, *more: StreamNeed, other_time: bool) -> Needs:
    """Ask for the anchor and, with `other_time`, a second clip of the same video, at least `min_gap_seconds` away."""
    rgb = StreamNeed(stream=Stream.RGB, frames=c.frames, stride=c.stride)
    return Needs(
        streams=(rgb, *more), clips=2 if other_time else 1,
        times=Times(rule="apart", min_seconds=c.min_gap_seconds) if other_time else Times(),
        frames_per_second=c.frames_per_second, short_side=c.short_side, fit=c.fit,
    )  # fmt: skip


def basic_view(
    c: AnchorConfig, clips: Clips, draws: Draws, grid: Float[Tensor, "b s s 2"] | None = None
) -> Float[Tensor, "b c t s s"]:
    """Crop, colours and a turn, one draw for all frames of a clip; a grid bends the result."""
    return bent(c, make_view(clips, c.view, draws).frames, draws, grid)


def bent(
    c: AnchorConfig, frames: Float[Tensor, "b c t s s"], draws: Draws, grid: Float[Tensor, "b s s 2"] | None = None
) -> Float[Tensor, "b c t s s"]:
    """Turn frames and bend them by a grid: the turn first, both in one reading of the pixels."""
    if grid is None and c.rotation == 0:
        return frames
    if grid is None:
        grid = still_grid(c.view.size, frames.device).expand(len(frames), -1, -1, -1)
    return resample(frames, turned(grid, draws.uniform("turn", -c.rotation, c.rotation)))


def head(c: AnchorConfig, features: int) -> nn.Sequential:
    """One linear layer, or two with what belongs between them."""
    return mlp([features, *([c.hidden] if c.hidden else []), c.dim], batch_norm=c.head_batch_norm)
