"""Gaussian blur with a sigma for each sample."""

import torch
from torch import Tensor

from reelvec.core.shapes import Float
from reelvec.views.geometry import separable


def kernel_side(size: int) -> int:
    """A tenth of the picture's side, as an odd number: 23 at 224 (SimCLR, CVRL)."""
    return 2 * (size // 20) + 1


def gaussian_blur(frames: Float[Tensor, "b c t h w"], sigma: Float[Tensor, "b"], kernel: int) -> Float[Tensor, "b c t h w"]:
    """Blur each frame by a Gaussian cut to `kernel` pixels (odd); the border is mirrored without repeating its pixel.

    Equals torchvision's `gaussian_blur`. Written as two products with band matrices, one sigma a sample.
    """
    height, width = frames.shape[-2:]
    rows, columns = (_blur_matrix(sigma, length, kernel) for length in (height, width))
    return separable(frames, rows, columns)


def _blur_matrix(sigma: Float[Tensor, "b"], length: int, kernel: int) -> Float[Tensor, "b length length"]:
    """Row i holds the weights of the pixels that make pixel i."""
    reach = kernel // 2
    offset = torch.arange(-reach, reach + 1, device=sigma.device)
    weight = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    weight = weight / weight.sum(1, keepdim=True)  # (b, kernel)
    source = torch.arange(length, device=sigma.device)[:, None] + offset
    period = max(2 * (length - 1), 1)  # mirroring at both ends repeats after this many pixels
    source = source.remainder(period)
    source = torch.minimum(source, period - source) if length > 1 else source
    matrix = torch.zeros(len(sigma), length, length, device=sigma.device)
    return matrix.scatter_add_(2, source.expand(len(sigma), -1, -1), weight[:, None].expand(-1, length, -1))
