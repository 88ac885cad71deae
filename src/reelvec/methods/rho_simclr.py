"""ρSimCLR: clips of one video attract, clips of the other videos of the batch repel.

Feichtenhofer, Fan, Xiong, Girshick & He, "A Large-Scale Study on Unsupervised Spatiotemporal Representation Learning"
(CVPR 2021, arXiv 2104.14558), after SimCLR (Chen et al. 2020). Views are ρ clips at random times of a video; ρ = 1 is
the image method: two augmentations of one clip. One network, no slow copy, no queue: negatives are as many as the
batch allows.

With more than two clips the released code compares consecutive clips only, (1, 2), (2, 3), ...; `pairs: all` compares
every pair. Deviation: one backward pass over the sum of all pairs instead of one pass each (equal gradients).
"""

from itertools import combinations, pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Config, Encoder, EncoderCard, Method, Needs, Progress, Stream, StreamNeed, Times
from reelvec.core.shapes import Float
from reelvec.parts.heads import mlp
from reelvec.parts.nt_xent import nt_xent
from reelvec.views import ViewConfig, make_view


class RhoSimclrConfig(Config):
    """Settings; the defaults are the released Kinetics setting with ρ = 4."""

    encoder: str = "slow_r50"
    encoder_arguments: dict = {"stem_kernel": 1, "stem_stride": 1}
    frames: PositiveInt = 8
    stride: PositiveInt = 8
    clips: PositiveInt = 4
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
    pairs: Literal["consecutive", "all"] = "consecutive"
    """which clips of a video are compared"""
    temperature: PositiveFloat = 0.1
    hidden: PositiveInt = 2048
    dim: PositiveInt = 128


class RhoSimclr(Method):
    """One network with a head, contrasted within the batch."""

    Config = RhoSimclrConfig
    config: RhoSimclrConfig
    accumulates: ClassVar[bool] = False

    def __init__(self, config: RhoSimclrConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        self.head = mlp([self.visual.dim, c.hidden, c.hidden, c.dim], batch_norm=False)

    def needs(self) -> Needs:
        """ρ clips, each anywhere in the video unless limits are set."""
        c = self.config
        limited = c.min_gap_seconds > 0 or c.max_gap_seconds is not None
        near = Times(rule="near", min_seconds=c.min_gap_seconds, max_seconds=c.max_gap_seconds)
        return Needs(
            streams=(StreamNeed(stream=Stream.RGB, frames=c.frames, stride=c.stride),), clips=c.clips,
            times=near if limited and c.clips > 1 else Times(), frames_per_second=c.frames_per_second,
            short_side=c.short_side, fit=c.fit,
        )  # fmt: skip

    def views(self, batch: Batch, at: Progress) -> list[Float[Tensor, "b c t s s"]]:
        """Draw one view of each clip, or two of a single clip."""
        c = self.config
        return [
            make_view(batch.clip(Stream.RGB, i % c.clips), c.view, at.draws(batch, f"view{i}")).frames
            for i in range(max(c.clips, 2))
        ]

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """Sum over pairs of clips of NT-Xent over the videos of all processes.

        The sum makes the gradient grow with the number of pairs; the published learning rates assume it. `per_pair` is
        the mean.
        """
        z = self.embeddings(batch, at).unbind(1)
        pairs = list(pairwise(z) if self.config.pairs == "consecutive" else combinations(z, 2))
        loss = torch.stack([nt_xent(first, second, self.config.temperature) for first, second in pairs]).sum()
        return {"loss": loss, "per_pair": loss / len(pairs)}

    def after_step(self, at: Progress) -> None:
        """Nothing follows the optimiser's step."""

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Project every view."""
        return torch.stack([_unit(self.head(self.visual.features(view))) for view in self.views(batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        c = self.config
        card = EncoderCard(
            name="visual", architecture=c.encoder, channels=3, arguments=self.visual.arguments,
            needs=self.needs().model_copy(update={"clips": 1, "times": Times(rule="spread")}),
            size=c.view.size, mean=c.view.mean, std=c.view.std, method="rho_simclr", step=0,
        )  # fmt: skip
        return {"visual": (self.visual, card)}


def _unit(x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    return F.normalize(x.float(), dim=1)
