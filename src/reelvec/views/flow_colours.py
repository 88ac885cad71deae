"""Flow as colours: direction is hue, speed is saturation."""

import torch
from torch import Tensor

from reelvec.core.shapes import Float


def flow_colours(flow: Float[Tensor, "b 2 t h w"]) -> Float[Tensor, "b 3 t h w"]:
    """Colour a flow whose length is at most about 1: white stands still, a full colour moves at length 1.

    Mirror a flow before it is coloured, never after: a mirrored picture of colours still tells the old direction.
    """
    u, v = flow[:, 0], flow[:, 1]
    speed = (u.square() + v.square()).sqrt().clamp(max=1)
    turn = torch.atan2(v, u) / (2 * torch.pi)  # share of the circle
    channels = []
    for offset in (0.0, 1 / 3, 2 / 3):
        # a triangle wave over the circle: 1 at the channel's own hue, 0 on the far third
        pure = (2 - 6 * ((turn - offset + 0.5) % 1 - 0.5).abs()).clamp(0, 1)
        channels.append(1 - speed * (1 - pure))
    return torch.stack(channels, 1)
