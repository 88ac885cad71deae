"""I3D: Inception with its kernels inflated to three dimensions (Carreira & Zisserman, CVPR 2017, arXiv 1705.07750)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelvec.backbones.weights import load_weights
from reelvec.core.encoder import Encoder
from reelvec.core.shapes import Float

# 1x1x1; 1x1x1 then 3x3x3; 1x1x1 then 3x3x3; 1x1x1 after the pool (Szegedy et al. 2015, table 1; figure 3 of the I3D paper)
_MIXED = {
    "3": ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    "4": (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    "5": ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
}


def _edges(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, as TensorFlow's "same" has them: the odd one after."""
    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2


def _pad(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Pad time, height and width, so that a stride of s leaves one in s of them, rounded up."""
    edges = [_edges(*of_axis) for of_axis in zip(x.shape[2:], kernel, stride, strict=True)]
    return F.pad(x, [zeros for pair in reversed(edges) for zeros in pair])


class _Convolution(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.norm = nn.BatchNorm3d(outputs, eps=1e-3)
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        nn.init.kaiming_normal_(self.convolution.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        return F.relu(self.norm(self.convolution(_pad(x, self.kernel, self.stride))), inplace=True)


class _MaxPool(nn.Module):
    """Max-pool of maps that are nowhere negative, so that zeros at the edges change nothing."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t2 h2 w2"]:
        return F.max_pool3d(_pad(x, self.kernel, self.stride), self.kernel, self.stride)


class _Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, inputs: int, one: int, reduce: int, three: int, reduce2: int, three2: int, pooled: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                _Convolution(inputs, one, 1),
                nn.Sequential(_Convolution(inputs, reduce, 1), _Convolution(reduce, three, 3)),
                nn.Sequential(_Convolution(inputs, reduce2, 1), _Convolution(reduce2, three2, 3)),
                nn.Sequential(_MaxPool((3, 3, 3), (1, 1, 1)), _Convolution(inputs, pooled, 1)),
            ]
        )
        self.dim = one + three + three2 + pooled

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t h w"]:
        return torch.cat([branch(x) for branch in self.branches], 1)


def _body(channels: int) -> tuple[nn.Sequential, int]:
    layers: dict[str, Any] = {
        "stem": nn.Sequential(
            _Convolution(channels, 64, 7, 2),
            _MaxPool((1, 3, 3), (1, 2, 2)),
            _Convolution(64, 64, 1),
            _Convolution(64, 192, 3),
            _MaxPool((1, 3, 3), (1, 2, 2)),
        )
    }
    dim = 192
    for stage, blocks in _MIXED.items():
        if stage != "3":
            side = 3 if stage == "4" else 2
            layers[f"pool{stage}"] = _MaxPool((side,) * 3, (2, 2, 2))
        for letter, widths in zip("bcdef", blocks, strict=False):
            layers[f"mixed{stage}{letter}"] = mixed = _Mixed(dim, *widths)
            dim = mixed.dim
    body = nn.Sequential()
    for name, layer in layers.items():
        body.add_module(name, layer)
    return body, dim


def i3d(channels: int = 3, weights: str | None = None) -> Encoder:
    """I3D: 12.3 M weights, 1024 features; 16 frames of 224 become a map of 2x7x7 (dsm.md, section 6)."""
    body, dim = _body(channels)
    if weights is not None:
        load_weights(body, weights, first="stem.0.convolution")
    return Encoder("i3d", body, channels, dim)
