"""Clips whose object or background is taken away, by masks: what is left of a video when one of the two is another.

Object on stripes is SCUBA with sinusoidal stripes, and the same frozen is SCUFO (Li, Liu, Zhang & Li, "Mitigating and
Evaluating Static Bias of Action Representations in the Background and the Foreground", ICCV 2023); background only and action
swap are those of HAT (Chung, Wu & Russakovsky, "Enabling Detailed Action Recognition Evaluation Through Video Dataset
Augmentation", NeurIPS 2022).
"""

import math
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.draws import Draws
from reelvec.core.shapes import Bool, Float, Int
from reelvec.evals.changed_clips import ORDINARY, freeze

ON_STRIPES, FROZEN_ON_STRIPES = "object on stripes", "frozen object on stripes"
BACKGROUND_ONLY, SWAP = "background only", "action swap"
MASKED = (ORDINARY, ON_STRIPES, FROZEN_ON_STRIPES, BACKGROUND_ONLY, SWAP)
"""clips that a probe is asked about, in the order of the table"""

Fill = Literal["still", "frame"]
"""what stands where the object was: what the clip's other frames show there, for a camera that stands; or each frame filled
from around the hole, for one that moves"""

_FINEST, _COARSEST = 1 / 12, 1 / 3
"""wavelengths of stripes, in sides of the picture"""
_RIM = 1 / 32
"""of the side: width of the rim around an object that is taken for object too. Its colours run over its edge"""
_INPAINT_RADIUS = 3


def masked_variants(
    frames: Float[Tensor, "b 3 t s s"],
    masks: Bool[Tensor, "b t s s"],
    others: Float[Tensor, "b 3 t s s"],
    other_masks: Bool[Tensor, "b t s s"],
    numbers: Int[Tensor, "b"],
    *,
    seed: int = 0,
    fill: Fill = "still",
) -> dict[str, Float[Tensor, "b 3 t s s"]]:
    """Return the clips of `MASKED`. Objects of `frames` are put on `others`, without theirs; `numbers` draw the stripes."""
    striped = put_on(frames, masks, stripes(numbers, seed, frames.shape[-1]).to(frames))
    return {
        ORDINARY: frames,
        ON_STRIPES: striped,
        FROZEN_ON_STRIPES: freeze(striped, numbers),
        BACKGROUND_ONLY: without_object(frames, masks, fill),
        SWAP: put_on(frames, masks, without_object(others, other_masks, fill)),
    }


def put_on(
    frames: Float[Tensor, "b 3 t s s"], masks: Bool[Tensor, "b t s s"], background: Float[Tensor, "b 3 #t s s"]
) -> Float[Tensor, "b 3 t s s"]:
    """Show what is masked, where it was and when, and the background everywhere else."""
    return torch.where(masks[:, None], frames, background)


def stripes(numbers: Int[Tensor, "b"], seed: int, size: int) -> Float[Tensor, "b 3 1 size size"]:
    """Draw one still picture of sinusoidal stripes a number: direction, wavelength, phase and two colours.

    The colours lie half of the range apart in every channel, so that stripes are always to be seen.
    """
    draws = Draws(seed, numbers, "diagnose/stripes")
    angle = draws.uniform("angle", high=math.pi)[:, None, None]
    wavelength = _FINEST * (_COARSEST / _FINEST) ** draws.uniform("wavelength")[:, None, None]
    phase = draws.uniform("phase")[:, None, None]
    place = (torch.arange(size, device=numbers.device) + 0.5) / size
    across = place * angle.cos() + place[:, None] * angle.sin()
    wave = 0.5 + 0.5 * torch.sin(2 * math.pi * (across / wavelength + phase))
    first = draws.uniform("colour", many=3)[:, :, None, None]
    second = (first + 0.5) % 1
    return (first + (second - first) * wave[:, None])[:, :, None]


def without_object(
    frames: Float[Tensor, "b 3 t s s"], masks: Bool[Tensor, "b t s s"], fill: Fill = "still"
) -> Float[Tensor, "b 3 t s s"]:
    """Fill the place of the object, and a rim around it; all other pixels stay as they are.

    "still": by the median of those frames of the clip in which a pixel is not masked; pixels that always are, from around them
    (Telea 2004, cv2.inpaint, in 8 bits). "frame": every frame from around its own holes. One that is all hole becomes grey.
    """
    holes = grow(masks, max(1, round(_RIM * frames.shape[-1])))
    if fill == "still":
        seen = torch.where(holes[:, None], torch.nan, frames)
        filled = seen.nanmedian(2, keepdim=True).values
        never = holes.all(1, keepdim=True)
    else:
        filled, never = frames, holes
    filled = torch.stack([_inpainted(clip, hole) for clip, hole in zip(filled, never, strict=True)])
    return torch.where(holes[:, None], filled, frames)


def grow(masks: Bool[Tensor, "b t s s"], pixels: int) -> Bool[Tensor, "b t s s"]:
    """Add a rim of that many pixels to the masks, in squares."""
    return F.max_pool2d(masks.float(), 2 * pixels + 1, stride=1, padding=pixels) > 0


def _inpainted(clip: Float[Tensor, "3 t s s"], holes: Bool[Tensor, "t s s"]) -> Float[Tensor, "3 t s s"]:
    filled = clip.clone()
    for t, hole in enumerate(holes):
        if hole.all():
            filled[:, t] = 0.5
        elif hole.any():
            known = (255 * torch.where(hole, 0, clip[:, t])).round().clamp(0, 255)
            pixels = np.ascontiguousarray(known.byte().permute(1, 2, 0).cpu().numpy())
            inpainted = cv2.inpaint(pixels, hole.byte().cpu().numpy(), _INPAINT_RADIUS, cv2.INPAINT_TELEA)
            filled[:, t] = torch.where(hole, torch.from_numpy(inpainted).to(clip).permute(2, 0, 1) / 255, clip[:, t])
    return filled
