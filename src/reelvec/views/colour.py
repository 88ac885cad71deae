"""Colour: batched operations on clips in [0, 1] with a factor for each sample, the same for all frames of a clip.

At equal factors they equal torchvision's `v2.functional` on the frames of a clip stacked to one tall picture. That
matters for contrast alone, whose anchor is the mean of the whole clip: an anchor for each frame would flicker with its
content.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from reelvec.core.shapes import Float, Int

LUMA = (0.2989, 0.587, 0.114)
"""weights of red, green and blue in brightness, as torchvision takes them"""


def _each(factor: Float[Tensor, "b"]) -> Float[Tensor, "b 1 1 1 1"]:
    return factor[:, None, None, None, None]


def luma(frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 1 t h w"]:
    """Brightness as ITU-R BT.601 weighs the colours."""
    red, green, blue = frames.split(1, 1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def adjust_brightness(frames: Float[Tensor, "b c t h w"], factor: Float[Tensor, "b"]) -> Float[Tensor, "b c t h w"]:
    """Multiply by the factor."""
    return (frames * _each(factor)).clamp_(0, 1)


def adjust_contrast(frames: Float[Tensor, "b 3 t h w"], factor: Float[Tensor, "b"]) -> Float[Tensor, "b 3 t h w"]:
    """Move away from (factor > 1) or towards the mean brightness of the clip."""
    anchor = luma(frames).mean((1, 2, 3, 4))
    return (frames * _each(factor)).add_(_each((1 - factor) * anchor)).clamp_(0, 1)


def adjust_saturation(frames: Float[Tensor, "b 3 t h w"], factor: Float[Tensor, "b"]) -> Float[Tensor, "b 3 t h w"]:
    """Move away from (factor > 1) or towards the grey picture."""
    return (frames * _each(factor)).add_(luma(frames).mul_(_each(1 - factor))).clamp_(0, 1)


def adjust_hue(frames: Float[Tensor, "b 3 t h w"], turn: Float[Tensor, "b"]) -> Float[Tensor, "b 3 t h w"]:
    """Turn the hue by a share of the circle, in [-0.5, 0.5]; value and saturation of HSV stay.

    With hue H in sixths of the circle, minimum m and chroma C = maximum - m of a pixel: red is m + C clamp(|H-3| - 1),
    green m + C clamp(2 - |H-2|), blue m + C clamp(2 - |H-4|), so neither value nor saturation is ever computed.
    """
    red, green, blue = frames.unbind(1)
    most = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    chroma = most - least
    # hue times chroma, counted from the leading colour; lerp by 0 or 1 chooses, and is faster than `where` on a CPU
    sixth = torch.lerp((red - green).add_(chroma, alpha=4), (blue - red).add_(chroma, alpha=2), (most == green).float())
    sixth = torch.lerp(sixth, green - blue, (most == red).float())
    sixth.div_(chroma.clamp(min=1e-12)).add_(6 * turn[:, None, None, None])  # a grey pixel has no hue: 0 / tiny
    sixth.sub_((sixth / 6).floor_().mul_(6))
    out = torch.empty_like(frames)
    out[:, 0] = (sixth - 3).abs_().sub_(1).clamp_(0, 1).mul_(chroma).add_(least)
    out[:, 1] = (sixth - 2).abs_().neg_().add_(2).clamp_(0, 1).mul_(chroma).add_(least)
    out[:, 2] = (sixth - 4).abs_().neg_().add_(2).clamp_(0, 1).mul_(chroma).add_(least)
    return out


def to_grey(frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 t h w"]:
    """Write the brightness into all three channels."""
    return luma(frames).expand_as(frames)


def solarise(frames: Float[Tensor, "b c t h w"], threshold: float) -> Float[Tensor, "b c t h w"]:
    """Invert what is at or above the threshold."""
    return torch.where(frames >= threshold, 1 - frames, frames)


JITTERS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    adjust_hue,
)
"""the parts of colour jitter; columns of `factors` and numbers in `order`"""
NEUTRAL = (1.0, 1.0, 1.0, 0.0)
"""factors that change nothing"""


def jitter(
    frames: Float[Tensor, "b c t h w"], factors: Float[Tensor, "b 4"], order: Int[Tensor, "b 4"]
) -> Float[Tensor, "b c t h w"]:
    """Adjust brightness, contrast, saturation and hue of each sample in its own order, clamping to [0, 1] after each.

    `frames` is overwritten. Neutral factors cost nothing.
    """
    orders, active = order.tolist(), (factors.cpu() != torch.tensor(NEUTRAL)).tolist()
    for position in range(len(JITTERS)):
        for step, adjust in enumerate(JITTERS):
            rows = [i for i, steps in enumerate(orders) if steps[position] == step and active[i][step]]
            if rows:
                frames[rows] = adjust(frames[rows], factors[rows, step].to(frames.device))
    return frames
