"""What is done to clips to learn from, beside the crop: RandAugment before it, random erasing after it, alike in all frames.

RandAugment (arXiv 1909.13719) as VideoMAE has it from timm, `rand-m7-n4-mstd0.5-inc1` (eval_protocols, a1): the fifteen
operations of the increasing kind, drawn with replacement. torchvision computes them, on uint8. Differences: pictures are
resampled bilinearly (VideoMAE: bicubically), and what comes in at a side fades into its grey over one pixel, as torchvision
has it. Contrast, auto-contrast and equalisation look at each frame by itself, there as here.
"""

import math
from collections.abc import Callable
from typing import Annotated

import torch
import torchvision.transforms.v2.functional as TF
from pydantic import Field
from torch import Tensor
from torchvision.transforms import InterpolationMode

from reelvec.core import Clips, Config, Draws
from reelvec.core.shapes import Float, Shaped

Frames = Shaped[Tensor, "t 3 h w"]
"""uint8"""

_HIGHEST = 10.0
"""magnitude at which an operation is strongest"""
_GREY = [128.0, 128.0, 128.0]
"""what comes in from outside the picture"""
_CANDIDATES = 10
"""boxes that are tried; where none fits nothing is erased"""
_ERASED_AREA, _ERASED_ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)
"""share of the picture, and height / width (arXiv 1708.04896, as timm has it)"""


class Augment(Config):
    """Random operations on whole pictures of three colours, and a random box of noise."""

    operations: int = Field(default=0, ge=0)
    """of RandAugment that a clip draws; 0: off"""
    probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    """that an operation that was drawn is carried out"""
    magnitude: float = Field(default=7.0, ge=0, le=_HIGHEST)
    """of operations, 0 to 10"""
    spread: float = Field(default=0.5, ge=0)
    """standard deviation of the magnitude; it stays within 0 to 10"""
    erasing: Annotated[float, Field(ge=0, le=1)] = 0.0
    """probability that a box of a clip becomes noise"""

    @property
    def in_words(self) -> str:
        """For the protocol; empty where nothing is done."""
        drawn = (
            f"RandAugment on RGB (magnitude {self.magnitude:g} +- {self.spread:g} of 10, {self.operations} of "
            f"{len(OPERATIONS)} operations, each carried out with probability {self.probability:g})"
        )
        return ", ".join(
            word for word, used in ((drawn, self.operations), (f"random erasing {self.erasing:g}", self.erasing)) if used
        )

    def drawn(self, draws: Draws) -> list[list[tuple[str, float]]]:
        """Draw the operations of each sample, in order, and how strong they are: -1 to 1, the sign being the direction."""
        many = self.operations
        if not many:
            return [[] for _ in draws.numbers]
        names = list(OPERATIONS)
        which = (draws.uniform("operation", many=many) * len(names)).int()
        magnitude = (self.magnitude + self.spread * draws.normal("magnitude", many)).clamp(0, _HIGHEST)
        strength = magnitude / _HIGHEST * torch.where(draws.uniform("direction", many=many) < 0.5, -1, 1)
        happens = draws.uniform("happens", many=many) < self.probability
        return [
            [(names[i], value) for i, value, is_done in zip(*row, strict=True) if is_done]
            for row in zip(which.tolist(), strength.tolist(), happens.tolist(), strict=True)
        ]

    def pictures(self, clips: Clips, draws: Draws) -> Clips:
        """Carry out the operations of each sample on its picture (n = 1; uint8, three colours)."""
        if not self.operations:
            return clips
        frames = clips.frames.clone()
        for clip, (height, width), steps in zip(frames[:, 0], clips.size.tolist(), self.drawn(draws), strict=True):
            picture = clip[:, :, :height, :width].transpose(0, 1)
            changed = picture
            for name, strength in steps:
                changed = OPERATIONS[name](changed, strength)
            picture.copy_(changed)
        return Clips(frames, clips.size)

    def erased(self, views: Float[Tensor, "b c t h w"], draws: Draws) -> Float[Tensor, "b c t h w"]:
        """Put normal noise, new in every frame, into a box of some samples; views are normalised, and overwritten."""
        if not self.erasing:
            return views
        height, width = views.shape[-2:]
        pixels = height * width * draws.uniform("area", *_ERASED_AREA, many=_CANDIDATES)
        low, high = (math.log(limit) for limit in _ERASED_ASPECT)
        aspect = draws.uniform("aspect", low, high, many=_CANDIDATES).exp()
        tall, wide = (pixels * aspect).sqrt().round(), (pixels / aspect).sqrt().round()
        fits = (tall < height) & (wide < width) & (tall > 0) & (wide > 0)
        happens = draws.chance("erased", self.erasing) & fits.any(1)
        first = fits.int().argmax(1)
        top, left = draws.uniform("top"), draws.uniform("left")
        for i in happens.nonzero()[:, 0].tolist():
            h, w = int(tall[i, first[i]]), int(wide[i, first[i]])
            y, x = int(top[i] * (height - h + 1)), int(left[i] * (width - w + 1))
            box = views[i, :, :, y : y + h, x : x + w]
            # on the device of the clips: the noise is as large as they are
            own = Draws(draws.seed, draws.numbers[i : i + 1].to(views.device), draws.scope)
            box.copy_(own.normal("noise", box.numel()).view(box.shape))
        return views


