"""ρMoCo: clips of one video attract, a queue of clips of other videos repels.

Feichtenhofer, Fan, Xiong, Girshick & He, "A Large-Scale Study on Unsupervised Spatiotemporal Representation Learning"
(CVPR 2021, arXiv 2104.14558), after MoCo (He et al. 2020). Views are ρ clips at random times of a video; ρ = 1 is the
image method: two augmentations of one clip. Queries pass the trained network, keys a slow copy of it.

Deviations from the released code: one backward pass over the sum of all queries instead of one pass each (equal
gradients); batch normalisation over all processes instead of shuffled; training starts at once against a queue of
random unit vectors instead of waiting until keys have filled it.
"""

from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Encoder, EncoderCard, Method, Needs, Progress
from reelvec.core.shapes import Float
from reelvec.methods._rho_clips import RhoConfig, rho_needs, rho_views
from reelvec.parts.heads import mlp
from reelvec.parts.info_nce import info_nce
from reelvec.parts.momentum import move, slow_copy
from reelvec.parts.queue import Queue
from reelvec.parts.schedules import momentum_schedule
from reelvec.parts.unit import unit


class RhoMocoConfig(RhoConfig):
    """Settings; the defaults are the released Kinetics setting with ρ = 4."""

    clips: PositiveInt = 4
    """ρ; 1 is two augmentations of one clip"""
    temperature: PositiveFloat = 0.1
    queue: PositiveInt = 65536
    momentum: Annotated[float, Field(ge=0, le=1)] = 0.994
    momentum_rises: bool = True
    """move the momentum to 1 along half a cosine"""
    hidden: PositiveInt = 2048
    dim: PositiveInt = 128
    head_batch_norm: bool = False
    """batch norm inside the head: not in the paper; small networks leave their start sooner with it"""


class RhoMoco(Method):
    """A trained network for queries, a slow one for keys, a queue of past keys."""

    Config = RhoMocoConfig
    config: RhoMocoConfig
    accumulates: ClassVar[bool] = True

    def __init__(self, config: RhoMocoConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        self.head = mlp([self.visual.dim, c.hidden, c.hidden, c.dim], batch_norm=c.head_batch_norm)
        self.slow_visual, self.slow_head = slow_copy(self.visual), slow_copy(self.head)
        self.queue = Queue(c.queue, c.dim)

    def needs(self) -> Needs:
        """ρ clips, each anywhere in the video unless limits are set."""
        return rho_needs(self.config)

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """Sum over queries i of the mean over other clips j of InfoNCE(q_i, k_j, queue).

        The sum makes the gradient grow with ρ; the published learning rates assume it. `per_query` is the loss over ρ.
        """
        views = rho_views(self.config, batch, at)
        with torch.no_grad():
            keys = [unit(self.slow_head(self.slow_visual.features(view))) for view in views]
        negatives = self.queue.negatives()
        losses = []
        for i, view in enumerate(views):
            query = unit(self.head(self.visual.features(view)))
            others = [info_nce(query, k, negatives, self.config.temperature) for j, k in enumerate(keys) if j != i]
            losses.append(torch.stack(others).mean())
        self.queue.push(torch.stack(keys, 1).flatten(0, 1))  # video by video: the order does not hang on processes
        loss = torch.stack(losses).sum()
        return {"loss": loss, "per_query": loss / len(views)}

    def after_step(self, at: Progress) -> None:
        """Let the slow network and head follow."""
        c = self.config
        momentum = momentum_schedule(at.share, c.momentum) if c.momentum_rises else c.momentum
        move(self.slow_visual, self.visual, momentum)
        move(self.slow_head, self.head, momentum)

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Project every view as a query."""
        return torch.stack([unit(self.head(self.visual.features(view))) for view in rho_views(self.config, batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        return {"visual": (self.visual, EncoderCard.visual(self.visual, self.needs(), self.config.view, "rho_moco"))}
