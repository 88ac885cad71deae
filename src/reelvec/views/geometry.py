"""Space: which part of the picture a view shows, and its resampling to a square.

A crop is one linear map for rows and one for columns of the picture, so it is written as two products with small
matrices. They hold the triangle filter of an antialiased bilinear resize: where the picture shrinks, the filter widens
with it. This equals `torchvision.transforms.v2.functional.resized_crop(..., antialias=True)` at equal boxes, up to rounding
of float32 (torchvision rounds uint8 pictures to uint8 again; here they stay float). Only pixels of the box are read, so
neither padding nor the rest of the picture gets into a view.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.batch import Clips
from reelvec.core.draws import Draws
from reelvec.core.planes import PlaneClips, planes_to_rgb
from reelvec.core.shapes import Bool, Float, Int, Shaped

CANDIDATES = 10
"""boxes that are tried before the fallback, as torchvision's RandomResizedCrop does"""

_TOUCH = 1e-3
"""pixels of which a box covers less than this are not read: relative boxes carry rounding"""

_SAMPLES_AT_ONCE = {"cpu": 1, "cuda": 16}
"""on a CPU a sample stays in the cache through all operations, and is sliced to its own box before it becomes float; on a
GPU operations should be large, but the float copy of the pictures should not"""


def sample_groups(frames: Shaped[Tensor, "b *rest"]) -> list[slice]:
    """Samples that are best worked on together on this device."""
    step = _SAMPLES_AT_ONCE.get(frames.device.type, 16)
    return [slice(start, start + step) for start in range(0, len(frames), step)]


def draw_boxes(
    size: Int[Tensor, "b 2"], area: tuple[float, float], aspect: tuple[float, float], draws: Draws
) -> Float[Tensor, "b 4"]:
    """Draw a box for each picture: x0 y0 x1 y1, relative to width and height of the picture, on whole pixels.

    Share of the area uniform in `area`, aspect ratio (width / height) log-uniform in `aspect`; the first of ten
    candidates that fits is taken, else the largest centred box of an allowed ratio (the rule of torchvision's
    RandomResizedCrop).
    """
    height, width = size[:, :1].float(), size[:, 1:].float()
    pixels = height * width * draws.uniform("area", *area, many=CANDIDATES)
    ratio = draws.uniform("aspect", many=CANDIDATES)
    low, high = (torch.tensor(limit).log() for limit in aspect)
    ratio = (low + (high - low) * ratio).exp()
    box_width, box_height = (pixels * ratio).sqrt().round(), (pixels / ratio).sqrt().round()  # (b, candidates)
    fits = (box_width > 0) & (box_width <= width) & (box_height > 0) & (box_height <= height)
    first = fits.float().argmax(1, keepdim=True)  # argmax of equal numbers is the first
    found = fits.any(1, keepdim=True)

    # no candidate fits: the picture itself, cut to the nearest allowed ratio, around its centre
    cut_width = torch.minimum(width, (height * aspect[1]).round())
    cut_height = torch.minimum(height, (width / aspect[0]).round())
    box_width = torch.where(found, box_width.gather(1, first), cut_width)
    box_height = torch.where(found, box_height.gather(1, first), cut_height)
    free_x, free_y = width - box_width, height - box_height
    left = torch.where(found, (draws.uniform("left", many=1) * (free_x + 1)).floor(), (free_x / 2).floor())
    top = torch.where(found, (draws.uniform("top", many=1) * (free_y + 1)).floor(), (free_y / 2).floor())
    box = torch.cat([left, top, left + box_width, top + box_height], 1)
    return box / torch.cat([width, height, width, height], 1)


