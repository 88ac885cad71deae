"""Networks small enough to learn on a CPU while one waits."""

import torch
from torch import Tensor, nn

from reelvec.backbones.weights import load_weights
from reelvec.core.encoder import Encoder
from reelvec.core.shapes import Float

# time is kept whole for two layers, so that what moves is seen before frames are merged
_STRIDES = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))


def _column(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Four 3x3x3 convolutions with batch norm; 8 frames of 64 become a map of 2x4x4."""
    layers: list[nn.Module] = []
    for width, stride in zip(widths, _STRIDES, strict=True):
        convolution = nn.Conv3d(channels, width, 3, stride, 1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        layers += [convolution, nn.BatchNorm3d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers)


class _FramesAndChanges(nn.Module):
    """Two columns side by side: one reads the frames, the other how each frame differs from the next.

    From frames alone a network of this size learns nothing of what moves in hundreds of steps, not even with labels: the
    texture of a scene that stands still drowns a small moving thing. Differences of frames are blind to what stands still.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.frames, self.changes = _column(channels, widths), _column(channels, widths)

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        changes = torch.diff(clip, dim=2, append=clip[:, :, -1:])  # no change after the last frame
        return torch.cat([self.frames(clip), self.changes(changes)], 1)


def tiny(channels: int = 3, weights: str | None = None) -> Encoder:
    """Frames and their changes, 64 features each: 128 together."""
    body = _FramesAndChanges(channels, (12, 24, 48, 64))
    if weights is not None:
        load_weights(body, weights, first=("frames.0", "changes.0"))
    return Encoder("tiny", body, channels, 128)


def tiny_motion(channels: int = 1, weights: str | None = None) -> Encoder:
    """One thin column for motion maps: 64 features."""
    body = _column(channels, (8, 16, 32, 64))
    if weights is not None:
        load_weights(body, weights, first="0")
    return Encoder("tiny_motion", body, channels, 64)
