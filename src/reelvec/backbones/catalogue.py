"""The names of the backbones, a line each."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from reelvec.backbones.c3d import c3d
from reelvec.backbones.hugging_face import videomae, vjepa2
from reelvec.backbones.i3d import i3d
from reelvec.backbones.images import image_network
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
    "timm": image_network,
    "videomae": videomae,
    "vjepa2": vjepa2,
}
"""name -> build(channels, weights=None, **arguments); timm:NAME is timm with model=NAME. The last three need the extra hf"""


class _LessTemporalMean(nn.Module):
    """What changes in a clip: every place less its mean over time (TCGL). A scene that stands still is gone."""

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        return clip - clip.mean(2, keepdim=True)


def refuse_unknown(name: str) -> str:
    """Return the name where a backbone has it; ReelvecError otherwise. A network of timm is looked up when it is built."""
    kind, colon, model = name.partition(":")
    if kind not in BACKBONES or (kind == "timm") != bool(model) or (colon and kind != "timm"):
        known = ", ".join("timm:NAME" if kind == "timm" else kind for kind in BACKBONES)
        raise ReelvecError(f"the backbone '{name}'", known, "name one of these")
    return name


def build_encoder(name: str, /, channels: int = 3, *, remove_temporal_mean: bool = False, **arguments: Any) -> Encoder:
    """Build a backbone by name; `weights` (a path) and the backbone's own arguments by keyword.

    timm:NAME is the image network of that name in timm, frame by frame.

    With `remove_temporal_mean` the network sees each clip less its mean over time, in training and ever after.
    ReelvecError for a name, an argument or a value that does not exist.
    """
    name = refuse_unknown(name)
    kind, _, model = name.partition(":")
    arguments |= {"model": model} if model else {}
    asked = f"the backbone '{name}' with {', '.join(f'{key}={value}' for key, value in arguments.items())}"
    known = [p for p in inspect.signature(BACKBONES[kind]).parameters if p not in ("channels", "name", "depth", "kind")]
    if unknown := [argument for argument in arguments if argument not in known]:
        raise ReelvecError(asked, f"its arguments are {', '.join(known)}", f"leave out or correct {', '.join(unknown)}")
    try:
        encoder = BACKBONES[kind](channels, **arguments)
    except (TypeError, ValueError) as error:
        raise ReelvecError(asked, f"a value that does not fit: {error}", "correct the backbone's arguments") from error
    if remove_temporal_mean:
        encoder.body = nn.Sequential(_LessTemporalMean(), encoder.body)
        encoder.arguments["remove_temporal_mean"] = True
    return encoder
