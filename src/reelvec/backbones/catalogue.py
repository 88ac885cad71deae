"""The names of the backbones, a line each."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from reelvec.backbones.c3d import c3d
from reelvec.backbones.i3d import i3d
from reelvec.backbones.motion_resnet import motion_r18, motion_r50
from reelvec.backbones.r3d import r2d_10, r2plus1d_10, r2plus1d_26, r3d_10, r3d_26, r3d_34, r3d_50
from reelvec.backbones.slow_r50 import slow_r50
from reelvec.backbones.tiny import tiny, tiny_motion
from reelvec.backbones.torchvision_video import mc3_18, mvit_v2_s, r2plus1d_18, r3d_18, s3d, swin3d_t
from reelvec.core.encoder import Encoder
from reelvec.core.errors import ReelvecError
from reelvec.core.shapes import Float

BACKBONES: dict[str, Callable[..., Encoder]] = {
    "r3d_18": r3d_18,
    "mc3_18": mc3_18,
    "r2plus1d_18": r2plus1d_18,
    "r3d_10": r3d_10,
    "r3d_26": r3d_26,
    "r3d_34": r3d_34,
    "r3d_50": r3d_50,
    "r2plus1d_10": r2plus1d_10,
    "r2plus1d_26": r2plus1d_26,
    "r2d_10": r2d_10,
    "c3d": c3d,
    "i3d": i3d,
    "s3d": s3d,
    "mvit_v2_s": mvit_v2_s,
    "swin3d_t": swin3d_t,
    "slow_r50": slow_r50,
    "motion_r18": motion_r18,
    "motion_r50": motion_r50,
    "tiny": tiny,
    "tiny_motion": tiny_motion,
}
"""name -> build(channels, weights=None, **arguments)"""


class _LessTemporalMean(nn.Module):
    """What changes in a clip: every place less its mean over time (TCGL). A scene that stands still is gone."""

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        return clip - clip.mean(2, keepdim=True)


def build_encoder(name: str, /, channels: int = 3, *, remove_temporal_mean: bool = False, **arguments: Any) -> Encoder:
    """Build a backbone by name; `weights` (a path) and the backbone's own arguments by keyword.

    With `remove_temporal_mean` the network sees each clip less its mean over time, in training and ever after.
    ReelvecError for a name, an argument or a value that does not exist.
    """
    if name not in BACKBONES:
        raise ReelvecError(f"the backbone '{name}'", ", ".join(BACKBONES), "name one of these")
    asked = f"the backbone '{name}' with {', '.join(f'{key}={value}' for key, value in arguments.items())}"
    known = [p for p in inspect.signature(BACKBONES[name]).parameters if p not in ("channels", "name", "depth", "kind")]
    if unknown := [argument for argument in arguments if argument not in known]:
        raise ReelvecError(asked, f"its arguments are {', '.join(known)}", f"leave out or correct {', '.join(unknown)}")
    try:
        encoder = BACKBONES[name](channels, **arguments)
    except (TypeError, ValueError) as error:
        raise ReelvecError(asked, f"a value that does not fit: {error}", "correct the backbone's arguments") from error
    if remove_temporal_mean:
        encoder.body = nn.Sequential(_LessTemporalMean(), encoder.body)
        encoder.arguments["remove_temporal_mean"] = True
    return encoder
