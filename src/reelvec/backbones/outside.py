"""Networks from outside: what is known of the clips they expect, and which of their arguments hang on these."""

from collections.abc import Mapping
from typing import Any

from reelvec.backbones.catalogue import refuse_unknown
from reelvec.backbones.feeding import TORCHVISION, Feeding
from reelvec.backbones.hugging_face import FAMILIES, folder_feeding
from reelvec.backbones.images import image_feeding


def known_feeding(name: str, weights: str | None, arguments: Mapping[str, Any], size: int | None = None) -> Feeding:
    """Return what is known of the clips of a backbone: of the folder `weights`, else of the architecture.

    `arguments` are those it will be built with, `size` one that is asked for whatever is known. What is not known is None.
    ReelvecError for an unknown name, and for a folder that cannot be read or is of another network.
    """
    kind, _, model = refuse_unknown(name).partition(":")
    if kind == "timm":
        return image_feeding(model, weights, arguments.get("size"))[0]
    if kind in FAMILIES:
        return folder_feeding(kind, weights, arguments.get("config"), size)
    return TORCHVISION.get(kind, Feeding())


def fitted_arguments(name: str, weights: str | None, arguments: Mapping[str, Any], size: int, frames: int) -> dict[str, Any]:
    """Add to a backbone's arguments what makes it fit clips of this size and length, where that is part of the network."""
    kind, _, model = refuse_unknown(name).partition(":")
    added: dict[str, Any] = {}
    if kind == "mvit_v2_s":
        added = {"size": size, "frames": frames}
    elif kind == "timm":
        native, fixed = image_feeding(model, weights, None)
        added = {"size": size} if fixed and size != native.size else {}
    elif kind in FAMILIES:
        family = FAMILIES[kind]
        lengths = {family.frames: frames} if kind == "videomae" else {}
        added = {"config": {**arguments.get("config", {}), family.size: size, **lengths}}
    return {**arguments, **added}
