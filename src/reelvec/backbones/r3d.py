"""R3D and R(2+1)D in other depths than 18, made of torchvision's blocks."""

import copy
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, Bottleneck, Conv2Plus1D, Conv3DNoTemporal, Conv3DSimple, VideoResNet

from reelvec.backbones.weights import load_weights
from reelvec.core.encoder import Encoder
from reelvec.core.errors import ReelvecError
from reelvec.core.shapes import Float

_BLOCKS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    10: (BasicBlock, [1, 1, 1, 1]),
    26: (Bottleneck, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
}
_Kind = Literal["r3d", "r2plus1d", "r2d"]
_CONVOLUTIONS: dict[_Kind, Any] = {"r3d": Conv3DSimple, "r2plus1d": Conv2Plus1D, "r2d": Conv3DNoTemporal}
_FACTORED_STEM = 45
"""width between the spatial and the temporal half of R(2+1)D's stem"""


class Stages(nn.Module):
    """The map of the last stage; with `fine_map`, one of the resolution of the stage before."""

    network: Any

    def __init__(self, network: nn.Module, fine_map: bool) -> None:
        super().__init__()
        self.network, self.fine_map = network, fine_map
        network.fc = nn.Identity()

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Leave out pooling and classifier."""
        n = self.network
        third = n.layer3(n.layer2(n.layer1(n.stem(clip))))
        last = n.layer4(third)
        return _add_up(third, last, clip.shape[2]) if self.fine_map else last


def _add_up(third: Float[Tensor, "b c t h w"], last: Tensor, frames: int) -> Float[Tensor, "b d t2 h w"]:
    """Put the even and the odd times of the third stage's map beside each other as channels, and add the last stage's."""
    if third.shape[2] % 2:
        raise ReelvecError(
            f"fine_map on clips of {frames} frames",
            f"a third stage of {third.shape[2]} times, of which it makes pairs",
            "take a multiple of 8 frames, or set fine_map to false",
        )
    pairs = torch.cat([third[:, :, 0::2], third[:, :, 1::2]], 1)
    return pairs + F.interpolate(last, pairs.shape[2:])


def _stem(kind: _Kind, channels: int, stride: int, max_pool: bool) -> nn.Sequential:
    """7x7 in space; 3 frames in time, for R(2+1)D after a step in space alone, for 2D none."""
    space: dict[str, Any] = {"stride": (1, stride, stride), "bias": False}
    if kind == "r2plus1d":
        layers: list[nn.Module] = [
            nn.Conv3d(channels, _FACTORED_STEM, (1, 7, 7), padding=(0, 3, 3), **space),
            nn.BatchNorm3d(_FACTORED_STEM),
            nn.ReLU(inplace=True),
            nn.Conv3d(_FACTORED_STEM, 64, (3, 1, 1), padding=(1, 0, 0), bias=False),
        ]
    else:
        time = 1 if kind == "r2d" else 3
        layers = [nn.Conv3d(channels, 64, (time, 7, 7), padding=(time // 2, 3, 3), **space)]
    layers += [nn.BatchNorm3d(64), nn.ReLU(inplace=True)]
    if max_pool:
        layers.append(nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)))
    return nn.Sequential(*layers)


def residual(
    kind: _Kind,
    depth: int,
    channels: int = 3,
    weights: str | None = None,
    *,
    stem_stride: int = 2,
    max_pool: bool = False,
    fine_map: bool = False,
) -> Encoder:
    """R3D, R(2+1)D or (`r2d`, for single pictures) 2D of 10, 26, 34 or 50 layers; of 18: torchvision's own, under its name.

    512 features, 2048 with bottlenecks (26 and 50 layers). As torchvision's of 18 layers, which has no max-pool after the
    stem; `max_pool` adds one in space, as CMD's networks have it. `stem_stride` counts pixels. `fine_map` is the map that
    CMD pre-trains: the third stage's, two times stacked into one, plus the last stage's, enlarged to it; no weight more,
    and `ordinary` takes it back (cmd.md, section 5).
    """
    block, layers = _BLOCKS[depth]
    network = VideoResNet(
        block, [_CONVOLUTIONS[kind]] * 4, layers, partial(_stem, kind, channels, stem_stride, max_pool), num_classes=1
    )
    if weights is not None:
        load_weights(network, weights, first="stem.0", head="fc")
    arguments = {"stem_stride": stem_stride, "max_pool": max_pool, "fine_map": fine_map}
    return Encoder(f"{kind}_{depth}", Stages(network, fine_map), channels, 512 * block.expansion, **arguments)


def ordinary(encoder: Encoder) -> Encoder:
    """Return the encoder with the map of its last stage: itself, unless it has a fine map. The weights are shared."""
    if not encoder.arguments.get("fine_map", False):
        return encoder
    body = copy.copy(encoder.body)
    body.fine_map = False  # type: ignore[assignment]  # nn.Module takes any attribute
    arguments = {**encoder.arguments, "fine_map": False}
    return Encoder(encoder.architecture, body, encoder.channels, encoder.dim, **arguments)


r2d_10 = partial(residual, "r2d", 10)
r3d_10, r3d_26, r3d_34, r3d_50 = (partial(residual, "r3d", depth) for depth in (10, 26, 34, 50))
r2plus1d_10, r2plus1d_26 = (partial(residual, "r2plus1d", depth) for depth in (10, 26))
