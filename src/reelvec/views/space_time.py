"""Space and time on one sampling grid: a clip is read along bent axes, and how they are bent is known.

The clip is a volume. A point (x', y') in [-1, 1] of the view's square and t' in [0, 1] of its length reads the volume at

    projection in space   (x, y) = (x', y') / (1 + h x' + v y')      things grow towards one side
    scale in space        (x / a, y / b)                             things get wider or taller
    projection in time    t = (1 + c) t' / (1 + c t')                fast first, then slow (c > 0), or the other way round
    scale in time         frame = first + t (frames - 1) interval    things move faster

(section 4 of the card's reconstruction of V3S, arXiv 2107.03578). Nothing but the content may tell which transformation was
used. So every sample leaves the same margin, takes its place by the same draws and is equally blurred everywhere: where the
grid stretches pixels, interpolation has blurred them already, and a Gaussian adds what is missing to the most stretched place
of all transformations. A mirror stands before the grid: it does not swap the sides towards which things grow.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from reelvec.core.batch import Clips
from reelvec.core.config import Config
from reelvec.core.draws import Draws
from reelvec.core.errors import ReelvecError
from reelvec.core.shapes import Float, Int, Shaped
from reelvec.core.spans import counted_as
from reelvec.views.geometry import sample_groups
from reelvec.views.view import Probability, ViewConfig, draw_colours, normalise, recolour

_HALF_PIXEL = 0.5
"""outside the outermost pixels' centres there is nothing to interpolate with"""


class SpaceTimeConfig(Config):
    """A view along bent axes: mirror, place, colours, normalisation. Which bends there are, is the method's."""

    size: Annotated[int, Field(gt=0)]
    """side of the square, in pixels"""
    crop: Annotated[float, Field(gt=0, le=1)] = 0.875
    """side of what a view may read, as a share of the picture's short side: the rest is room for its place"""
    flip: Probability = 0.5
    """probability of mirroring left and right"""
    equal_blur: bool = True
    """blur every transformation like the one that blurs most; without it, blur tells the transformation"""
    jitter: Probability = 0.0
    """probability of colour jitter; the next four are its strengths"""
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)

    def colours(self) -> ViewConfig:
        """Return the part of the settings that is about colours."""
        strengths = {name: getattr(self, name) for name in ("jitter", "brightness", "contrast", "saturation", "hue")}
        return ViewConfig(size=self.size, **strengths)


class Limits(Config):
    """The strongest bends that any sample of a run may get: they set margin and blur for all of them."""

    stretch: Annotated[float, Field(ge=1)] = 1.0
    """largest a or b; none is below 1"""
    tilt: Annotated[float, Field(ge=0)] = 0.0
    """largest |h| + |v|"""

    @model_validator(mode="after")
    def _finite(self) -> "Limits":
        if self.tilt > 0.9:
            raise ValueError("tilt: |h| + |v| at most 0.9; at 1 the grid reads at infinity")
        return self

    @property
    def reach(self) -> float:
        """Largest |x| or |y| that is read."""
        return 1 / (1 - self.tilt)


@dataclass(frozen=True)
class Bends:
    """How the axes of each sample are bent."""

    stretch: Float[Tensor, "b 2"]
    """a, b: how much wider and taller things look; 1 or more"""
    tilt: Float[Tensor, "b 2"]
    """h, v: things grow towards the right (h > 0) or the left, the bottom (v > 0) or the top"""
    interval: Int[Tensor, "b"]
    """mean distance of two frames of the view, in frames of the clip"""
    clock: Float[Tensor, "b"]
    """c, above -1: time runs 1 + c times as fast at the beginning, 1 / (1 + c) times at the end"""
    backwards: Shaped[Tensor, "b"]
    """bool: whether the clip is played from its end"""


