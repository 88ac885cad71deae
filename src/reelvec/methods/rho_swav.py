"""ρSwAV: assign clips to prototypes, and predict one clip's assignment from other clips of the same video.

Feichtenhofer, Fan, Xiong, Girshick & He, "A Large-Scale Study on Unsupervised Spatiotemporal Representation Learning"
(CVPR 2021, arXiv 2104.14558), after SwAV (Caron et al. 2020). Views are ρ clips at random times of a video; ρ = 1 is
the image method: two augmentations of one clip. Codes come from optimal transport over the batch of all processes (no
queue of features): a batch should not be much smaller than the number of prototypes, or codes get arbitrary.

Deviation from the released code: in the first epoch prototypes get a gradient of zero instead of none, so that
processes still agree on what they exchange.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Encoder, EncoderCard, Method, Needs, Progress
from reelvec.core.shapes import Float
from reelvec.methods._rho_clips import RhoConfig, rho_needs, rho_views
from reelvec.parts.heads import mlp
from reelvec.parts.swav import prototype_scores, sinkhorn, swapped_prediction
from reelvec.parts.unit import unit


class RhoSwavConfig(RhoConfig):
    """Settings; the defaults are the released Kinetics setting with ρ = 2."""

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
        return rho_needs(self.config)

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
        return torch.stack([unit(self.head(self.visual.features(view))) for view in rho_views(self.config, batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        return {"visual": (self.visual, EncoderCard.visual(self.visual, self.needs(), self.config.view, "rho_swav"))}
