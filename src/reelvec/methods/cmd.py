"""CMD: one RGB clip network learns context from a key frame and motion from the codec's vectors.

Huang, Liu, Wang, Pan, Xu & Jin, "Self-supervised Video Representation Learning by Context and Motion Decoupling" (CVPR 2021,
arXiv 2104.00862). A compressed video is already apart: still key frames, and motion vectors between them. Context matching: the
pooled feature of a clip is to find the key frame of its own video among those of the batch. Motion prediction: a small
Transformer decodes the clip's feature map into the features that a motion network gives to the vectors of the near future,
place by place, by contrast with other places, other times of the video and other videos. Both sides learn, keys included.

Deviations from what was released: no dropout in the Transformer (it would draw from the global generator); motion of other
times comes from the span of clip and target, not from the whole video; in place of a draw among the key frames there, the
one last shown at a drawn time of the clip; vectors are motion in one frame interval, and a key frame, which has none, takes
those of the next frame instead of zero; videos are read as they are, while the paper has them coded again as MPEG-4; videos
shorter than clip and target are not left out, but begin again.
"""

from dataclasses import replace
from math import prod
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from reelvec.backbones import build_encoder
from reelvec.backbones.r3d import ordinary
from reelvec.core import Batch, Clips, Config, Encoder, EncoderCard, Method, Needs, Progress, Stream, StreamNeed, Times
from reelvec.core.shapes import Float, Int
from reelvec.parts.heads import mlp
from reelvec.parts.place_contrast import place_contrast
from reelvec.parts.place_decoder import PlaceDecoder
from reelvec.parts.unit import unit
from reelvec.views import View, ViewConfig, apply_geometry, make_view
from reelvec.views.geometry import draw_boxes


class CmdConfig(Config):
    """Settings; the defaults are the released ones for UCF101."""

    encoder: str = "r2plus1d_26"
    encoder_arguments: dict[str, Any] = {"max_pool": True, "fine_map": True}
    motion_encoder: str = "r3d_10"
    motion_encoder_arguments: dict[str, Any] = {"stem_stride": 1, "max_pool": True}
    context_encoder: str = "r2d_10"
    """reads one picture"""
    context_encoder_arguments: dict[str, Any] = {"max_pool": True}
    frames: PositiveInt = 16
    stride: PositiveInt = 4
    motion_frames: PositiveInt = 8
    """neighbouring frames whose vectors are predicted"""
    motion_gap: int = 2
    """frames between the clip's last frame and the first whose vectors are predicted; negative: within the clip. The vectors
    of a frame are those of the codec, which lead to it from the frame before"""
    other_times: NonNegativeInt = 3
    """stretches of motion from other times of the same video, as negatives"""
    context_frames: PositiveInt = 5
    """times of the clip, spread evenly, one of which is drawn for the key frame"""
    frames_per_second: PositiveFloat | None = None
    """the rate at which strides count; none: the file's own"""
    short_side: PositiveInt = 256
    fit: Literal["keep", "square"] = "keep"
    view: ViewConfig = ViewConfig(
        size=112, area=(0.2, 1.0), aspect=(0.75, 1.333), flip=0.5, jitter=0.5, brightness=0.4, contrast=0.4, saturation=0.4,
        hue=0.1, grey=0.2, blur=0.5, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
    )  # fmt: skip
    """of clip and key frame, each with draws of its own; motion has the clip's crop and flip"""
    motion_clamp: PositiveFloat = 10.0
    """vectors reach 1 at this length, in pixels of the delivered frame"""
    vectors_follow_view: bool = False
    """let a mirrored view negate u and a resized one scale the vectors; the released code does neither"""
    context_weight: NonNegativeFloat = 1.0
    """0: no key frame is read, no context network built"""
    motion_weight: NonNegativeFloat = 1.0
    """0: no vector is read, no motion network built"""
    temperature: PositiveFloat = 0.1
    hidden: PositiveInt = 2048
    dim: PositiveInt = 512
    decoder_dim: PositiveInt = 512
    decoder_heads: PositiveInt = 8
    decoder_hidden: PositiveInt = 512
    decoder_layers: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] = (2, 4)
    """of the decoder's own encoder, which reads the clip's map, and of the part that writes"""

    @property
    def clip_span(self) -> int:
        """Frames from the clip's first to its last, both counted."""
        return (self.frames - 1) * self.stride + 1

    @property
    def target(self) -> int:
        """First map of motion that is predicted, counted from the clip's first.

        Maps here lead from their frame to the next one, vectors of the codec to their frame from the one before: those of
        frame k are map k - 1.
        """
        return self.clip_span + self.motion_gap - 1

    @property
    def span(self) -> int:
        """Maps of motion that are read: all of the clip and of the target."""
        return max(self.clip_span, self.target + self.motion_frames)

    @property
    def other_starts(self) -> list[int]:
        """Where motion of another time can start: within the span, and not overlapping the target."""
        starts = range(self.span - self.motion_frames + 1)
        return [start for start in starts if abs(start - self.target) >= self.motion_frames]

    @model_validator(mode="after")
    def _consistent(self) -> "CmdConfig":
        if self.context_weight == self.motion_weight == 0:
            raise ValueError("context_weight and motion_weight: one of the two must be above 0")
        if not self.view.consistent:
            raise ValueError("view.consistent must be true: motion is cut out by the clip's one crop")
        if self.target < 0:
            raise ValueError(f"motion_gap must be at least {1 - self.clip_span}: no motion leads to the clip's first frame")
        if self.other_times and not self.other_starts:
            raise ValueError("other_times: clip and target have no room for other motion; lengthen the clip or set it to 0")
        if self.decoder_dim % self.decoder_heads:
            raise ValueError("decoder_dim must be a multiple of decoder_heads")
        return self


