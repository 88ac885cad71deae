"""timm's image networks behind the `Encoder` contract: frames one by one, a map for each frame.

What such a network gives is the same for shuffled frames, but for their order: it knows no motion. That makes it the measure
of how far the scene alone goes.
"""

import difflib
import json
import math
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from reelvec.backbones.feeding import Feeding
from reelvec.backbones.optional import optional_package
from reelvec.backbones.weights import fill, read_weights
from reelvec.core.encoder import Encoder
from reelvec.core.errors import ReelvecError
from reelvec.core.shapes import Float

FRAMES, STRIDE = 8, 4
"""of a clip, unless told otherwise: an image network has no opinion"""


class FrameByFrame(nn.Module):
    """An image network on each frame by itself; its map, of any of timm's layouts, with channels first."""

    network: Any

    def __init__(self, name: str, network: nn.Module, size: int | None) -> None:
        super().__init__()
        self.name, self.network, self.size = name, network, size

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t h2 w2"]:
        """Leave out pooling and classifier; ReelvecError for frames of another size than the network was built for."""
        height, width = clip.shape[3:]
        if self.size is not None and (height, width) != (self.size, self.size):
            raise ReelvecError(
                f"{self.name} on frames of {height}x{width}",
                f"a network built for {self.size}x{self.size}: its positions are learnt",
                f"build it with size={height}",
            )
        maps = self._maps(self.network.forward_features(clip.transpose(1, 2).flatten(0, 1)), height, width)
        return maps.unflatten(0, (len(clip), -1)).transpose(1, 2)

    def _maps(self, features: Any, height: int, width: int) -> Float[Tensor, "bt d h2 w2"]:
        """Put channels first; tokens lie row by row, after those that belong to no place (class, registers)."""
        if isinstance(features, Tensor) and features.ndim == 4:
            channels_last = str(getattr(self.network, "output_fmt", "NCHW")).rpartition(".")[2] == "NHWC"
            return features.permute(0, 3, 1, 2) if channels_last else features
        if isinstance(features, Tensor) and features.ndim == 3:
            tokens = features[:, getattr(self.network, "num_prefix_tokens", 0) :]
            side = math.isqrt(tokens.shape[1])
            if height == width and side * side == tokens.shape[1]:
                return tokens.transpose(1, 2).unflatten(2, (side, side))
        raise ReelvecError(
            f"{self.name} as an encoder of video frames",
            f"features of frames of {height}x{width} that are no map of places",
            "take another image network, such as timm:resnet50 or timm:vit_base_patch16_224",
        )


def image_network(channels: int = 3, weights: str | None = None, *, model: str = "", size: int | None = None) -> Encoder:
    """Build any image network of timm by its name there; asked for as timm:NAME.

    Args:
        channels: of a frame.
        weights: a state dict (.safetensors, .pth), with or without its classifier, or a folder that holds one as
            model.safetensors beside a config.json, as the Hugging Face hub has it.
        model: timm's name, with or without a tag (resnet18, resnet18.a1_in1k).
        size: side of the frames, for networks that are built for one size (ViT, Swin); None: timm's own.

    ReelvecError for a name that timm does not know, a size it cannot be built for and weights of another network.
    """
    timm, config = _timm(model)
    fixed = bool(config.get("fixed_input_size"))
    if size is not None and not fixed:
        raise ReelvecError(f"timm:{model} with size={size}", "a network for frames of any size", "leave size out")
    native = _side(config)
    made: dict[str, Any] = {"pretrained": False, "num_classes": 0, "in_chans": channels}
    if fixed and size not in (None, native) and weights is None:
        network = timm.create_model(model, img_size=size, **made)
    else:
        network = timm.create_model(model, **made)
    if weights is not None:
        _fill(network, model, Path(weights), config)
        if fixed and size not in (None, native):
            if not hasattr(network, "set_input_size"):
                raise ReelvecError(
                    f"timm:{model} with weights and size={size}",
                    f"weights for {native} pixels that timm cannot fit to others",
                    "leave size out",
                )
            network.set_input_size(img_size=size)
    name = f"timm:{model}"
    body = FrameByFrame(name, network, (size or native) if fixed else None)
    return Encoder(name, body, channels, network.num_features, **({} if size is None else {"size": size}))


def image_feeding(model: str, weights: str | None, size: int | None) -> tuple[Feeding, bool]:
    """Return how the frames of an image network are shown, and whether it is built for one size.

    Normalisation and size are those of the folder's config.json where `weights` is a folder with one, else timm's.
    """
    _, config = _timm(model)
    config |= _of_folder(model, Path(weights)) if weights is not None and Path(weights).is_dir() else {}
    fed = Feeding(size or _side(config), FRAMES, STRIDE, None, tuple(config["mean"]), tuple(config["std"]))
    return fed, bool(config.get("fixed_input_size"))


def _timm(model: str) -> tuple[Any, dict[str, Any]]:
    """Return timm and what it says of a network's input; ReelvecError for a name it does not know."""
    timm = optional_package("timm", f"the backbone 'timm:{model}'", "hf")
    bare, _, tag = model.partition(".")
    if not timm.is_model(bare):
        near = difflib.get_close_matches(bare, timm.list_models(), n=3)
        raise ReelvecError(
            f"the backbone 'timm:{model}'",
            f"{len(timm.list_models())} networks in timm {timm.__version__}, none of that name",
            f"name one: {', '.join(f'timm:{name}' for name in near or ('resnet18', 'vit_base_patch16_224'))}",
        )
    try:
        config = timm.get_pretrained_cfg(model)
    except RuntimeError as error:
        raise ReelvecError(f"the backbone 'timm:{model}'", f"{error}", f"leave out .{tag}, or correct it") from error
    return timm, dict(config.to_dict()) if config is not None else {}


def _side(config: dict[str, Any]) -> int:
    return int(config["input_size"][-1])


def _of_folder(model: str, folder: Path) -> dict[str, Any]:
    """Read what a folder of the Hugging Face hub says of a network's input; {} where it has no config.json."""
    file = folder / "config.json"
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        architecture, said = content.get("architecture"), dict(content.get("pretrained_cfg") or {})
    except (ValueError, AttributeError, TypeError) as error:
        raise ReelvecError(
            f"timm:{model} from {folder}", f"a config.json that cannot be read ({error})", "fetch it again"
        ) from error
    if architecture is not None and architecture != model.partition(".")[0]:
        raise ReelvecError(
            f"timm:{model} from {folder}", f"a config.json of {architecture}", f"import timm:{architecture} instead"
        )
    return {name: said[name] for name in ("mean", "std", "input_size") if name in said}


def _fill(network: Any, model: str, path: Path, config: dict[str, Any]) -> None:
    if path.is_dir():
        _of_folder(model, path)
        names = ("model.safetensors", "pytorch_model.bin")
        path = next((path / name for name in names if (path / name).is_file()), path / names[0])
    classifier, first = config.get("classifier") or (), config.get("first_conv") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    do = "name the network of timm that these weights belong to"
    fill(network, read_weights(path), f"timm:{model} with weights from {path}", first=first, head=heads, do=do)
