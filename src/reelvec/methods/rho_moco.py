"""ρMoCo: clips of one video attract, a queue of clips of other videos repels.

Feichtenhofer, Fan, Xiong, Girshick & He, "A Large-Scale Study on Unsupervised Spatiotemporal Representation Learning"
(CVPR 2021, arXiv 2104.14558), after MoCo (He et al. 2020). Views are ρ clips at random times of a video; ρ = 1 is the
image method: two augmentations of one clip. Queries pass the trained network, keys a slow copy of it.

Deviations from the released code: one backward pass over the sum of all queries instead of one pass each (equal
gradients); batch normalisation over all processes instead of shuffled; training starts at once against a queue of
random unit vectors instead of waiting until keys have filled it.
"""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Config, Encoder, EncoderCard, Method, Needs, Progress, Stream, StreamNeed, Times
from reelvec.core.shapes import Float
from reelvec.parts.heads import mlp
from reelvec.parts.info_nce import info_nce
from reelvec.parts.momentum import move, slow_copy
from reelvec.parts.queue import Queue
from reelvec.parts.schedules import momentum_schedule
from reelvec.views import ViewConfig, make_view


class RhoMocoConfig(Config):
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
        """Sum over queries i of the mean over other clips j of InfoNCE(q_i, k_j, queue).

        The sum makes the gradient grow with ρ; the published learning rates assume it. `per_query` is the loss over ρ.
        """
        views = self.views(batch, at)
        with torch.no_grad():
            keys = [_unit(self.slow_head(self.slow_visual.features(view))) for view in views]
        negatives = self.queue.negatives()
        losses = []
        for i, view in enumerate(views):
            query = _unit(self.head(self.visual.features(view)))
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
        return torch.stack([_unit(self.head(self.visual.features(view))) for view in self.views(batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        c = self.config
        card = EncoderCard(
            name="visual", architecture=c.encoder, channels=3, arguments=self.visual.arguments,
            needs=self.needs().model_copy(update={"clips": 1, "times": Times(rule="spread")}),
            size=c.view.size, mean=c.view.mean, std=c.view.std, method="rho_moco", step=0,
        )  # fmt: skip
        return {"visual": (self.visual, card)}


def _unit(x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    return F.normalize(x.float(), dim=1)
