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
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Encoder, EncoderCard, Method, Needs, Progress
from reelvec.core.shapes import Float
from reelvec.methods._rho_clips import RhoConfig, rho_needs, rho_views
from reelvec.parts.heads import mlp
from reelvec.parts.nt_xent import nt_xent
from reelvec.parts.unit import unit


class RhoSimclrConfig(RhoConfig):
    """Settings; the defaults are the released Kinetics setting with ρ = 4."""

    clips: PositiveInt = 4
    """ρ; 1 is two augmentations of one clip"""
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
        return rho_needs(self.config)

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
        return torch.stack([unit(self.head(self.visual.features(view))) for view in rho_views(self.config, batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        return {"visual": (self.visual, EncoderCard.visual(self.visual, self.needs(), self.config.view, "rho_simclr"))}
