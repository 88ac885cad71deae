"""ρSwAV: assign clips to prototypes, and predict one clip's assignment from other clips of the same video.

Feichtenhofer, Fan, Xiong, Girshick & He, "A Large-Scale Study on Unsupervised Spatiotemporal Representation Learning"
(CVPR 2021, arXiv 2104.14558), after SwAV (Caron et al. 2020). Views are ρ clips at random times of a video; ρ = 1 is
the image method: two augmentations of one clip. Codes come from optimal transport over the batch of all processes (no
queue of features): a batch should not be much smaller than the number of prototypes, or codes get arbitrary.

Deviation from the released code: in the first epoch prototypes get a gradient of zero instead of none, so that
processes still agree on what they exchange.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Config, Encoder, EncoderCard, Method, Needs, Progress, Stream, StreamNeed, Times
from reelvec.core.shapes import Float
from reelvec.parts.heads import mlp
from reelvec.parts.swav import prototype_scores, sinkhorn, swapped_prediction
from reelvec.views import ViewConfig, make_view


class RhoSwavConfig(Config):
    """Settings; the defaults are the released Kinetics setting with ρ = 2."""

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
    prototypes: PositiveInt = 1000
    epsilon: PositiveFloat = 0.05
    """entropy of the transport: smaller makes codes harder"""
    iterations: PositiveInt = 3
    """of Sinkhorn's algorithm"""
    temperature: PositiveFloat = 0.1
    frozen_epochs: NonNegativeFloat = 1.0
    """the prototypes stay as they are for so long"""
    hidden: PositiveInt = 2048
    dim: PositiveInt = 128


class RhoSwav(Method):
    """One network with a head, and prototypes of unit length."""

    Config = RhoSwavConfig
    config: RhoSwavConfig
    accumulates: ClassVar[bool] = False

    def __init__(self, config: RhoSwavConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        self.head = mlp([self.visual.dim, c.hidden, c.hidden, c.dim], batch_norm=True)
        self.prototypes = nn.Parameter(F.normalize(torch.randn(c.prototypes, c.dim)))

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
        """Mean over code clips a (the first two) and other clips v of -sum_k code_a log softmax(scores_v / t)."""
        c = self.config
        z = self.embeddings(batch, at).unbind(1)
        prototypes: Tensor = self.prototypes
        if at.epoch < c.frozen_epochs:
            prototypes = prototypes.detach() + 0 * prototypes  # same values, gradient zero
        scores = [prototype_scores(x, prototypes) for x in z]
        losses = []
        for a in range(2):
            codes = sinkhorn(scores[a], c.epsilon, c.iterations)
            losses += [swapped_prediction(codes, s, c.temperature) for v, s in enumerate(scores) if v != a]
        return {"loss": torch.stack(losses).mean()}

    @torch.no_grad()
    def after_step(self, at: Progress) -> None:
        """Bring the prototypes back to unit length."""
        self.prototypes.copy_(F.normalize(self.prototypes))

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Project every view."""
        return torch.stack([_unit(self.head(self.visual.features(view))) for view in self.views(batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        c = self.config
        card = EncoderCard(
            name="visual", architecture=c.encoder, channels=3, arguments=self.visual.arguments,
            needs=self.needs().model_copy(update={"clips": 1, "times": Times(rule="spread")}),
            size=c.view.size, mean=c.view.mean, std=c.view.std, method="rho_swav", step=0,
        )  # fmt: skip
        return {"visual": (self.visual, card)}


def _unit(x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    return F.normalize(x.float(), dim=1)
