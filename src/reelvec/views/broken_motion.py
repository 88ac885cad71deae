"""Clips whose picture stays and whose motion breaks: the negatives of methods that must not recognise the scene."""

import torch
from torch import Tensor

from reelvec.core.draws import Draws
from reelvec.core.shapes import Float
from reelvec.core.spans import counted_as
from reelvec.views.warp import resample, still_grid

_SMALLEST_FACTOR = 0.01
"""DSM's released code never lets the flow be multiplied by nothing"""


@counted_as("views")
def warp_by_flow(
    frames: Float[Tensor, "b c t s s"], flow: Float[Tensor, "b 2 t s s"], factor: float, reach: float, draws: Draws
) -> Float[Tensor, "b c t s s"]:
    """Move what moves in each frame by its own flow (u right, v down, in pixels) times U(0.01, factor), drawn anew each frame.

    What stands still stays; what moves jumps to and fro along its path. No pixel reads from farther than `reach` pixels along
    an axis: large flow times a large factor would leave nothing of the picture.
    """
    batch, _, time, size, _ = frames.shape
    factors = draws.uniform("flow", _SMALLEST_FACTOR, factor, many=time)[:, None, :, None, None]
    offset = (flow * factors).clamp(-reach, reach) * (2 / size)  # edge to edge is 2
    grid = still_grid(size, frames.device) + offset.permute(0, 2, 3, 4, 1).flatten(0, 1)  # (bt, s, s, 2)
    each = resample(frames.transpose(1, 2).flatten(0, 1)[:, :, None], grid)  # every frame a clip of its own
    return each[:, :, 0].unflatten(0, (batch, time)).transpose(1, 2)


def shuffle_frames(frames: Float[Tensor, "b c t h w"], draws: Draws) -> Float[Tensor, "b c t h w"]:
    """Put the frames of each clip in a random order."""
    order = draws.order("shuffle", frames.shape[2])
    return torch.take_along_dim(frames, order[:, None, :, None, None], 2)
