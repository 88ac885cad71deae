"""C3D, the plain column of 3x3x3 convolutions that first-generation self-supervised methods pre-trained."""

from torch import Tensor, nn

from reelvec.backbones.weights import load_weights
from reelvec.core.encoder import Encoder
from reelvec.core.errors import ReelvecError
from reelvec.core.shapes import Float

_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""widths of the convolutions; stages are parted by max-pools"""
LEAST_FRAMES = 8
"""of a clip: its pools reduce a shorter one to nothing"""
_LEAST_SIDE = 16


class _Column(nn.Sequential):
    """Eight convolutions in five stages; the pool after the first keeps time whole, the others halve it."""

    def __init__(self, channels: int, batch_norm: bool) -> None:
        layers: list[nn.Module] = []
        for stage, widths in enumerate(_STAGES):
            if stage:
                kernel = (1, 2, 2) if stage == 1 else (2, 2, 2)
                layers.append(nn.MaxPool3d(kernel, kernel))
            for width in widths:
                convolution = nn.Conv3d(channels, width, 3, 1, 1, bias=not batch_norm)
                nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
                if convolution.bias is not None:
                    nn.init.zeros_(convolution.bias)
                layers += [convolution, *([nn.BatchNorm3d(width)] if batch_norm else []), nn.ReLU(inplace=True)]
                channels = width
        super().__init__(*layers)

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Leave out the last pool; ReelvecError for clips that the four others reduce to nothing."""
        time, height, width = clip.shape[2:]
        if time < LEAST_FRAMES or min(height, width) < _LEAST_SIDE:
            raise ReelvecError(
                f"c3d on clips of {time} frames of {height}x{width}",
                f"pools that need at least {LEAST_FRAMES} frames of {_LEAST_SIDE}x{_LEAST_SIDE}",
                "take longer or larger clips (repeat the frames of short ones), or another backbone",
            )
        return super().forward(clip)


def c3d(channels: int = 3, weights: str | None = None, *, batch_norm: bool = True) -> Encoder:
    """C3D without its fully connected layers: 27.7 M weights, 512 features; 16 frames of 112 become a map of 2x7x7.

    Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks" (ICCV 2015) has no batch normalisation;
    the self-supervised methods that took it over put one after each convolution and pool the last map (vtdl.md, section 5;
    cmd.md, section 5).
    """
    body = _Column(channels, batch_norm)
    if weights is not None:
        load_weights(body, weights, first="0")
    return Encoder("c3d", body, channels, _STAGES[-1][-1], batch_norm=batch_norm)
