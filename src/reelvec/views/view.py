"""The pipeline: one view of each clip of a batch, and the same geometry for its other streams."""

from dataclasses import dataclass, fields
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from reelvec.core.batch import Clips
from reelvec.core.config import Config
from reelvec.core.draws import Draws
from reelvec.core.errors import ReelvecError
from reelvec.core.shapes import Bool, Float, Int
from reelvec.core.spans import counted_as
from reelvec.views import byte_pixels
from reelvec.views.blur import gaussian_blur, kernel_side
from reelvec.views.colour import NEUTRAL, jitter, solarise, to_grey
from reelvec.views.colour_matrix import apply_colour_matrix, colour_matrix
from reelvec.views.geometry import centre_boxes, crop, draw_boxes, sample_groups, scale_vectors

Probability = Annotated[float, Field(ge=0, le=1)]


class ViewConfig(Config):
    """A random view of a clip: crop, flip, colour jitter, grey, blur, solarise, normalise."""

    size: Annotated[int, Field(gt=0)]
    """side of the square, in pixels"""
    area: tuple[float, float] = (0.3, 1.0)
    """share of the picture's area that a crop shows"""
    aspect: tuple[float, float] = (0.5, 2.0)
    """width / height of a crop before it is made square"""
    flip: Probability = 0.5
    """probability of mirroring left and right"""
    jitter: Probability = 0.0
    """probability of colour jitter; the next four are its strengths"""
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    """largest turn, as a share of the circle"""
    grey: Probability = 0.0
    """probability"""
    blur: Probability = 0.0
    """probability of Gaussian blur"""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_kernel: int | None = None
    """side of the blur's kernel, odd; None: a tenth of `size`"""
    solarise: Probability = 0.0
    """probability"""
    solarise_threshold: float = 0.5
    arithmetic: Literal["exact", "fast"] = "exact"
    """exact: what torchvision computes on floats, step by step, colours clamped after each; fast, twice to five times as fast
    on a CPU: jitter and grey as one matrix of colours, clamped once, hue turned about the grey axis; where colours change after
    the crop, pixels stay bytes, rounded after each step, until they are normalised"""
    colour: Literal["after_crop", "before_crop"] = "after_crop"
    """whether colours change after the crop (CVRL, MoDist) or on the whole picture before it (the rho family)"""
    consistent: bool = True
    """one draw for all frames of a clip; False: one for each frame, to see what consistency is worth"""
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    std: tuple[float, ...] = (0.225, 0.225, 0.225)

    @property
    def kernel(self) -> int:
        """Side of the blur's kernel, in pixels."""
        return self.blur_kernel or kernel_side(self.size)

    @model_validator(mode="after")
    def _ranges(self) -> "ViewConfig":
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError("area: two shares, 0 < smallest <= largest <= 1")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError("aspect: two ratios, 0 < smallest <= largest")
        if not 0 < self.blur_sigma[0] <= self.blur_sigma[1]:
            raise ValueError("blur_sigma: two widths in pixels, 0 < smallest <= largest")
        if self.blur_kernel is not None and (self.blur_kernel < 1 or self.blur_kernel % 2 == 0):
            raise ValueError("blur_kernel: an odd number of pixels")
        return self


