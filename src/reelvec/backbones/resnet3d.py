"""Residual networks of clips with a temporal kernel per stage: what `slow_r50` and the motion networks are made of."""

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from reelvec.core.shapes import Float

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
"""blocks of the four stages, by depth; 18 has basic blocks, 50 bottlenecks"""


class Bottleneck(nn.Module):
    """1x1 (with the temporal kernel), 3x3 (with the stride), 1x1 to four times the width."""

    expansion = 4

    def __init__(self, inputs: int, width: int, temporal_kernel: int, stride: int) -> None:
        super().__init__()
        out = width * self.expansion
        self.conv1, self.bn1 = _conv(inputs, width, temporal_kernel, 1), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = _conv(width, width, 1, 3, stride), nn.BatchNorm3d(width)
        self.conv3, self.bn3 = _conv(width, out, 1, 1), nn.BatchNorm3d(out)
        self.shortcut = _shortcut(inputs, out, stride)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t h2 w2"]:
        """Add what the branch computes to the (projected) input."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x), inplace=True)


class Basic(nn.Module):
    """3x3 (with the temporal kernel and the stride), 3x3."""

    expansion = 1

    def __init__(self, inputs: int, width: int, temporal_kernel: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, width, temporal_kernel, 3, stride), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = _conv(width, width, 1, 3), nn.BatchNorm3d(width)
        self.shortcut = _shortcut(inputs, width, stride)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t h2 w2"]:
        """Add what the branch computes to the (projected) input."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


class ResNet3d(nn.Sequential):
    """Stem (7x7, spatial stride 2, spatial max-pool) and four stages of spatial strides 1, 2, 2, 2; time is not pooled.

    `width` is the number of channels of the stem: 64 in the usual networks. The last feature map has `dim` channels.
    """

    def __init__(
        self,
        depth: int,
        channels: int,
        width: int,
        temporal_kernels: Sequence[int],
        stem_kernel: int,
        stem_stride: int,
        zero_init: bool,
    ) -> None:
        block: type[Bottleneck] | type[Basic] = Bottleneck if depth >= 50 else Basic
        stem = nn.Sequential(
            _conv(channels, width, stem_kernel, 7, 2, stem_stride),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        stages: OrderedDict[str, nn.Module] = OrderedDict(stem=stem)
        inputs = width
        for stage, (blocks, kernel) in enumerate(zip(BLOCKS[depth], temporal_kernels, strict=True)):
            layers: list[nn.Module] = []
            for i in range(blocks):
                layers.append(block(inputs, width << stage, kernel, stride=2 if stage > 0 and i == 0 else 1))
                inputs = (width << stage) * block.expansion
            stages[f"res{stage + 2}"] = nn.Sequential(*layers)
        super().__init__(stages)
        self.dim = inputs
        self._initialise(zero_init)

    def _initialise(self, zero_init: bool) -> None:
        """He initialisation (fan out); with `zero_init` each block starts as its shortcut (Goyal et al. 2017)."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init and isinstance(module, Bottleneck | Basic):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                nn.init.zeros_(last.weight)


def _conv(inputs: int, outputs: int, time: int, space: int, stride: int = 1, time_stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(
        inputs,
        outputs,
        (time, space, space),
        (time_stride, stride, stride),
        (time // 2, space // 2, space // 2),
        bias=False,
    )


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(_conv(inputs, outputs, 1, 1, stride), nn.BatchNorm3d(outputs))
