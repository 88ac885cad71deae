"""Gaussian blur with a sigma for each sample."""

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.shapes import Float
from reelvec.views.geometry import separable


def kernel_side(size: int) -> int:
    """A tenth of the picture's side, as an odd number: 23 at 224 (SimCLR, CVRL)."""
    return 2 * (size // 20) + 1


def gaussian_blur(frames: Float[Tensor, "b c t h w"], sigma: Float[Tensor, "b"], kernel: int) -> Float[Tensor, "b c t h w"]:
    """Blur each frame by a Gaussian cut to `kernel` pixels (odd); the border is mirrored without repeating its pixel.

    Equals torchvision's `gaussian_blur`, with a sigma for each sample.
    """
    height, width = frames.shape[-2:]
    if kernel // 2 >= min(height, width):  # the border is mirrored more than once
        return separable(frames, *(_blur_matrix(sigma, length, kernel) for length in (height, width)))
    if frames.device.type == "cpu" and frames.dtype == torch.float32:
        return _blur_maps(frames.contiguous(), gaussian_weights(sigma, kernel))
    batch, reach = len(frames), kernel // 2
    maps = frames.numel() // (batch * height * width)  # of one sample
    taps = gaussian_weights(sigma, kernel).repeat_interleave(maps, 0)[:, None]  # (b c t, 1, kernel)
    with torch.autocast(frames.device.type, enabled=False):
        padded = F.pad(frames.reshape(1, batch * maps, height, width), (reach, reach, reach, reach), mode="reflect")
        along_rows = F.conv2d(padded, taps[:, :, None], groups=batch * maps)
        blurred = F.conv2d(along_rows, taps[:, :, :, None], groups=batch * maps)
    return blurred.view(frames.shape)


def _blur_maps(frames: Float[Tensor, "b c t h w"], taps: Float[Tensor, "b kernel"]) -> Float[Tensor, "b c t h w"]:
    """Blur map by map with OpenCV: on a CPU several times as fast as a convolution of torch, and the same numbers."""
    out = torch.empty_like(frames)
    maps = [tensor.flatten(1, 2).numpy() for tensor in (frames, out)]
    for sample, into, line in zip(*maps, taps.numpy(), strict=True):
        for source, target in zip(sample, into, strict=True):
            cv2.sepFilter2D(source, -1, line, line, dst=target, borderType=cv2.BORDER_REFLECT_101)
    return out


def gaussian_weights(sigma: Float[Tensor, "b"], kernel: int) -> Float[Tensor, "b kernel"]:
    """Return the weights of a Gaussian cut to `kernel` pixels, for each sigma (pixels); they sum to 1."""
    offset = torch.arange(-(kernel // 2), kernel // 2 + 1, device=sigma.device)
    weight = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    return weight / weight.sum(1, keepdim=True)


def _blur_matrix(sigma: Float[Tensor, "b"], length: int, kernel: int) -> Float[Tensor, "b length length"]:
    """Row i holds the weights of the pixels that make pixel i."""
    reach = kernel // 2
    offset = torch.arange(-reach, reach + 1, device=sigma.device)
    weight = gaussian_weights(sigma, kernel)
    source = torch.arange(length, device=sigma.device)[:, None] + offset
    period = max(2 * (length - 1), 1)  # mirroring at both ends repeats after this many pixels
    source = source.remainder(period)
    source = torch.minimum(source, period - source) if length > 1 else source
    matrix = torch.zeros(len(sigma), length, length, device=sigma.device)
    return matrix.scatter_add_(2, source.expand(len(sigma), -1, -1), weight[:, None].expand(-1, length, -1))
