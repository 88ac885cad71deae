"""Clips with their frames shuffled, reversed, frozen or dropped: what is left of a video when its motion is spoilt."""

import torch
from torch import Tensor

from reelvec.core import EncoderCard, Stream
from reelvec.core.draws import Draws
from reelvec.core.shapes import Float, Int
from reelvec.engine.extract import Change

ORDINARY, FROZEN, SCENE_ONLY = "ordinary", "frozen", "scene only"
CHANGED = ("shuffled", "reversed", FROZEN, "dropped")
"""ways to change clips, in the order of the table"""
VARIANTS = (ORDINARY, *CHANGED, SCENE_ONLY)
"""columns of the table: `scene only` is a probe of its own, fitted and tested on frozen clips"""

_PICTURES = (Stream.RGB, Stream.KEYFRAMES)
_VECTORS = (Stream.FLOW, Stream.MOTION_VECTORS)


def changes_for(card: EncoderCard, seed: int) -> tuple[dict[str, Change], dict[str, str]]:
    """Return the changes that make sense for what an encoder reads, and variant -> reason for those that do not.

    Maps of motion are changed as they are, not computed anew from changed frames. A still video has none, so frozen ones are
    zeros, and a probe fitted on them would be fitted on nothing.
    """
    need = card.needs.streams[0]
    is_picture, is_vectors = need.stream in _PICTURES, need.stream in _VECTORS

    def shuffled(frames: Tensor, numbers: Tensor) -> Tensor:
        return shuffle(frames, numbers, seed)

    changes: dict[str, Change] = {
        "shuffled": shuffled,
        "reversed": backwards_vectors if is_vectors else backwards,
        FROZEN: freeze if is_picture else no_motion,
        "dropped": drop,
    }
    left_out = {}
    if not is_picture:
        words = need.stream.value.replace("_", " ")
        left_out[SCENE_ONLY] = f"it reads {words}: of a still video nothing is there to fit a probe on"
    if need.frames == 1:
        same = (*CHANGED, SCENE_ONLY) if is_picture else ("shuffled", "dropped", *(() if is_vectors else ("reversed",)))
        left_out |= dict.fromkeys(same, "it reads one frame: there is no order to change")
    return {name: change for name, change in changes.items() if name not in left_out}, left_out


def shuffle(frames: Float[Tensor, "b c t s s"], numbers: Int[Tensor, "b"], seed: int) -> Float[Tensor, "b c t s s"]:
    """Put the frames of each clip in an order drawn by (seed, its number), never the one they had."""
    time = frames.shape[2]
    order = Draws(seed, numbers, "diagnose/shuffled").order("frames", time)
    as_it_was = torch.arange(time, device=order.device)
    order = torch.where((order == as_it_was).all(1, keepdim=True), as_it_was.roll(1), order)
    return frames.gather(2, order.to(frames.device)[:, None, :, None, None].expand_as(frames))


def backwards(frames: Float[Tensor, "b c t s s"], numbers: Int[Tensor, "b"]) -> Float[Tensor, "b c t s s"]:
    """Play pictures, or the edges of a motion, from the last to the first: edges have no direction to turn."""
    return frames.flip(2)


def backwards_vectors(frames: Float[Tensor, "b 2 t s s"], numbers: Int[Tensor, "b"]) -> Float[Tensor, "b 2 t s s"]:
    """Play motion backwards: the last map first, every vector turned round."""
    return -frames.flip(2)


def freeze(frames: Float[Tensor, "b c t s s"], numbers: Int[Tensor, "b"]) -> Float[Tensor, "b c t s s"]:
    """Show the middle frame all the time: the scene without any motion."""
    middle = frames.shape[2] // 2
    return frames[:, :, middle : middle + 1].expand_as(frames)


def no_motion(frames: Float[Tensor, "b c t s s"], numbers: Int[Tensor, "b"]) -> Float[Tensor, "b c t s s"]:
    """Show the motion of a still video."""
    return torch.zeros_like(frames)


def drop(frames: Float[Tensor, "b c t s s"], numbers: Int[Tensor, "b"]) -> Float[Tensor, "b c t s s"]:
    """Show every frame with an odd number (from 0) as the one before it."""
    before = torch.arange(frames.shape[2], device=frames.device) // 2 * 2
    return frames[:, :, before]