PAPERS = Augment(operations=4, erasing=0.25)
"""of VideoMAE's fine-tuning, and of V-JEPA 2's probes (eval_protocols, a1 and j)"""


def _affine(frames: Frames, shift: tuple[float, float] = (0.0, 0.0), shear: tuple[float, float] = (0.0, 0.0)) -> Frames:
    """Read each pixel from (x + shear x * y + shift x, y + shear y * x + shift y)."""
    return TF.affine(
        frames, angle=0.0, translate=[-shift[0], -shift[1]], scale=1.0, center=[0.0, 0.0], fill=_GREY,
        shear=[math.degrees(math.atan(slope)) for slope in shear], interpolation=InterpolationMode.BILINEAR,
    )  # fmt: skip


def _rotate(frames: Frames, strength: float) -> Frames:
    return TF.rotate(frames, 30 * strength, interpolation=InterpolationMode.BILINEAR, fill=_GREY)


def _posterise(frames: Frames, strength: float) -> Frames:
    return TF.posterize(frames, max(1, 4 - int(4 * abs(strength))))


def _solarise(frames: Frames, strength: float) -> Frames:
    threshold = 256 - int(256 * abs(strength))
    return TF.solarize(frames, threshold) if threshold < 256 else frames


def _solarise_add(frames: Frames, strength: float) -> Frames:
    """Lighten what is dark; torchvision has no such operation."""
    lighter = frames + int(110 * abs(strength))  # 127 + 110 stays below 256
    return torch.where(frames < 128, lighter, frames)


def _factor(strength: float) -> float:
    return 1 + 0.9 * strength


OPERATIONS: dict[str, Callable[[Frames, float], Frames]] = {
    "AutoContrast": lambda frames, _: TF.autocontrast(frames),
    "Equalize": lambda frames, _: TF.equalize(frames),
    "Invert": lambda frames, _: TF.invert(frames),
    "Rotate": _rotate,
    "PosterizeIncreasing": _posterise,
    "SolarizeIncreasing": _solarise,
    "SolarizeAdd": _solarise_add,
    "ColorIncreasing": lambda frames, strength: TF.adjust_saturation(frames, _factor(strength)),
    "ContrastIncreasing": lambda frames, strength: TF.adjust_contrast(frames, _factor(strength)),
    "BrightnessIncreasing": lambda frames, strength: TF.adjust_brightness(frames, _factor(strength)),
    "SharpnessIncreasing": lambda frames, strength: TF.adjust_sharpness(frames, _factor(strength)),
    "ShearX": lambda frames, strength: _affine(frames, shear=(0.3 * strength, 0.0)),
    "ShearY": lambda frames, strength: _affine(frames, shear=(0.0, 0.3 * strength)),
    "TranslateXRel": lambda frames, strength: _affine(frames, shift=(0.45 * strength * frames.shape[-1], 0.0)),
    "TranslateYRel": lambda frames, strength: _affine(frames, shift=(0.0, 0.45 * strength * frames.shape[-2])),
}
"""under timm's names; uint8 frames and a strength of -1 to 1 -> frames"""