def clock(share: Float[Tensor, "*any"], c: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Map the share of a view's length that has passed to the share of its span in the clip."""
    return (1 + c) * share / (1 + c * share)


def frame_numbers(bends: Bends, frames: int, there: int, draws: Draws) -> Int[Tensor, "b frames"]:
    """Say which frames of a clip of `there` frames each view shows: nearest frames, none is blended; the first is drawn.

    ReelvecError where the largest interval needs more frames than there are.
    """
    span = (frames - 1) * bends.interval
    if int(span.max()) >= there:
        raise ReelvecError(
            f"{frames} frames at an interval of {int(bends.interval.max())}",
            f"clips of {there} frames",
            f"read clips of {int(span.max()) + 1} frames or lower the interval",
        )
    first = (draws.uniform("first") * (there - span)).floor()
    share = torch.arange(frames) / max(frames - 1, 1)
    share = torch.where(bends.backwards[:, None], 1 - share, share)
    passed = clock(share, bends.clock[:, None].expand_as(share))
    return (first[:, None] + passed * span[:, None]).round().long()


def space_grid(bends: Bends, size: int) -> tuple[Float[Tensor, "b s s 2"], Float[Tensor, "b s s 2"]]:
    """Return where each pixel of a view reads (x, y), in half sides of the square without bends, and its magnification.

    The magnification says along x and along y how much larger things are shown there than without bends. What a
    projection shears is not in it.
    """
    line = (torch.arange(size) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    h, v = bends.tilt[:, 0, None, None], bends.tilt[:, 1, None, None]
    depth = 1 + h * x + v * y
    reads = torch.stack([x / depth, y / depth], -1) / bends.stretch[:, None, None]
    grows = torch.stack([depth.square() / (1 + v * y), depth.square() / (1 + h * x)], -1) * bends.stretch[:, None, None]
    return reads, grows


@counted_as("views")
def space_time_view(
    clips: Clips, bends: Bends, limits: Limits, frames: int, settings: SpaceTimeConfig, draws: Draws
) -> Float[Tensor, "b 3 frames s s"]:
    """Read one view of `frames` frames from each clip (n = 1; uint8) along bent axes; normalised, without gradient.

    All frames of a view share one grid: a grid for each frame would be a motion. `draws` and `bends` are on the CPU. They
    steer the work, and one wait for the device is better than many.
    """
    numbers = frame_numbers(bends, frames, clips.frames.shape[3], draws)
    reads, grows = space_grid(bends, settings.size)
    picture = clips.size.cpu().float()  # height and width
    half = settings.crop * (picture.amin(1) / 2 - _HALF_PIXEL) / limits.reach  # pixels; the same for every bend
    room = picture.flip(1) - 2 * (half[:, None] * limits.reach + _HALF_PIXEL)
    place = half[:, None] * limits.reach + _HALF_PIXEL + room * draws.uniform("place", many=2)
    mirrored = torch.where(draws.chance("flip", settings.flip), -1.0, 1.0)
    sides = torch.stack([mirrored, torch.ones_like(mirrored)], 1)
    pixels = place[:, None, None] + reads * (half[:, None] * sides)[:, None, None]  # b s s 2
    sigma = _missing_blur(grows, half, limits, settings.size)
    colours, device = draw_colours(settings.colours(), draws), clips.frames.device
    height, width = clips.frames.shape[-2:]
    grid = (pixels * 2 / torch.tensor([width, height]) - 1).to(device)
    out = torch.empty((len(grid), 3, frames, settings.size, settings.size), device=device)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        for group in sample_groups(out):
            rows = torch.arange(len(grid))[group]
            shown = clips.frames[rows[:, None].to(device), 0, :, numbers[group].to(device)]  # g t c h w
            flat = shown.transpose(1, 2).flatten(1, 2).float() / 255  # g ct h w
            read = F.grid_sample(flat, grid[group], align_corners=False, padding_mode="border")
            if settings.equal_blur:
                read = blur_by_place(read, sigma[group].to(device))
            out[group] = read.unflatten(1, (3, frames))
        recolour(out, colours, settings.colours())
        return normalise(out, settings.mean, settings.std)


def _missing_blur(
    grows: Float[Tensor, "b s s 2"], half: Float[Tensor, "b"], limits: Limits, size: int
) -> Float[Tensor, "b s s 2"]:
    """Standard deviations, in pixels of the view, of the Gaussian that brings every place to the blur of the most magnified.

    Linear interpolation blurs by a triangle as wide as a pixel of the picture to either side: a variance of a sixth of the
    square of that pixel's size in the view.
    """
    pixel = size / (2 * half)[:, None, None, None]
    most = pixel * limits.stretch * (1 + limits.tilt) ** 2
    return ((most.square() - (pixel * grows).square()).clamp(min=0) / 6).sqrt()


def blur_by_place(frames: Float[Tensor, "b c h w"], sigma: Float[Tensor, "b h w 2"]) -> Float[Tensor, "b c h w"]:
    """Blur along x, then along y, by a Gaussian with a standard deviation (x, y) of its own for every pixel.

    Taps reach three of the largest deviations; beyond the border the outermost pixel goes on.
    """
    reach = int((3 * sigma.max()).ceil())
    for axis in (0, 1):
        deviation = sigma[..., axis].clamp(min=1e-2)[:, None]  # b 1 h w; a hundredth of a pixel is no blur
        padded = F.pad(frames, (reach, reach, 0, 0) if axis == 0 else (0, 0, reach, reach), mode="replicate")
        out, total = torch.zeros_like(frames), torch.zeros_like(deviation)
        for tap in range(-reach, reach + 1):
            weight = (-(tap**2) / (2 * deviation.square())).exp()
            out.addcmul_(padded.narrow(3 - axis, tap + reach, frames.shape[3 - axis]), weight)
            total += weight
        frames = out / total
    return frames