def centre_boxes(size: Int[Tensor, "b 2"]) -> Float[Tensor, "b 4"]:
    """Return the largest centred square of each picture: x0 y0 x1 y1, relative, on whole pixels."""
    height, width = size[:, 0], size[:, 1]
    side = torch.minimum(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    box = torch.stack([left, top, left + side, top + side], 1).float()
    return box / torch.stack([width, height, width, height], 1)


def crop(clips: Clips, box: Float[Tensor, "b 4"], flipped: Bool[Tensor, "b"], size: int) -> Float[Tensor, "b c t size size"]:
    """Cut a box out of each sample (n = 1), resize it to a square of side `size`, and mirror it where `flipped`.

    uint8 becomes [0, 1], other numbers keep their values. The box is relative: x0 y0 x1 y1.
    """
    pixel_box = box.cpu() * clips.size.cpu()[:, [1, 0, 1, 0]]  # on the CPU: it says below what to slice
    out = torch.empty((len(box), *clips.shape[2:4], size, size), device=clips.device)
    whole = pixel_box.round()
    if clips.device.type == "cpu" and bool(((pixel_box - whole).abs() < _TOUCH).all()):
        for i, ((x0, y0, x1, y1), mirrored) in enumerate(zip(whole.int().tolist(), flipped.tolist(), strict=True)):
            _resize(clips.box(i, y0, y1, x0, x1)[0], mirrored, out[i])
    else:
        _crop_by_matrices(clips, pixel_box, flipped, out)
    if isinstance(clips, PlaneClips):
        for group in sample_groups(out):
            out[group] = planes_to_rgb(out[group], clips.to_rgb[group])
    return out if clips.is_float else out.mul_(1 / 255)


def _resize(picture: Shaped[Tensor, "c t h w"], mirrored: bool, out: Float[Tensor, "c t size size"]) -> None:
    """Resize a box of whole pixels by torch's own antialiased filter: the same numbers, and on a CPU twice as fast."""
    with torch.autocast("cpu", enabled=False):
        resized = F.interpolate(picture.transpose(0, 1).float(), out.shape[-2:], mode="bilinear", antialias=True)
    out.copy_((resized.flip(-1) if mirrored else resized).transpose(0, 1))


def _crop_by_matrices(
    clips: Clips,
    pixel_box: Float[Tensor, "b 4"],
    flipped: Bool[Tensor, "b"],
    out: Float[Tensor, "b c t size size"],
) -> None:
    """Crop many samples at once, by boxes that may cut pixels."""
    left, top, right, bottom = pixel_box.to(out.device).unbind(1)
    columns = resampling_matrix(left, right, clips.shape[-1], out.shape[-1])
    rows = resampling_matrix(top, bottom, clips.shape[-2], out.shape[-1])
    columns = torch.where(flipped[:, None, None].to(out.device), columns.flip(1), columns)
    starts, ends = (pixel_box[:, :2] + _TOUCH).floor(), (pixel_box[:, 2:] - _TOUCH).ceil()
    for group in sample_groups(out):
        # what no box of the group touches is cut off before anything is computed
        x0, y0 = starts[group].amin(0).int().tolist()
        x1, y1 = ends[group].amax(0).int().tolist()
        shown = clips.box(group, y0, y1, x0, x1)[:, 0].float()
        out[group] = separable(shown, rows[group, :, y0:y1], columns[group, :, x0:x1])


def resampling_matrix(
    start: Float[Tensor, "b"], end: Float[Tensor, "b"], pixels: int, size: int
) -> Float[Tensor, "b size pixels"]:
    """Weights that resample [start, end) of a line of `pixels` pixels to `size` pixels; each row sums to 1."""
    scale = ((end - start) / size)[:, None, None]
    centre = start[:, None, None] + (torch.arange(size, device=start.device)[:, None] + 0.5) * scale  # (b, size, 1)
    pixel = torch.arange(pixels, device=start.device) + 0.5
    weight = (1 - (pixel - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    read = (pixel + 0.5 > start[:, None] + _TOUCH) & (pixel - 0.5 < end[:, None] - _TOUCH)
    weight = weight * read[:, None]
    return weight / weight.sum(2, keepdim=True)


def separable(
    picture: Float[Tensor, "b c t h w"], rows: Float[Tensor, "b h2 h"], columns: Float[Tensor, "b w2 w"]
) -> Float[Tensor, "b c t h2 w2"]:
    """Apply one matrix along the rows and one along the columns of every frame, in float32 under autocast too."""
    batch, channels, time, height, width = picture.shape
    with torch.autocast(picture.device.type, enabled=False):
        half = picture.reshape(batch, -1, width) @ columns.mT  # (b, cth, w2)
        whole = rows[:, None] @ half.reshape(batch, channels * time, height, -1)  # (b, ct, h2, w2)
    return whole.unflatten(1, (channels, time))


def scale_vectors(
    vectors: Float[Tensor, "b 2 t s s"],
    box: Float[Tensor, "b 4"],
    flipped: Bool[Tensor, "b"],
    picture: Int[Tensor, "b 2"],
) -> Float[Tensor, "b 2 t s s"]:
    """Turn pixels of the picture into pixels of the view: resizing scales u and v, mirroring negates u (modist.md, 11)."""
    size = vectors.shape[-1]
    picture, flipped = picture.to(box.device), flipped.to(box.device)
    u = size / ((box[:, 2] - box[:, 0]) * picture[:, 1]) * (1 - 2 * flipped.float())
    v = size / ((box[:, 3] - box[:, 1]) * picture[:, 0])
    return vectors * torch.stack([u, v], 1).to(vectors.device)[:, :, None, None, None]