@dataclass(frozen=True)
class Colours:
    """What was drawn for the colours of each sample."""

    factors: Float[Tensor, "r 4"]
    """brightness, contrast, saturation, hue; (1, 1, 1, 0) where there was no jitter"""
    order: Int[Tensor, "r 4"]
    """order of these four"""
    grey: Bool[Tensor, "r"]
    sigma: Float[Tensor, "r"]
    """of the blur, in pixels; 0 where there was none"""
    solarised: Bool[Tensor, "r"]

    def rows(self, rows: slice | Tensor) -> "Colours":
        """Pick some rows."""
        return Colours(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class View:
    """One view of each sample, and what was drawn to get it in r rows.

    There is a row for each sample (r = b), or for each frame where frames were drawn apart (r = b t, frames of a clip
    beside each other). What was drawn stays on the CPU, where it is made and where the next crop asks for it.
    """

    frames: Float[Tensor, "b c t s s"]
    """normalised"""
    box: Float[Tensor, "r 4"]
    """x0 y0 x1 y1, relative to width and height of the picture"""
    flipped: Bool[Tensor, "r"]
    picture: Int[Tensor, "r 2"]
    """height and width of the picture the box was cut from, in pixels"""
    colours: Colours


@counted_as("views")
def make_view(clips: Clips, settings: ViewConfig, draws: Draws) -> View:
    """Make one random view of each clip (n = 1; uint8, or float in [0, 1]).

    Draws depend on (seed, sample number, scope) alone: give each view of a sample its own scope. No gradient flows
    back. ReelvecError where the clips do not have the channels that the settings speak of.
    """
    _check_channels(clips, settings)
    batch, device = len(clips.size), clips.device
    host = draws.on_host()  # what is drawn is small and steers the work: made where nothing waits for the device
    if not settings.consistent:
        clips, host = _frame_by_frame(clips), _draws_by_frame(host, clips.shape[3])
    size = clips.size.cpu()
    box, flipped = draw_boxes(size, settings.area, settings.aspect, host), host.chance("flip", settings.flip)
    colours = draw_colours(settings, host)
    with torch.no_grad():
        if _stays_bytes(clips, settings):
            frames = _view_of_bytes(clips, size, box, flipped, colours, settings)
            return View(_join_frames(frames, batch), box, flipped, size, colours)
        if settings.colour == "before_crop":
            clips = _recolour_pictures(clips, size, colours, settings)
        frames = crop(clips, box, flipped, settings.size)
        if settings.colour == "after_crop":
            recolour(frames, colours, settings)
        shift, scale = _shift_and_scale(settings.mean, settings.std, device)
        torch.addcmul(shift, frames, scale, out=frames)  # in place: a fresh tensor of this size costs more than the sum
    return View(_join_frames(frames, batch), box, flipped, size, colours)


def draw_colours(settings: ViewConfig, draws: Draws) -> Colours:
    """Draw the colours of each sample; strengths mean what torchvision's ColorJitter takes them to mean."""
    strengths = (settings.brightness, settings.contrast, settings.saturation)
    low = torch.tensor([max(0.0, 1 - s) for s in strengths] + [-settings.hue])
    high = torch.tensor([1 + s for s in strengths] + [settings.hue])
    factors = low + (high - low) * draws.uniform("factors", many=len(NEUTRAL))
    jittered, blurred = draws.chance("jitter", settings.jitter), draws.chance("blur", settings.blur)
    return Colours(
        factors=torch.where(jittered[:, None], factors, torch.tensor(NEUTRAL)),
        order=draws.order("order", len(NEUTRAL)),
        grey=draws.chance("grey", settings.grey),
        sigma=draws.uniform("sigma", *settings.blur_sigma) * blurred,
        solarised=draws.chance("solarise", settings.solarise),
    )


def recolour(frames: Float[Tensor, "b c t h w"], colours: Colours, settings: ViewConfig) -> None:
    """Apply jitter, grey, blur and solarise, in this order, in place; rows that drew nothing are not touched."""
    if settings.arithmetic == "fast":
        jitter_at_once(frames, colours)
    for group in sample_groups(frames):
        some, drawn = frames[group], colours.rows(group)
        if settings.arithmetic == "exact":
            jitter(some, drawn.factors, drawn.order)
            if rows := drawn.grey.nonzero()[:, 0].tolist():
                some[rows] = to_grey(some[rows])
        if rows := drawn.sigma.nonzero()[:, 0].tolist():
            some[rows] = gaussian_blur(some[rows], drawn.sigma[rows].to(frames.device), settings.kernel)
        if rows := drawn.solarised.nonzero()[:, 0].tolist():
            some[rows] = solarise(some[rows], settings.solarise_threshold)


def _stays_bytes(clips: Clips, settings: ViewConfig) -> bool:
    """Whether the fast arithmetic can keep the pixels of these clips bytes; a border mirrored more than once it cannot."""
    is_fast = settings.arithmetic == "fast" and settings.colour == "after_crop"
    return is_fast and byte_pixels.are_bytes(clips) and settings.kernel // 2 < settings.size


def _view_of_bytes(
    clips: Clips,
    size: Int[Tensor, "b 2"],
    box: Float[Tensor, "b 4"],
    flipped: Bool[Tensor, "b"],
    colours: Colours,
    settings: ViewConfig,
) -> Float[Tensor, "b 3 t s s"]:
    """Crop, jitter and grey, blur, solarise, mirror and normalise, clip by clip."""
    side = settings.size
    cropped = byte_pixels.resized(clips, byte_pixels.whole_boxes(box, size), side)
    matrix = colour_matrix(colours.factors, colours.order, colours.grey, byte_pixels.mean_colours(cropped))
    changes = (colours.factors != torch.tensor(NEUTRAL)).any(1) | colours.grey
    frames = torch.empty((len(cropped), *clips.shape[2:4], side, side))
    for i, pixels in enumerate(cropped):
        if changes[i]:
            pixels = byte_pixels.recoloured(pixels, matrix[i])
        if colours.sigma[i] > 0:
            pixels = byte_pixels.blurred(pixels, colours.sigma[i], settings.kernel)
        byte_pixels.write_normalised(
            pixels, frames[i], settings.mean, settings.std, mirrored=bool(flipped[i]),
            solarise_from=settings.solarise_threshold if colours.solarised[i] else None,
        )  # fmt: skip
    return frames


def jitter_at_once(frames: Float[Tensor, "b 3 t h w"], colours: Colours) -> None:
    """Apply jitter and grey as one matrix for each sample, in place."""
    changes = (colours.factors != torch.tensor(NEUTRAL)).any(1) | colours.grey
    if not bool(changes.any()):
        return
    matrix = colour_matrix(colours.factors, colours.order, colours.grey, frames.mean((2, 3, 4)).cpu()).to(frames.device)
    for group in sample_groups(frames):
        apply_colour_matrix(frames[group], matrix[group])


def _recolour_pictures(clips: Clips, size: Int[Tensor, "b 2"], colours: Colours, settings: ViewConfig) -> Clips:
    """Recolour whole pictures; pictures of equal size together, so that no padding gets into a mean or a blur."""
    scale = 1 if clips.frames.is_floating_point() else 255
    out = torch.zeros(clips.frames.shape, device=clips.frames.device)
    for height, width in sorted({(h, w) for h, w in size.tolist()}):
        rows = (size == torch.tensor([height, width])).all(1).nonzero()[:, 0]
        frames = clips.frames[rows.to(clips.frames.device), 0, :, :, :height, :width].float() / scale
        recolour(frames, colours.rows(rows), settings)
        out[rows.to(out.device), 0, :, :, :height, :width] = frames
    return Clips(out, clips.size)


def _check_channels(clips: Clips, settings: ViewConfig) -> None:
    channels = clips.shape[2]
    if not channels == len(settings.mean) == len(settings.std):
        raise ReelvecError(
            f"a view of clips with {channels} channels",
            f"{len(settings.mean)} numbers for mean and {len(settings.std)} for std",
            f"give mean and std {channels} numbers each",
        )
    coloured = [name for name in ("jitter", "grey", "blur", "solarise") if getattr(settings, name) > 0]
    if channels != 3 and coloured:
        raise ReelvecError(
            f"colours ({', '.join(coloured)}) for clips with {channels} channels",
            "colours are defined for red, green and blue",
            f"set {', '.join(f'{name}=0' for name in coloured)}",
        )


def _frame_by_frame(clips: Clips) -> Clips:
    """Make each frame a clip of its own: (b 1 c t h w) -> (bt 1 c 1 h w)."""
    frames = clips.frames.transpose(1, 3)  # (b t c 1 h w)
    return Clips(frames.flatten(0, 1)[:, None], clips.size.repeat_interleave(frames.shape[1], 0))


def _join_frames(frames: Float[Tensor, "bt c t1 h w"], batch: int) -> Float[Tensor, "b c t h w"]:
    """Undo `_frame_by_frame` for what was made of it; leaves whole clips as they are."""
    return frames if len(frames) == batch else frames[:, :, 0].unflatten(0, (batch, -1)).transpose(1, 2)


def _draws_by_frame(draws: Draws, time: int) -> Draws:
    """Draws for each frame: the frame's number takes the low 20 bits of the sample's."""
    numbers = (draws.numbers[:, None] << 20) + torch.arange(time)
    return Draws(draws.seed, numbers.flatten(), f"{draws.scope}/frames")


@counted_as("views")
def apply_geometry(clips: Clips, view: View, size: int, *, vectors: bool = False) -> Float[Tensor, "b c t size size"]:
    """Cut the same box out of another stream of the same clips (n = 1), and mirror the same samples; not normalised.

    The stream may have a size of its own (motion vectors: an eighth). uint8 becomes [0, 1]. With `vectors` the two
    channels are (u right, v down) in pixels of the picture that the view was cut from; they become pixels of the
    result, u negated where mirrored. ReelvecError for a view that was drawn frame by frame from other frames.
    """
    batch = len(clips.size)
    if len(view.box) != batch:  # drawn frame by frame
        clips = _frame_by_frame(clips)
    if len(view.box) != len(clips.size):
        raise ReelvecError(
            f"the geometry of a view for {len(clips.frames)} frames of another stream",
            f"a view that drew a geometry for each of its own {len(view.box)} frames",
            "give both streams the same frames, or set consistent=true",
        )
    with torch.no_grad():
        cut = crop(clips, view.box, view.flipped, size)
        if vectors:
            cut = scale_vectors(cut, view.box, view.flipped, view.picture)
    return _join_frames(cut, batch)


def centre_view(clips: Clips, size: int, *, vectors: bool = False, cell: int = 1) -> Float[Tensor, "b c t size size"]:
    """Show the largest centred square of each clip (n = 1), for evaluation; not normalised.

    `vectors` as in `apply_geometry`, with `cell` pixels of the picture to a pixel of the stream (motion vectors: 8).
    """
    box = centre_boxes(clips.size)
    flipped = torch.zeros(len(box), dtype=torch.bool, device=box.device)
    cut = crop(clips, box, flipped, size)
    return scale_vectors(cut, box, flipped, clips.size * cell) if vectors else cut


def normalise(
    frames: Float[Tensor, "b c t h w"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Tensor, "b c t h w"]:
    """Subtract the mean and divide by the standard deviation, per channel; in one pass over the frames."""
    shift, scale = _shift_and_scale(mean, std, frames.device)
    return torch.addcmul(shift, frames, scale)


def _shift_and_scale(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    scale = 1 / torch.tensor(std)
    shift = -torch.tensor(mean) * scale
    return shift.to(device)[:, None, None, None], scale.to(device)[:, None, None, None]