class Cmd(Method):
    """A clip network taught by a picture network (context) and by a motion network through a decoder (motion)."""

    Config = CmdConfig
    config: CmdConfig
    accumulates: ClassVar[bool] = False

    def __init__(self, config: CmdConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        if c.context_weight:
            self.context = build_encoder(c.context_encoder, 3, **c.context_encoder_arguments)
            self.clip_head, self.context_head = self._head(self.visual.dim), self._head(self.context.dim)
        if c.motion_weight:
            self.motion = build_encoder(c.motion_encoder, 2, **c.motion_encoder_arguments)
            read, written = _places(self.visual, c.frames, c.view.size), _places(self.motion, c.motion_frames, c.view.size)
            self.decoder = PlaceDecoder(
                self.visual.dim, read, written, c.decoder_dim, c.decoder_heads, c.decoder_hidden, c.decoder_layers
            )
            self.prediction_head, self.motion_head = self._head(c.decoder_dim), self._head(self.motion.dim)

    def _head(self, inputs: int) -> torch.nn.Sequential:
        return mlp([inputs, self.config.hidden, self.config.dim], batch_norm=True, last_batch_norm=True)

    def needs(self) -> Needs:
        """One RGB clip; key frames at some of its times; vectors from its first frame to the end of the target."""
        c = self.config
        streams = [StreamNeed(stream=Stream.RGB, frames=c.frames, stride=c.stride)]
        if c.context_weight:
            apart = max((c.clip_span - 1) // max(c.context_frames - 1, 1), 1)
            streams.append(StreamNeed(stream=Stream.KEYFRAMES, frames=c.context_frames, stride=apart))
        if c.motion_weight:
            streams.append(StreamNeed(stream=Stream.MOTION_VECTORS, frames=c.span, stride=1))
        return Needs(
            streams=tuple(streams), clips=1, times=Times(rule="anywhere"), frames_per_second=c.frames_per_second,
            short_side=c.short_side, fit=c.fit,
        )  # fmt: skip

    def key_frame_view(self, batch: Batch, at: Progress) -> Float[Tensor, "b 3 1 s s"]:
        """Draw one of the key frames, and a view of it that has nothing in common with the clip's."""
        draws = at.draws(batch, "context")
        drawn = (draws.uniform("time") * self.config.context_frames).long()
        return make_view(_at_times(batch.clip(Stream.KEYFRAMES, 0), drawn, 1), self.config.view, draws).frames

    def motion_views(self, batch: Batch, view: View, at: Progress) -> Float[Tensor, "b k 2 t s s"]:
        """Cut out the target as the clip's view was, and motion of other times each by a crop and flip of its own."""
        c = self.config
        clips = batch.clip(Stream.MOTION_VECTORS, 0)
        target = torch.full_like(batch.numbers, c.target)
        cut = [self._motion(_at_times(clips, target, c.motion_frames), view)]
        starts = torch.tensor(c.other_starts, device=target.device)
        for i in range(c.other_times):
            draws = at.draws(batch, f"other{i}").on_host()  # few numbers that steer the work, as views do
            box = draw_boxes(view.picture.cpu(), c.view.area, c.view.aspect, draws)
            own = replace(view, box=box.to(target.device), flipped=draws.chance("flip", c.view.flip).to(target.device))
            start = starts[(draws.uniform("start") * len(starts)).long().to(target.device)]
            cut.append(self._motion(_at_times(clips, start, c.motion_frames), own))
        return torch.stack(cut, 1)

    def _motion(self, clips: Clips, view: View) -> Float[Tensor, "b 2 t s s"]:
        c = self.config
        vectors = apply_geometry(clips, view, c.view.size, vectors=c.vectors_follow_view)
        return (vectors / c.motion_clamp).clamp(-1, 1)

    def context_pair(
        self, feature_map: Float[Tensor, "b d t h w"], batch: Batch, at: Progress
    ) -> tuple[Float[Tensor, "b d2"], Float[Tensor, "b d2"]]:
        """Project the clip, pooled, and the key frame."""
        clip = unit(self.clip_head(feature_map.mean((2, 3, 4))))
        return clip, unit(self.context_head(self.context.features(self.key_frame_view(batch, at))))

    def motion_pair(
        self, feature_map: Float[Tensor, "b d t h w"], batch: Batch, view: View, at: Progress
    ) -> tuple[Float[Tensor, "b s d2"], Float[Tensor, "b k s d2"]]:
        """Project each place of the predicted motion, and of the motion that came and of other times."""
        predicted = self.decoder(feature_map)
        motion = self.motion_views(batch, view, at)
        places = self.motion(motion.flatten(0, 1)).flatten(2).mT  # (b k) s d
        query = unit(self.prediction_head(predicted.flatten(0, 1)))
        keys = unit(self.motion_head(places.flatten(0, 1)))
        return query.unflatten(0, predicted.shape[:2]), keys.unflatten(0, (*motion.shape[:2], places.shape[1]))

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """L = w_c L_context + w_m L_motion (card, section 6), each from the clip to its target and not back."""
        c = self.config
        view = make_view(batch.clip(Stream.RGB, 0), c.view, at.draws(batch, "clip"))
        feature_map = self.visual(view.frames)
        losses, loss = {}, torch.zeros((), device=view.frames.device)
        if c.context_weight:
            clip, picture = self.context_pair(feature_map, batch, at)
            losses["context"] = place_contrast(clip[:, None], picture[:, None, None], c.temperature)
            loss = loss + c.context_weight * losses["context"]
        if c.motion_weight:
            query, keys = self.motion_pair(feature_map, batch, view, at)
            losses["motion"] = place_contrast(query, keys, c.temperature)
            loss = loss + c.motion_weight * losses["motion"]
        return {"loss": loss, **losses}

    def after_step(self, at: Progress) -> None:
        """Nothing follows the optimiser's step: there is no slow network and no queue."""

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Project clip and key frame; without context, what was predicted and what came, each the mean of its places."""
        view = make_view(batch.clip(Stream.RGB, 0), self.config.view, at.draws(batch, "clip"))
        feature_map = self.visual(view.frames)
        if self.config.context_weight:
            return torch.stack(self.context_pair(feature_map, batch, at), 1)
        query, keys = self.motion_pair(feature_map, batch, view, at)
        return torch.stack([unit(query.mean(1)), unit(keys[:, 0].mean(1))], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the clip network with its ordinary last map, as the paper goes on with it."""
        visual = ordinary(self.visual)
        return {"visual": (visual, EncoderCard.visual(visual, self.needs(), self.config.view, "cmd"))}


def _at_times(clips: Clips, start: Int[Tensor, "b"], many: int) -> Clips:
    """Take `many` neighbouring frames of each video, from a start of its own."""
    times = start[:, None] + torch.arange(many, device=start.device)
    videos = torch.arange(len(start), device=start.device)[:, None]
    frames = clips.frames[:, 0].transpose(1, 2)[videos, times]  # b t c h w
    return Clips(frames.transpose(1, 2)[:, None], clips.size)


@torch.no_grad()
def _places(encoder: Encoder, frames: int, size: int) -> int:
    """Count the places of an encoder's map of such clips."""
    shape = encoder.eval()(torch.zeros(1, encoder.channels, frames, size, size)).shape
    encoder.train()
    return prod(shape[2:])
