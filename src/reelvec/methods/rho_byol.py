"""ρBYOL: predict the slow network's projection of other clips of the same video; no negatives.

Feichtenhofer, Fan, Xiong, Girshick & He, "A Large-Scale Study on Unsupervised Spatiotemporal Representation Learning"
(CVPR 2021, arXiv 2104.14558), after BYOL (Grill et al. 2020). Views are ρ clips at random times of a video; ρ = 1 is
the image method: two augmentations of one clip. What keeps all clips from falling onto one point is the predictor,
together with a target that moves slowly: take both away (`predictor: false`, `momentum: 0`, `momentum_rises: false`)
and it collapses.

Deviations from the released code: one backward pass over the sum of all queries instead of one pass each (equal
gradients); the loss is 2 - 2 cos, theirs -2 cos (a constant apart).
"""

from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Encoder, EncoderCard, Method, Needs, Progress
from reelvec.core.shapes import Float
from reelvec.methods._rho_clips import RhoConfig, rho_needs, rho_views
from reelvec.parts.byol import byol
from reelvec.parts.heads import mlp
from reelvec.parts.momentum import move, slow_copy
from reelvec.parts.schedules import momentum_schedule
from reelvec.parts.unit import unit


class RhoByolConfig(RhoConfig):
    """Settings; the defaults are the released Kinetics setting with ρ = 2."""

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
        return rho_needs(self.config)

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """Sum over queries i of the mean over other clips j of 2 - 2 cos(prediction_i, key_j).

        A clip's own key is no target. The sum makes the gradient grow with ρ; the published learning rates assume it.
        `per_query` is the loss over ρ.
        """
        views = rho_views(self.config, batch, at)
        with torch.no_grad():
            keys = [unit(self.slow_head(self.slow_visual.features(view))) for view in views]
        losses = []
        for i, view in enumerate(views):
            prediction = unit(self.predictor(self.head(self.visual.features(view))))
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
        return torch.stack([unit(self.head(self.visual.features(view))) for view in rho_views(self.config, batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        return {"visual": (self.visual, EncoderCard.visual(self.visual, self.needs(), self.config.view, "rho_byol"))}
