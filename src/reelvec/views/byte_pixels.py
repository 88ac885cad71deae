"""The fast arithmetic on a CPU: a clip's pixels stay bytes, the colours of each side by side, until the last pass.

Each step rounds to whole grey levels. A clip is a quarter as large as in float32 and stays in the cache from one step to the
next; OpenCV's and torch's routines for bytes are several times as fast as those for floats.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.batch import Clips
from reelvec.core.planes import PlaneClips
from reelvec.core.shapes import Float, Int, UInt8
from reelvec.views.blur import gaussian_weights

Pixels = UInt8[np.ndarray, "th w 3"]
"""frames of a clip below one another"""


def are_bytes(clips: Clips) -> bool:
    """Whether clips can be viewed this way: three channels of bytes, on a CPU."""
    return clips.device.type == "cpu" and not clips.is_float and clips.shape[2] == 3


def resized(clips: Clips, box: Int[Tensor, "b 4"], size: int) -> list[Pixels]:
    """Resize a box of each clip, x0 y0 x1 y1 in whole pixels, to a square of RGB, by torch's antialiased filter for bytes."""
    found = []
    for i, (x0, y0, x1, y1) in enumerate(box.tolist()):
        planes = clips.box(i, y0, y1, x0, x1)[0].numpy()  # 3 t h w
        side_by_side = np.stack([cv2.merge([plane[t] for plane in planes]) for t in range(planes.shape[1])])  # t h w 3
        square = F.interpolate(
            torch.from_numpy(side_by_side).permute(0, 3, 1, 2), (size, size), mode="bilinear", antialias=True
        )
        pixels = np.ascontiguousarray(square.permute(0, 2, 3, 1).numpy()).reshape(-1, size, 3)
        found.append(cv2.transform(pixels, clips.to_rgb[i].numpy()) if isinstance(clips, PlaneClips) else pixels)
    return found


def mean_colours(pixels: list[Pixels]) -> Float[Tensor, "b 3"]:
    """Return the means over the pixels of each clip, in [0, 1]."""
    return torch.tensor([cv2.mean(one)[:3] for one in pixels]) / 255


def recoloured(pixels: Pixels, matrix: Float[Tensor, "3 4"]) -> Pixels:
    """Map every colour, in [0, 1], by the matrix of `colour_matrix`, and cut it off there."""
    of_bytes = matrix.numpy() * np.array([1, 1, 1, 255], np.float32)
    return cv2.transform(pixels, of_bytes)


def blurred(pixels: Pixels, sigma: Float[Tensor, ""], kernel: int) -> Pixels:
    """Blur every frame as `gaussian_blur` does."""
    line, size = gaussian_weights(sigma[None], kernel)[0].numpy(), pixels.shape[1]
    out = np.empty_like(pixels)
    for top in range(0, len(pixels), size):
        frame = slice(top, top + size)
        cv2.sepFilter2D(pixels[frame], -1, line, line, dst=out[frame], borderType=cv2.BORDER_REFLECT_101)
    return out


def write_normalised(
    pixels: Pixels,
    out: Float[Tensor, "3 t s s"],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    mirrored: bool,
    solarise_from: float | None,
) -> None:
    """Write the colours as floats, normalised, each by a table of its 256 levels; `solarise_from` None: not solarised."""
    level = torch.arange(256) / 255
    if solarise_from is not None:
        level = torch.where(level >= solarise_from, 1 - level, level)
    table = ((level - torch.tensor(mean)[:, None]) / torch.tensor(std)[:, None]).numpy()
    if mirrored:
        pixels = cv2.flip(pixels, 1)
    for plane, of_colour, into in zip(cv2.split(pixels), table, out.numpy(), strict=True):
        cv2.LUT(plane, of_colour, dst=into.reshape(plane.shape))


def whole_boxes(box: Float[Tensor, "b 4"], size: Int[Tensor, "b 2"]) -> Int[Tensor, "b 4"]:
    """Return relative boxes that lie on whole pixels in pixels."""
    return (box * size[:, [1, 0, 1, 0]]).round().int()
