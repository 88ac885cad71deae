"""Colour jitter and grey as one 3x4 matrix for each clip: one pass over the pixels instead of one for each step.

Brightness, contrast and saturation are linear in the colours of a pixel once the mean of the clip is known, and that mean
goes through the same matrices. Hue is turned about the grey axis, which keeps the brightness (in YIQ, as television does it);
HSV, which `colour.adjust_hue` turns, is not linear. Colours are clamped to [0, 1] once, at the end.
"""

import math

import torch
from torch import Tensor

from reelvec.core.shapes import Bool, Float, Int
from reelvec.views.colour import LUMA

_TO_YIQ = torch.tensor([list(LUMA), [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], dtype=torch.float64)
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)


def colour_matrix(
    factors: Float[Tensor, "b 4"], order: Int[Tensor, "b 4"], grey: Bool[Tensor, "b"], mean: Float[Tensor, "b 3"]
) -> Float[Tensor, "b 3 4"]:
    """Compose jitter, step by step in each sample's own order, and grey; a colour x becomes m[:, :3] x + m[:, 3].

    `factors` are brightness, contrast, saturation, hue as `colour.jitter` takes them; `mean` is that of the clip's colours.
    """
    brightness, contrast, saturation, hue = (factors.double()[:, i, None, None] for i in range(4))
    luma = torch.tensor(LUMA, dtype=torch.float64)
    same, to_grey = torch.eye(3, dtype=torch.float64), luma.expand(3, 3)
    steps = torch.stack(
        [brightness * same, contrast * same, saturation * same + (1 - saturation) * to_grey, _turn(hue[:, 0, 0])], 1
    )  # b steps 3 3
    matrix, shift = same.expand(len(factors), 3, 3), torch.zeros(len(factors), 3, dtype=torch.float64)
    samples = torch.arange(len(factors))
    for place in range(order.shape[1]):
        step = order[:, place]
        anchor = ((matrix @ mean.double()[:, :, None])[:, :, 0] + shift) @ luma  # brightness of the clip as it is by now
        added = torch.where(step == 1, (1 - contrast[:, 0, 0]) * anchor, 0.0)
        chosen = steps[samples, step]
        matrix = chosen @ matrix
        shift = (chosen @ shift[:, :, None])[:, :, 0] + added[:, None]
    matrix = torch.where(grey[:, None, None], to_grey @ matrix, matrix)
    shift = torch.where(grey[:, None], (shift @ luma)[:, None], shift)
    return torch.cat([matrix, shift[:, :, None]], 2).float()


def apply_colour_matrix(frames: Float[Tensor, "b 3 t h w"], matrix: Float[Tensor, "b 3 4"]) -> None:
    """Map every pixel by its sample's matrix and clamp to [0, 1], in place."""
    flat = frames.flatten(2)
    with torch.autocast(frames.device.type, enabled=False):
        mapped = torch.baddbmm(matrix[:, :, 3:], matrix[:, :, :3], flat)
    frames.copy_(mapped.clamp_(0, 1).view(frames.shape))


def _turn(share: Float[Tensor, "b"]) -> Float[Tensor, "b 3 3"]:
    """Turn about the grey axis by a share of the circle, from red to green to blue as HSV counts."""
    cos, sin = (2 * math.pi * share).cos(), (2 * math.pi * share).sin()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    turn = torch.stack([one, zero, zero, zero, cos, sin, zero, -sin, cos], 1).view(-1, 3, 3)
    return _FROM_YIQ @ turn @ _TO_YIQ
