"""What the four methods of the large-scale study share: ρ clips of a video, each at a time and with a view of its own.

Feichtenhofer, Fan, Xiong, Girshick & He, "A Large-Scale Study on Unsupervised Spatiotemporal Representation Learning"
(CVPR 2021, arXiv 2104.14558). ρ = 1 is the image method: two augmentations of one clip.
"""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from reelvec.core import Batch, Config, Needs, Progress, Stream, StreamNeed, Times
from reelvec.core.shapes import Float
from reelvec.views import ViewConfig, make_view


class RhoConfig(Config):
    """The network, and how its clips are drawn; the defaults are the released Kinetics setting."""

    encoder: str = "slow_r50"
    encoder_arguments: dict = {"stem_kernel": 1, "stem_stride": 1}
    frames: PositiveInt = 8
    stride: PositiveInt = 8
    clips: PositiveInt = 2
    """ρ; 1 is two augmentations of one clip"""
    min_gap_seconds: NonNegativeFloat = 0.0
    """smallest distance of the starts of two clips"""
    max_gap_seconds: PositiveFloat | None = None
    """largest distance of the starts of two clips; none: anywhere in the video"""
    frames_per_second: PositiveFloat | None = 30.0
    """the rate at which the stride counts; none: the file's own"""
    short_side: PositiveInt = 256
    fit: Literal["keep", "square"] = "keep"
    view: ViewConfig = ViewConfig(
        size=224, area=(0.2, 0.766), aspect=(0.75, 1.333), flip=0.5, jitter=0.8, brightness=0.6, contrast=0.6,
        saturation=0.6, hue=0.15, grey=0.2, blur=0.5, colour="before_crop",
    )  # fmt: skip


def rho_needs(c: RhoConfig) -> Needs:
    """ρ clips, each anywhere in the video unless limits are set."""
    limited = c.min_gap_seconds > 0 or c.max_gap_seconds is not None
    near = Times(rule="near", min_seconds=c.min_gap_seconds, max_seconds=c.max_gap_seconds)
    return Needs(
        streams=(StreamNeed(stream=Stream.RGB, frames=c.frames, stride=c.stride),), clips=c.clips,
        times=near if limited and c.clips > 1 else Times(), frames_per_second=c.frames_per_second,
        short_side=c.short_side, fit=c.fit,
    )  # fmt: skip


def rho_views(c: RhoConfig, batch: Batch, at: Progress) -> list[Float[Tensor, "b c t s s"]]:
    """Draw one view of each clip, or two of a single clip."""
    return [
        make_view(batch.clip(Stream.RGB, i % c.clips), c.view, at.draws(batch, f"view{i}")).frames
        for i in range(max(c.clips, 2))
    ]
