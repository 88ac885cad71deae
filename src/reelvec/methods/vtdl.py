"""VTDL: a clip matches itself under a laid-over still picture, and not the same video at another time.

Wang, Lin, Ma & Yuen, "Self-supervised Temporal Discriminative Learning for Video Representation Learning" (arXiv 2008.02129,
2020). MoCo with one more logit: a hard negative from another interval of the query's own video, so that a feature has to say
when in the video it is. The query's clip is mixed with one of its own frames, which leaves all time derivatives unchanged up to
a factor (temporal-consistent augmentation): motion is the safest thing left to match. The hard negative passes the trained
network, with gradient, in a pass of its own; it never enters the memory.

Deviations from the released code: the weight of the mix is drawn for each clip instead of each batch; the turn of a view
follows its crop; batch norm over all processes instead of shuffled. As there, the positive shows the same frames as the
query. The triplet loss, which the released trainer computes and only logs, can be added by its weight. Not in the released
code: a memory bank by video in place of the queue. Another interval starts anywhere `min_gap_seconds` away; the released draw
moves one that is closer by a third of the video. The picture laid over a clip is a frame of its own, as released; the general
form of the augmentation, any fixed picture, is `add_picture` alone: no setting leads to it.
"""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Encoder, EncoderCard, Method, Needs, Progress, Stream
from reelvec.core.shapes import Float
from reelvec.methods._anchor_clips import AnchorConfig, anchor_needs, basic_view, head
from reelvec.parts.hard_negative import info_nce_hard
from reelvec.parts.memory_bank import MemoryBank
from reelvec.parts.momentum import move, slow_copy
from reelvec.parts.queue import Queue
from reelvec.parts.unit import unit
from reelvec.views.static_frame import mix_own_frame


class VtdlConfig(AnchorConfig):
    """Settings; the defaults are the released ones for a tenth of Kinetics-400."""

    mix: Literal["static_frame", "changing_frame", "none"] = "static_frame"
    """what the query is mixed with: one of its own frames, or for comparison a new one at every time, or nothing"""
    mix_weight: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """largest weight of that frame; motion fades as it grows"""
    hard_negative: Literal["other_interval", "none"] = "other_interval"
    """none, with `mix: none`, is MoCo with two views of one clip"""
    negatives: Literal["queue", "bank"] = "queue"
    """the last keys of all videos, or the last key of each other video"""
    queue: PositiveInt = 12500
    """how many: half to one times the number of videos; a bank wants their number"""
    triplet_weight: NonNegativeFloat = 0.0
    triplet_margin: PositiveFloat = 1.0


class Vtdl(Method):
    """A trained network for queries and hard negatives, a slow one for keys, a memory of past keys."""

    Config = VtdlConfig
    config: VtdlConfig
    accumulates: ClassVar[bool] = True

    def __init__(self, config: VtdlConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        self.head = head(c, self.visual.dim)
        self.slow_visual, self.slow_head = slow_copy(self.visual), slow_copy(self.head)
        self.memory = Queue(c.queue, c.dim) if c.negatives == "queue" else MemoryBank(c.queue, c.dim)

    def needs(self) -> Needs:
        """Ask for the anchor and a clip of another interval of its video."""
        return anchor_needs(self.config, other_time=self.config.hard_negative == "other_interval")

    def pair(self, batch: Batch, at: Progress) -> tuple[Float[Tensor, "b c t s s"], Float[Tensor, "b c t s s"]]:
        """Draw two views of the anchor: the query is mixed with a frame, the key is not."""
        c, anchor, draws = self.config, batch.clip(Stream.RGB, 0), at.draws(batch, "query")
        query, key = basic_view(c, anchor, draws), basic_view(c, anchor, at.draws(batch, "key"))
        if c.mix != "none":
            query = mix_own_frame(query, c.mix_weight, draws, changing=c.mix == "changing_frame")
        return query, key

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """InfoNCE of query and key against the memory and the clip of another interval (card, section 6)."""
        c = self.config
        query_view, key_view = self.pair(batch, at)
        query = self.project(query_view)
        with torch.no_grad():
            key = unit(self.slow_head(self.slow_visual.features(key_view)))
        numbers = {"positive_cosine": (query * key).sum(1).mean().detach()}
        hard = triplet = None
        if c.hard_negative == "other_interval":
            hard = self.project(basic_view(c, batch.clip(Stream.RGB, 1), at.draws(batch, "negative")))
            triplet = F.triplet_margin_loss(query, key, hard, c.triplet_margin)
            numbers |= {"hard_cosine": (query * hard).sum(1).mean().detach(), "triplet": triplet.detach()}
        own = self.memory.places(batch.rows) if isinstance(self.memory, MemoryBank) else None
        loss = info_nce_hard(query, key, self.memory.negatives(), c.temperature, hard, own)
        if triplet is not None and c.triplet_weight > 0:
            loss = loss + c.triplet_weight * triplet
        if isinstance(self.memory, MemoryBank):
            self.memory.write(batch.rows, key)
        else:
            self.memory.push(key)
        return {"loss": loss, **numbers}

    def project(self, view: Float[Tensor, "b c t s s"]) -> Float[Tensor, "b d"]:
        """Project clips by the trained network and head."""
        return unit(self.head(self.visual.features(view)))

    def after_step(self, at: Progress) -> None:
        """Let the slow network and head follow."""
        move(self.slow_visual, self.visual, self.config.momentum)
        move(self.slow_head, self.head, self.config.momentum)

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Project both views of the anchor by the trained network."""
        return torch.stack([self.project(view) for view in self.pair(batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        return {"visual": (self.visual, EncoderCard.visual(self.visual, self.needs(), self.config.view, "vtdl"))}
