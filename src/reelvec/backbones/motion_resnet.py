"""The thin motion ResNets of MoDist: an eighth of the usual width, because motion maps are simpler than pictures."""

from functools import partial

from reelvec.backbones.resnet3d import ResNet3d
from reelvec.backbones.weights import load_weights
from reelvec.core.encoder import Encoder


def motion_resnet(
    depth: int,
    channels: int = 1,
    weights: str | None = None,
    *,
    stem_kernel: int = 5,
    stem_stride: int = 1,
    temporal_kernel: int = 1,
    narrower: int = 8,
    zero_init: bool = True,
) -> Encoder:
    """Motion network of 18 or 50 layers; with 50 layers the stem has 8 channels and the map 256 (modist.md, section 5).

    It is called 2D: `temporal_kernel`, of all residual blocks, is 1. Its stem spans 5 frames all the same, as in the
    released code, which gives both pathways one stem. The 3D variant is `temporal_kernel=3`; a network that never looks
    from frame to frame is `stem_kernel=1`. `narrower` divides the channels.
    """
    body = ResNet3d(depth, channels, 64 // narrower, (temporal_kernel,) * 4, stem_kernel, stem_stride, zero_init)
    if weights is not None:
        load_weights(body, weights, first="stem.0")
    arguments = {
        "stem_kernel": stem_kernel,
        "stem_stride": stem_stride,
        "temporal_kernel": temporal_kernel,
        "narrower": narrower,
        "zero_init": zero_init,
    }
    return Encoder(f"motion_r{depth}", body, channels, body.dim, **arguments)


motion_r18 = partial(motion_resnet, 18)
motion_r50 = partial(motion_resnet, 50)
