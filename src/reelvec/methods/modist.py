"""MoDist: motion distilled into an RGB encoder by contrast with a motion pathway.

Xiao, Tighe & Modolo, "MoDist: Motion Distillation for Self-supervised Video Representation Learning" (arXiv 2106.09703), later
"MaCLR: Motion-aware Contrastive Learning of Representations for Videos" (ECCV 2022). A US patent (11,971,956) covers the idea.

A visual pathway reads RGB clips; a thin motion pathway reads maps made from optical flow. Clips of one video attract, clips of
different videos repel, within each pathway and across the two. Flow is needed while training only.

What is not published, and what stands here instead (the card's defaults): the clamp of the flow edges (10 px at a short side of
256), the first term made symmetric (both clips are queries in turn), aligned pairs across the pathways, a loss of the motion
pathway of its own (the patent's abstract names all three families; the released default leaves it out: `motion_weight: 0`).
Edge maps have one channel here; the released network takes the same map three times, which is the same function. The released
pathways have one stem; here both span five frames, but that of the default visual network takes every second frame and that of
the default motion network every one (`motion_encoder_arguments: {stem_stride: 2}` makes them alike).
"""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Clips, Config, Encoder, EncoderCard, Method, Needs, Progress, Stream, StreamNeed, Times
from reelvec.core.shapes import Float
from reelvec.parts.heads import mlp
from reelvec.parts.info_nce import info_nce
from reelvec.parts.momentum import move, slow_copy
from reelvec.parts.queue import Queue
from reelvec.parts.schedules import momentum_schedule
from reelvec.parts.unit import unit
from reelvec.views import View, ViewConfig, apply_geometry, make_view
from reelvec.views.flow_colours import flow_colours

MotionInput = Literal["edge_a", "edge_b", "flow_uv", "flow_rgb", "frame_diff"]


class ModistConfig(Config):
    """Settings; the defaults are the paper's Kinetics setting as far as it is known."""

    encoder: str = "slow_r50"
    encoder_arguments: dict[str, Any] = {}
    motion_encoder: str = "motion_r50"
    """a thin 2D network suffices; a 3D one by name or by its arguments"""
    motion_encoder_arguments: dict[str, Any] = {}
    frames: int = 8
    stride: int = 8
    motion_frames: int = 16
    motion_stride: int = 4
    frames_per_second: float | None = 30.0
    """the rate at which strides count; none: the file's own"""
    short_side: int = 256
    """flow is computed at this size, before any crop"""
    fit: Literal["keep", "square"] = "keep"
    view: ViewConfig = ViewConfig(
        size=224, area=(0.3, 1.0), aspect=(0.5, 2.0), flip=0.5, jitter=0.8, brightness=0.4, contrast=0.4,
        saturation=0.4, hue=0.0, grey=0.2, blur=0.5, blur_kernel=3, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225),
    )  # fmt: skip
    """of both RGB clips, each with draws of its own; the blur's kernel is the released 3 x 3, whatever the size"""
    motion_input: MotionInput = "edge_a"
    flow_source: Literal["dis", "codec"] = "dis"
    edge_clamp: float = 10.0
    """motion maps reach 1 at this value, in pixels at a short side of 256"""
    motion_pair: Literal["same_clip", "other_clip"] = "same_clip"
    """which clip's key a cross-modal query is to find"""
    symmetric: bool = True
    """both clips are queries in turn; else the first alone"""
    min_shift_seconds: float = 0.5
    max_shift_seconds: float = 10.0
    visual_weight: float = 1.0
    cross_weight: float = 1.0
    motion_weight: float = 1.0
    temperature: float = 0.1
    queue: int = 65536
    momentum: float = 0.999
    momentum_rises: bool = False
    """move the momentum to 1 along half a cosine, as the rho study does"""
    hidden: int = 2048
    dim: int = 128
    head_batch_norm: bool = False
    """batch norm inside the heads: not in the paper; small networks leave their start sooner with it"""


