"""The R3D-50 of CVRL and of MoDist's visual pathway, and the "slow" ResNet-50 of the rho study: settings of one network."""

from collections.abc import Sequence

from reelvec.backbones.resnet3d import ResNet3d
from reelvec.backbones.weights import load_weights
from reelvec.core.encoder import Encoder


def slow_r50(
    channels: int = 3,
    weights: str | None = None,
    *,
    stem_kernel: int = 5,
    stem_stride: int = 2,
    temporal_kernels: Sequence[int] = (1, 1, 3, 3),
    zero_init: bool = True,
) -> Encoder:
    """ResNet-50 with temporal kernels: 31.7 M weights, 2048 features; 16 frames of 224 become a map of 8x7x7.

    `stem_kernel` and `stem_stride` count frames; `temporal_kernels` belong to res2 to res5. Defaults: CVRL and MoDist
    (cvrl.md and modist.md, section 5). The rho study: `stem_kernel=1, stem_stride=1` (rho_family.md, section 5).
    """
    body = ResNet3d(50, channels, 64, temporal_kernels, stem_kernel, stem_stride, zero_init)
    if weights is not None:
        load_weights(body, weights, first="stem.0")
    arguments = {
        "stem_kernel": stem_kernel,
        "stem_stride": stem_stride,
        "temporal_kernels": list(temporal_kernels),
        "zero_init": zero_init,
    }
    return Encoder("slow_r50", body, channels, body.dim, **arguments)
