"""Networks small enough to learn on a CPU while one waits."""

from torch import nn

from reelvec.backbones.weights import load_weights
from reelvec.core.encoder import Encoder


def _network(channels: int, widths: tuple[int, ...], strides: tuple[tuple[int, int, int], ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, stride in zip(widths, strides, strict=True):
        layers += [
            nn.Conv3d(channels, width, 3, stride, 1, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    network = nn.Sequential(*layers)
    for module in network:
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def tiny(channels: int = 3, weights: str | None = None) -> Encoder:
    """Four 3x3x3 convolutions with batch norm, 128 features; 8 frames of 64 become a map of 2x4x4.

    Time is kept whole for two layers, so that what moves is seen before frames are merged.
    """
    body = _network(channels, (16, 32, 64, 128), ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)))
    if weights is not None:
        load_weights(body, weights, first="0")
    return Encoder("tiny", body, channels, 128)


def tiny_motion(channels: int = 1, weights: str | None = None) -> Encoder:
    """The same for motion maps, at half the width: 64 features."""
    body = _network(channels, (8, 16, 32, 64), ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)))
    if weights is not None:
        load_weights(body, weights, first="0")
    return Encoder("tiny_motion", body, channels, 64)
