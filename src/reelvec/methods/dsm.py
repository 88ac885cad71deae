"""DSM: a scene that is bent still matches, a scene whose motion is broken does not; so motion has to be looked at.

Wang, Gao, Li, Hu, Jiang, Guo, Ji & Sun, "Enhancing Unsupervised Video Representation Learning by Decoupling the Scene and the
Motion" (AAAI 2021, arXiv 2009.05757). MoCo with one more logit: a hard negative of the query's own video.

A clip is seen twice. The query is bent in space, all frames alike (Spatial Local Disturbance); the key is not. The hard
negative shows the same scene with another motion (Temporal Local Disturbance): in the paper's figures the clip disturbed along
its own flow (`flow_warp`), in the released trainer another time of the video (`other_time`, the default). It passes the
trained network, with gradient, in a pass of its own, and never enters the queue.

Deviations from the released code: distortions are drawn for each clip instead of each batch and read between pixels; the turn
of a view follows its crop; batch norm over all processes; flow in pixels instead of stretched to its own minimum and maximum.
The spline is the default distortion (the released trainer calls the bumps); no setting takes the negative from another video.
Another time starts anywhere `min_gap_seconds` away; the released draw moves one that is closer by a third of the video.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Encoder, EncoderCard, Method, Needs, Progress, Stream, StreamNeed
from reelvec.core.shapes import Float
from reelvec.methods._anchor_clips import AnchorConfig, anchor_needs, basic_view, bent, head
from reelvec.parts.hard_negative import info_nce_hard
from reelvec.parts.momentum import move, slow_copy
from reelvec.parts.queue import Queue
from reelvec.parts.unit import unit
from reelvec.views import apply_geometry, make_view
from reelvec.views.broken_motion import shuffle_frames, warp_by_flow
from reelvec.views.warp import bump_grid, spline_grid


class DsmConfig(AnchorConfig):
    """Settings; the defaults are the released ones."""

    warp: Literal["spline", "bumps", "none"] = "spline"
    """how space is bent: a thin plate, one to three bumps, or not at all"""
    warp_reach: NonNegativeFloat = 0.1
    """spline: farthest that a place of the 5 x 5 net moves along an axis; the picture's side is 2"""
    warped: Literal["query", "key"] = "query"
    """which of the two views of the anchor is bent"""
    hard_negative: Literal["other_time", "flow_warp", "frame_shuffle", "none"] = "other_time"
    """none, with `warp: none`, is MoCo with two views of one clip"""
    flow_source: Literal["dis", "codec"] = "dis"
    flow_factor: PositiveFloat = 10.0
    """flow_warp: largest multiple of its flow by which a frame is warped"""
    flow_reach: PositiveFloat = 20.0
    """flow_warp: no pixel moves farther along an axis, in pixels at a view of 224"""
    loss: Literal["info_nce", "triplet"] = "info_nce"
    """triplet: neither slow network nor queue"""
    margin: PositiveFloat = 0.5
    """of the triplet"""
    queue: PositiveInt = 16384

    @model_validator(mode="after")
    def _triplets_have_three(self) -> "DsmConfig":
        if self.loss == "triplet" and self.hard_negative == "none":
            raise ValueError("loss: a triplet needs a hard_negative; choose one, or loss=info_nce")
        return self


class Dsm(Method):
    """A trained network for queries and hard negatives, a slow one for keys, a queue of past keys."""

    Config = DsmConfig
    config: DsmConfig
    accumulates: ClassVar[bool] = True

    def __init__(self, config: DsmConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        self.head = head(c, self.visual.dim)
        if c.loss == "info_nce":
            self.slow_visual, self.slow_head = slow_copy(self.visual), slow_copy(self.head)
            self.queue = Queue(c.queue, c.dim)

    def needs(self) -> Needs:
        """Ask for the anchor, and for what its hard negative is made of: a clip of another time, or the anchor's flow."""
        c = self.config
        flow = StreamNeed(stream=Stream.FLOW, frames=c.frames, stride=c.stride, source=c.flow_source)
        more = [flow] if c.hard_negative == "flow_warp" else []
        return anchor_needs(c, *more, other_time=c.hard_negative == "other_time")

    def pair(self, batch: Batch, at: Progress) -> tuple[Float[Tensor, "b c t s s"], Float[Tensor, "b c t s s"]]:
        """Draw two views of the anchor; one of them is bent."""
        c, anchor = self.config, batch.clip(Stream.RGB, 0)
        drawn = {name: at.draws(batch, name) for name in ("query", "key")}
        grid = None
        if c.warp != "none":
            size, draws = c.view.size, drawn[c.warped]
            grid = spline_grid(size, draws, c.warp_reach) if c.warp == "spline" else bump_grid(size, draws)
        query, key = (basic_view(c, anchor, drawn[name], grid if name == c.warped else None) for name in ("query", "key"))
        return query, key

    def broken(self, batch: Batch, at: Progress) -> Float[Tensor, "b c t s s"] | None:
        """Draw the hard negative: the same scene, with an augmentation of its own and another motion."""
        c, draws = self.config, at.draws(batch, "negative")
        if c.hard_negative == "none":
            return None
        if c.hard_negative == "other_time":
            return basic_view(c, batch.clip(Stream.RGB, 1), draws)
        if c.hard_negative == "frame_shuffle":
            return shuffle_frames(basic_view(c, batch.clip(Stream.RGB, 0), draws), draws)
        view = make_view(batch.clip(Stream.RGB, 0), c.view, draws)
        flow = apply_geometry(batch.clip(Stream.FLOW, 0), view, c.view.size, vectors=True)
        return bent(c, warp_by_flow(view.frames, flow, c.flow_factor, c.flow_reach * c.view.size / 224, draws), draws)

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """InfoNCE of query and key against the queue and the query's own hard negative (card, section 7).

        The triplet form compares with the hard negative and, weighted alike, with the one of another video of the batch.
        """
        c = self.config
        query_view, key_view = self.pair(batch, at)
        broken = self.broken(batch, at)
        query = self.project(query_view)
        hard = None if broken is None else self.project(broken)
        if c.loss == "triplet":
            assert hard is not None, "the settings were checked"
            key = self.project(key_view)
            of_video, of_other = (F.triplet_margin_loss(query, key, n, c.margin) for n in (hard, hard.flip(0)))
            loss = of_video + of_other
        else:
            with torch.no_grad():
                key = unit(self.slow_head(self.slow_visual.features(key_view)))
            loss = info_nce_hard(query, key, self.queue.negatives(), c.temperature, hard)
            self.queue.push(key)
        cosines = {"positive_cosine": key} if hard is None else {"positive_cosine": key, "hard_cosine": hard}
        return {"loss": loss, **{name: (query * other).sum(1).mean().detach() for name, other in cosines.items()}}

    def project(self, view: Float[Tensor, "b c t s s"]) -> Float[Tensor, "b d"]:
        """Project clips by the trained network and head."""
        return unit(self.head(self.visual.features(view)))

    def after_step(self, at: Progress) -> None:
        """Let the slow network and head follow, where there are any."""
        if self.config.loss == "info_nce":
            move(self.slow_visual, self.visual, self.config.momentum)
            move(self.slow_head, self.head, self.config.momentum)

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Project both views of the anchor by the trained network."""
        return torch.stack([self.project(view) for view in self.pair(batch, at)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the trained network."""
        return {"visual": (self.visual, EncoderCard.visual(self.visual, self.needs(), self.config.view, "dsm"))}
