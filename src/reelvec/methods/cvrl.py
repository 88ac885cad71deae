"""CVRL: two clips of one video attract, clips of the other videos of the batch repel; gaps in time are mostly short.

Qian, Meng, Gong, Yang, Wang, Belongie & Cui, "Spatiotemporal Contrastive Video Representation Learning" (CVPR 2021,
arXiv 2008.03800). SimCLR on video with two ideas: strong augmentation is drawn once for a clip and kept for all its
frames, so that motion stays what it is; and the gap between the two clips is drawn from a decreasing density, so that
clips far apart, which may show something else, are seen but rarely.

As released (and not in the paper's text): the first view is always blurred, the second rarely, and the second alone
is solarised at times. Deviation: the gap is drawn in seconds, not on whole frames.
"""

from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Config, Encoder, EncoderCard, Method, Needs, Progress, Stream, StreamNeed, Times
from reelvec.core.shapes import Float
from reelvec.parts.heads import mlp
from reelvec.parts.nt_xent import nt_xent_one_way
from reelvec.parts.unit import unit
from reelvec.views import ViewConfig, make_view

_VIEW = ViewConfig(
    size=224, area=(0.3, 1.0), aspect=(0.5, 2.0), flip=0.5, jitter=0.8, brightness=0.8, contrast=0.8, saturation=0.8,
    hue=0.2, grey=0.2, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
)  # fmt: skip


class CvrlConfig(Config):
    """Settings; the defaults are the released Kinetics setting."""

    encoder: str = "slow_r50"
    encoder_arguments: dict = {}
    frames: PositiveInt = 16
    stride: PositiveInt = 2
    gap_power: PositiveFloat = 1.0
    """the density of the gap d is (p + 1) / (p M) (1 - (d / M)^p), M the largest gap; 1 falls linearly"""
    frames_per_second: PositiveFloat | None = None
    """the rate at which the stride counts; none: the file's own, as released"""
    short_side: PositiveInt = 256
    fit: Literal["keep", "square"] = "keep"
    first_view: ViewConfig = _VIEW.model_copy(update={"blur": 1.0})
    second_view: ViewConfig = _VIEW.model_copy(update={"blur": 0.1, "solarise": 0.2})
    """first and second are drawn, not earlier and later"""
    temperature: PositiveFloat = 0.1
    hidden: PositiveInt = 2048
    dim: PositiveInt = 128

    @model_validator(mode="after")
    def _views_agree(self) -> "CvrlConfig":
        seen = [(v.size, v.mean, v.std) for v in (self.first_view, self.second_view)]
        if seen[0] != seen[1]:
            raise ValueError("first_view and second_view must agree in size, mean and std")
        return self


class Cvrl(Method):
    """One network with a deep head, contrasted within the batch."""

    Config = CvrlConfig
    config: CvrlConfig
    accumulates: ClassVar[bool] = False

    def __init__(self, config: CvrlConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        self.head = mlp([self.visual.dim, c.hidden, c.hidden, c.hidden, c.dim], batch_norm=True)

    def needs(self) -> Needs:
        """Two clips, rarely far apart, in random order."""
        c = self.config
        return Needs(
            streams=(StreamNeed(stream=Stream.RGB, frames=c.frames, stride=c.stride),), clips=2,
            times=Times(rule="decreasing", power=c.gap_power), frames_per_second=c.frames_per_second,
            short_side=c.short_side, fit=c.fit,
        )  # fmt: skip

    def views(self, batch: Batch, at: Progress) -> list[Float[Tensor, "b c t s s"]]:
        """Draw the two views, each by its own rule."""
        c = self.config
        return [
            make_view(batch.clip(Stream.RGB, i), settings, at.draws(batch, f"view{i}")).frames
            for i, settings in enumerate((c.first_view, c.second_view))
        ]

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """Sum (not mean: the learning rate assumes it) both directions of NT-Xent over the videos of all processes."""
        first, second = self.embeddings(batch, at).unbind(1)
        temperature = self.config.temperature
        return {"loss": nt_xent_one_way(first, second, temperature) + nt_xent_one_way(second, first, temperature)}

    def after_step(self, at: Progress) -> None:
        """Nothing follows the optimiser's step."""

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Project both views."""
        return torch.stack([unit(self.head(self.visual.features(view))) for view in self.views(batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        return {"visual": (self.visual, EncoderCard.visual(self.visual, self.needs(), self.config.first_view, "cvrl"))}
