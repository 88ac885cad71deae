"""ρBYOL: predict the slow network's projection of other clips of the same video; no negatives.

Feichtenhofer, Fan, Xiong, Girshick & He, "A Large-Scale Study on Unsupervised Spatiotemporal Representation Learning"
(CVPR 2021, arXiv 2104.14558), after BYOL (Grill et al. 2020). Views are ρ clips at random times of a video; ρ = 1 is
the image method: two augmentations of one clip. What keeps all clips from falling onto one point is the predictor,
together with a target that moves slowly: take both away (`predictor: false`, `momentum: 0`, `momentum_rises: false`)
and it collapses.

Deviations from the released code: one backward pass over the sum of all queries instead of one pass each (equal
gradients); the loss is 2 - 2 cos, theirs -2 cos (a constant apart).
"""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Config, Encoder, EncoderCard, Method, Needs, Progress, Stream, StreamNeed, Times
from reelvec.core.shapes import Float
from reelvec.parts.byol import byol
from reelvec.parts.heads import mlp
from reelvec.parts.momentum import move, slow_copy
from reelvec.parts.schedules import momentum_schedule
from reelvec.views import ViewConfig, make_view


class RhoByolConfig(Config):
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
    predictor: bool = True
    """false: compare projections with one another; for experiments on collapse"""
    momentum: Annotated[float, Field(ge=0, le=1)] = 0.996
    momentum_rises: bool = True
    """move the momentum to 1 along half a cosine"""
    hidden: PositiveInt = 4096
    dim: PositiveInt = 256


class RhoByol(Method):
    """A trained network with a predictor, and a slow one that gives the targets."""

    Config = RhoByolConfig
    config: RhoByolConfig
    accumulates: ClassVar[bool] = True

    def __init__(self, config: RhoByolConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        self.head = mlp([self.visual.dim, c.hidden, c.dim], batch_norm=True)
        self.predictor = mlp([c.dim, c.hidden, c.dim], batch_norm=True) if c.predictor else nn.Identity()
        self.slow_visual, self.slow_head = slow_copy(self.visual), slow_copy(self.head)

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
        """Sum over queries i of the mean over other clips j of 2 - 2 cos(prediction_i, key_j).

        A clip's own key is no target. The sum makes the gradient grow with ρ; the published learning rates assume it.
        `per_query` is the loss over ρ.
        """
        views = self.views(batch, at)
        with torch.no_grad():
            keys = [_unit(self.slow_head(self.slow_visual.features(view))) for view in views]
        losses = []
        for i, view in enumerate(views):
            prediction = _unit(self.predictor(self.head(self.visual.features(view))))
            others = [byol(prediction, key) for j, key in enumerate(keys) if j != i]
            losses.append(torch.stack(others).mean())
        loss = torch.stack(losses).sum()
        return {"loss": loss, "per_query": loss / len(views)}

    def after_step(self, at: Progress) -> None:
        """Let the slow network and head follow."""
        c = self.config
        momentum = momentum_schedule(at.share, c.momentum) if c.momentum_rises else c.momentum
        move(self.slow_visual, self.visual, momentum)
        move(self.slow_head, self.head, momentum)

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Project every view, before the predictor."""
        return torch.stack([_unit(self.head(self.visual.features(view))) for view in self.views(batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        c = self.config
        card = EncoderCard(
            name="visual", architecture=c.encoder, channels=3, arguments=self.visual.arguments,
            needs=self.needs().model_copy(update={"clips": 1, "times": Times(rule="spread")}),
            size=c.view.size, mean=c.view.mean, std=c.view.std, method="rho_byol", step=0,
        )  # fmt: skip
        return {"visual": (self.visual, card)}


def _unit(x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    return F.normalize(x.float(), dim=1)
