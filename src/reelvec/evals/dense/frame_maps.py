"""One feature map for every frame of a folder, from networks that read clips; a window at a time, never the whole video."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import Encoder, EncoderCard, ReelvecError, Stream
from reelvec.core.shapes import Float, UInt8
from reelvec.evals.dense.frame_folders import FrameSequence
from reelvec.views import normalise

Clips = Literal["windows", "repeated"]
"""what a network that reads clips is shown of folders of frames"""

_CLIPS_IN_WORDS = {
    "windows": "windows of {frames} frames that follow one another, {filled} after the last frame; maps interpolated in time "
    "to one a frame",
    "repeated": "each frame alone, shown {frames} times; the mean of its maps over time",
}


@dataclass(frozen=True)
class FrameMaps:
    """Turns frames into maps by one encoder, in evaluation mode."""

    encoder: Encoder
    card: EncoderCard
    device: torch.device
    clips: Clips = "windows"
    filled: Literal["zeros", "copies of it"] = "zeros"
    """what follows the last frame in its window: zeros, as in the evaluation of RVM and 4DS, are a change that networks see"""

    def __post_init__(self) -> None:
        self.encoder.to(self.device).eval().requires_grad_(False)

    @property
    def in_words(self) -> str:
        """What the network is shown, for a protocol."""
        frames = self.card.needs.streams[0].frames
        return "each frame alone" if frames == 1 else _CLIPS_IN_WORDS[self.clips].format(frames=frames, filled=self.filled)

    def of(self, sequence: FrameSequence, size: tuple[int, int]) -> Iterator[Float[Tensor, "d h w"]]:
        """Yield the map of each frame in order; frames are resized to `size`, height and width.

        No more than one window of frames and maps is held. Raises ReelvecError where the network cannot read that size.
        """
        frames = self.card.needs.streams[0].frames
        many = 1 if self.clips == "repeated" else frames
        for start in range(0, len(sequence), many):
            numbers = range(start, min(start + many, len(sequence)))
            clip = torch.stack([shown(sequence.frame(number), size).to(self.device) for number in numbers], 1)[
                None
            ]  # (1 c t h w)
            clip = normalise(clip, self.card.mean, self.card.std)
            if many == 1:
                clip = clip.expand(-1, -1, frames, -1, -1)
            elif missing := frames - len(numbers):
                last = clip[:, :, -1:].expand(-1, -1, missing, -1, -1)
                clip = torch.cat([clip, torch.zeros_like(last) if self.filled == "zeros" else last], 2)
            maps = self._maps(clip)
            if many == 1:
                maps = maps.mean(2, keepdim=True)
            elif maps.shape[2] != frames:
                maps = F.interpolate(maps, (frames, *maps.shape[3:]), mode="trilinear", align_corners=False)
            for i in range(len(numbers)):
                yield maps[0, :, i]

    def _maps(self, clip: Float[Tensor, "1 c t h w"]) -> Float[Tensor, "1 d t2 h2 w2"]:
        asked = f"maps of frames of {clip.shape[3]} x {clip.shape[4]} pixels by {self.card.architecture}"
        try:
            with torch.inference_mode():
                maps = self.encoder(clip)
        except torch.OutOfMemoryError as error:
            raise ReelvecError(asked, "not enough memory on the device", "give a smaller size, or device=cpu") from error
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ReelvecError(
                asked,
                f"a network that cannot read them: {' '.join(str(error).split())[:200]}",
                f"give the size it was trained on: size={self.card.size},{self.card.size}",
            ) from error
        if not maps.isfinite().all():
            raise ReelvecError(
                f"maps of frames by {self.card.name} ({self.card.architecture})",
                "features that are not finite",
                "use the encoder of an earlier step: this one's weights have diverged",
            )
        return maps


def pixel_maps(
    sequence: FrameSequence, size: tuple[int, int], map_size: tuple[int, int], card: EncoderCard
) -> Iterator[Float[Tensor, "48 h w"]]:
    """Yield what no network is needed for: the colours of 4 x 4 parts of every cell, normalised as the card says."""
    for number in range(len(sequence)):
        picture = shown(sequence.frame(number), size)[None, :, None]
        picture = normalise(picture, card.mean, card.std)[:, :, 0]
        parts = F.adaptive_avg_pool2d(picture, (4 * map_size[0], 4 * map_size[1]))
        yield F.pixel_unshuffle(parts, 4)[0]


def shown(frame: UInt8[np.ndarray, "h0 w0 3"], size: tuple[int, int]) -> Float[Tensor, "3 h w"]:
    """Scale a frame to [0, 1] and resize it with the filter of the views that networks are trained on."""
    picture = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
    if picture.shape[2:] != size:
        picture = F.interpolate(picture, size, mode="bilinear", antialias=True, align_corners=False)
    return picture[0]


def refuse_motion(card: EncoderCard, asked: str) -> None:
    """Raise ReelvecError for an encoder that does not read RGB: its maps would be of motion, not of what is seen."""
    stream = card.needs.streams[0].stream
    if stream is not Stream.RGB:
        raise ReelvecError(
            f"{asked} with the encoder '{card.name}'",
            f"an encoder that reads {stream}, where pictures are shown",
            "name an encoder of RGB: encoder=visual",
        )