class Modist(Method):
    """Visual and motion pathway, each a MoCo, tied by two cross-modal contrasts."""

    Config = ModistConfig
    config: ModistConfig
    accumulates: ClassVar[bool] = True

    def __init__(self, config: ModistConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        channels = {"edge_a": 1, "edge_b": 1, "flow_uv": 2, "flow_rgb": 3, "frame_diff": 1}[c.motion_input]
        self.motion = build_encoder(c.motion_encoder, channels, **c.motion_encoder_arguments)
        self.visual_head = mlp([self.visual.dim, c.hidden, c.dim], batch_norm=c.head_batch_norm)
        self.motion_head = mlp([self.motion.dim, c.hidden, c.dim], batch_norm=c.head_batch_norm)
        self.slow_visual, self.slow_visual_head = slow_copy(self.visual), slow_copy(self.visual_head)
        self.slow_motion, self.slow_motion_head = slow_copy(self.motion), slow_copy(self.motion_head)
        self.visual_queue, self.motion_queue = Queue(c.queue, c.dim), Queue(c.queue, c.dim)

    def needs(self) -> Needs:
        """Two RGB clips some seconds apart, each with the motion maps of its own time."""
        c = self.config
        rgb = StreamNeed(stream=Stream.RGB, frames=c.frames, stride=c.stride)
        if c.motion_input == "frame_diff":  # both pathways read the same, denser frames
            streams: tuple[StreamNeed, ...] = (StreamNeed(stream=Stream.RGB, frames=c.motion_frames, stride=c.motion_stride),)
        else:
            streams = (rgb, self._motion_need())
        times = Times(rule="near", min_seconds=c.min_shift_seconds, max_seconds=c.max_shift_seconds)
        return Needs(
            streams=streams,
            clips=2,
            times=times,
            frames_per_second=c.frames_per_second,
            short_side=c.short_side,
            fit=c.fit,
        )

    def _motion_need(self) -> StreamNeed:
        c = self.config
        stream = Stream.FLOW_EDGES if c.motion_input.startswith("edge") else Stream.FLOW
        formula: Literal["a", "b"] = "b" if c.motion_input == "edge_b" else "a"
        return StreamNeed(
            stream=stream,
            frames=c.motion_frames,
            stride=c.motion_stride,
            source=c.flow_source,
            formula=formula,
            clamp=c.edge_clamp,
        )

    def views(self, batch: Batch, at: Progress) -> tuple[list[Tensor], list[Tensor]]:
        """Draw one view of each clip; its motion maps get the same crop and flip, and no colour (card, section 4)."""
        c = self.config
        rgb, motion = [], []
        for i in range(2):
            clip = batch.clip(Stream.RGB, i)
            view = make_view(clip, c.view, at.draws(batch, f"view{i}"))
            if c.motion_input == "frame_diff":
                motion.append(self._differences(clip, view))
                rgb.append(view.frames[:, :, :: c.motion_frames // c.frames])
            else:
                motion.append(self._motion_maps(batch, view, i))
                rgb.append(view.frames)
        return rgb, motion

    def _motion_maps(self, batch: Batch, view: View, i: int) -> Float[Tensor, "b c t s s"]:
        """Edges in [0, 1]; flow as (u, v) in [-1, 1] or as colours; the clamp is 1."""
        c = self.config
        if c.motion_input.startswith("edge"):
            return apply_geometry(batch.clip(Stream.FLOW_EDGES, i), view, c.view.size)
        flow = apply_geometry(batch.clip(Stream.FLOW, i), view, c.view.size, vectors=True)
        unit = (flow * (256 / c.view.size) / c.edge_clamp).clamp(-1, 1)
        return unit if c.motion_input == "flow_uv" else flow_colours(unit)

    def _differences(self, clip: Clips, view: View) -> Float[Tensor, "b 1 t s s"]:
        """Return what changes from one frame of the motion clip to the next, in grey; the last change stands twice."""
        grey = apply_geometry(clip, view, self.config.view.size).mean(1, keepdim=True)
        change = grey[:, :, 1:] - grey[:, :, :-1]
        return torch.cat([change, change[:, :, -1:]], 2)

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """L = w_v L_vv + w_x L_x + w_m L_mm (card, section 6); negatives come from the queue of the key's pathway."""
        c = self.config
        rgb, motion = self.views(batch, at)
        with torch.no_grad():
            visual_keys = [unit(self.slow_visual_head(self.slow_visual.features(x))) for x in rgb]
            motion_keys = [unit(self.slow_motion_head(self.slow_motion.features(x))) for x in motion]
        visual_negatives, motion_negatives = self.visual_queue.negatives(), self.motion_queue.negatives()
        losses: dict[str, Tensor] = dict.fromkeys(("visual", "cross", "motion"), rgb[0].new_zeros(()))
        queries = (0, 1) if c.symmetric else (0,)
        for i in queries:
            other = 1 - i
            pair = i if c.motion_pair == "same_clip" else other
            v = unit(self.visual_head(self.visual.features(rgb[i])))
            m = unit(self.motion_head(self.motion.features(motion[i])))
            terms = {
                "visual": info_nce(v, visual_keys[other], visual_negatives, c.temperature),
                "cross": info_nce(v, motion_keys[pair], motion_negatives, c.temperature)
                + info_nce(m, visual_keys[pair], visual_negatives, c.temperature),
                "motion": info_nce(m, motion_keys[other], motion_negatives, c.temperature),
            }
            losses = {name: losses[name] + term / len(queries) for name, term in terms.items()}
        for key in visual_keys:
            self.visual_queue.push(key)
        for key in motion_keys:
            self.motion_queue.push(key)
        loss = c.visual_weight * losses["visual"] + c.cross_weight * losses["cross"] + c.motion_weight * losses["motion"]
        return {"loss": loss, **losses}

    def after_step(self, at: Progress) -> None:
        """Let both slow pathways, heads included, follow the trained ones."""
        momentum = momentum_schedule(at.share, self.config.momentum) if self.config.momentum_rises else self.config.momentum
        move(self.slow_visual, self.visual, momentum)
        move(self.slow_visual_head, self.visual_head, momentum)
        move(self.slow_motion, self.motion, momentum)
        move(self.slow_motion_head, self.motion_head, momentum)

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Project both RGB clips by the visual pathway."""
        rgb, _ = self.views(batch, at)
        return torch.stack([unit(self.visual_head(self.visual.features(x))) for x in rgb], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep both pathways; the motion pathway only where its input is a stream that a file gives by itself."""
        c = self.config
        rgb = StreamNeed(stream=Stream.RGB, frames=c.frames, stride=c.stride)
        visual = EncoderCard(
            name="visual", architecture=c.encoder, channels=3, arguments=c.encoder_arguments, needs=self.needs().alone(rgb),
            size=c.view.size, mean=c.view.mean, std=c.view.std, method="modist", step=0,
        )  # fmt: skip
        if c.motion_input in ("flow_rgb", "frame_diff"):
            return {"visual": (self.visual, visual)}
        one = c.edge_clamp * c.view.size / 256 if c.motion_input == "flow_uv" else 1.0  # pixels of flow in a view that count 1
        motion = EncoderCard(
            name="motion", architecture=c.motion_encoder, channels=self.motion.channels, arguments=c.motion_encoder_arguments,
            needs=self.needs().alone(self._motion_need()), size=c.view.size, mean=(0.0,) * self.motion.channels,
            std=(one,) * self.motion.channels, method="modist", step=0,
        )  # fmt: skip
        return {"visual": (self.visual, visual), "motion": (self.motion, motion)}
