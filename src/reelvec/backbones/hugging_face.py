"""VideoMAE and V-JEPA 2 of transformers behind the `Encoder` contract: their tokens as a map, without decoder or predictor.

Weights come from a folder as the Hugging Face hub has it: config.json, model.safetensors and, where it is there, a
preprocessor config. Nothing is fetched, and pickles are read as tensors alone.
"""

import json
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from reelvec.backbones.feeding import Feeding, pixels_to_unit
from reelvec.backbones.optional import optional_package
from reelvec.backbones.weights import check_names, fill
from reelvec.core.encoder import Encoder
from reelvec.core.errors import ReelvecError
from reelvec.core.shapes import Float


@dataclass(frozen=True)
class Family:
    """One kind of network of transformers."""

    title: str
    """of its classes: <title>Config, <title>Model"""
    settings: tuple[str, ...]
    """of the config: all that the encoder is built by, and no more"""
    channels: str
    size: str
    frames: str
    """the settings that hold these"""
    fixed: dict[str, Any]
    """settings that are always so: no chance inside a step, nothing built that an encoder does not use"""
    first: str
    """the convolution that reads the clip"""
    part: str
    """the part of the model that is the encoder, "" for all of it"""
    blocks: str
    """where the encoder has its list of blocks"""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stride: int


_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_COMMON = ("patch_size", "tubelet_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_act")
FAMILIES = {
    # ImageNet's mean, 16 frames of which the file has 4 each: VideoMAE's own setting on Kinetics (eval_protocols, a1)
    "videomae": Family(
        title="VideoMAE",
        settings=(
            *("image_size", "num_frames", *_COMMON, "intermediate_size"),
            *("initializer_range", "layer_norm_eps", "qkv_bias", "use_mean_pooling"),
        ),
        channels="num_channels",
        size="image_size",
        frames="num_frames",
        fixed={"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
        first="embeddings.patch_embeddings.projection",
        part="",
        blocks="encoder.layer",
        stride=4,
        **_IMAGENET,
    ),
    # 16 frames, 4 apart: how V-JEPA 2 is probed on Kinetics and Something-Something (eval_protocols, j)
    "vjepa2": Family(
        title="VJEPA2",
        settings=("crop_size", "frames_per_clip", *_COMMON, "mlp_ratio", "initializer_range", "layer_norm_eps", "qkv_bias"),
        channels="in_chans",
        size="crop_size",
        frames="frames_per_clip",
        fixed={
            **{"attention_probs_dropout_prob": 0.0, "attention_dropout": 0.0, "drop_path_rate": 0.0},
            "pred_num_hidden_layers": 0,
        },
        first="encoder.embeddings.patch_embeddings.proj",
        part="encoder",
        blocks="layer",
        stride=4,
        **_IMAGENET,
    ),
}
_RENAMED = {"qkv_bias": "qv_bias"}
"""VideoMAE's setting is read under either name, but has only the new one in later versions of transformers"""
MOST_FRAMES = 16
"""of a clip for V-JEPA 2, whose positions are turns that go on for any number"""


class TokensMap(nn.Module):
    """Tokens of tubes of `patch` = (frames, height, width), in the order time, row, column, as a map with channels first."""

    network: Any

    def __init__(
        self, name: str, network: nn.Module, patch: tuple[int, int, int], size: int, frames: int | None, blocks: str
    ) -> None:
        super().__init__()
        self.name, self.network, self.patch, self.size, self.frames = name, network, patch, size, frames
        self.blocks = blocks

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Give the last tokens; ReelvecError for clips of another size or length than the positions are for."""
        time, height, width = clip.shape[2:]
        frames = self.frames or f"a multiple of {self.patch[0]}"
        if (height, width) != (self.size, self.size) or time % self.patch[0] or self.frames not in (None, time):
            raise ReelvecError(
                f"{self.name} on clips of {time} frames of {height}x{width}",
                f"a network whose positions are for {self.size}x{self.size}, frames: {frames}",
                f"import it with size={height} frames={time}, or show it the clips it is for",
            )
        return self._placed(self.network(clip.transpose(1, 2)).last_hidden_state, clip)

    def maps_of_layers(self, clip: Float[Tensor, "b c t h w"], layers: Sequence[int]) -> list[Float[Tensor, "b d t2 h2 w2"]]:
        """Give what stands after these blocks, 0 being the first and -1 the last, each under the norm that ends the network.

        That is what V-JEPA 2's probes of several layers read. ReelvecError for blocks that the network does not have.
        """
        blocks = self.network.get_submodule(self.blocks)
        if wrong := [str(layer) for layer in layers if not -len(blocks) <= layer < len(blocks)]:
            raise ReelvecError(
                f"tokens of layer {', '.join(wrong)} of {self.name}",
                f"a network of {len(blocks)} layers",
                f"name some of 0 to {len(blocks) - 1}, or count from the end with -1 to {-len(blocks)}",
            )
        kept: dict[nn.Module, Tensor] = {}

        def keep(block: nn.Module, _: Any, output: Any) -> None:
            kept[block] = output[0] if isinstance(output, tuple) else output

        hooks = [blocks[layer].register_forward_hook(keep) for layer in layers]
        try:
            self(clip)
        finally:
            for hook in hooks:
                hook.remove()
        norm = self.network.layernorm or nn.Identity()  # a VideoMAE that was fine-tuned has none
        return [self._placed(norm(kept[blocks[layer]]), clip) for layer in layers]

    def _placed(self, tokens: Float[Tensor, "b n d"], clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        grid = [many // step for many, step in zip(clip.shape[2:], self.patch, strict=True)]
        return tokens.transpose(1, 2).unflatten(2, grid)


def network_of_tokens(
    name: str, channels: int = 3, weights: str | None = None, *, config: dict[str, Any] | None = None
) -> Encoder:
    """videomae or vjepa2, as transformers has them.

    Args:
        channels: of a clip. Where the weights have another number, the first kernel becomes their mean, as elsewhere.
        weights: a folder with config.json and model.safetensors (or pytorch_model.bin), also of a network with a decoder, a
            predictor or a classifier: these are left out. None: fresh weights.
        config: settings of transformers' config by name, over those of the folder; the rest are transformers' defaults.

    The encoder's `arguments` hold the whole config, so that it can be built again without the folder. ReelvecError for
    settings that do not exist or fit, and for a folder that lacks something or holds another network.
    """
    family, asked = FAMILIES[name], f"the backbone '{name}'" + (f" from {weights}" if weights is not None else "")
    transformers = optional_package("transformers", asked, "hf")
    given = dict(config or {})
    if unknown := [key for key in given if key not in family.settings]:
        raise ReelvecError(
            f"{asked} with config {', '.join(unknown)}", f"the settings {', '.join(family.settings)}", "name these alone"
        )
    read = folder_config(name, weights) if weights is not None else {}
    try:
        made = getattr(transformers, f"{family.title}Config")(
            **{**_kept(read, family), **given, family.channels: channels, **family.fixed}
        )
        settings = {key: getattr(made, key if hasattr(made, key) else _RENAMED[key]) for key in family.settings}
        size, frames = _square(settings[family.size]), settings[family.frames]
        patch = (settings["tubelet_size"], *[_square(settings["patch_size"])] * 2)
        fits = size % patch[1] == 0 and frames % patch[0] == 0
    except Exception as error:  # transformers checks its configs by several kinds of errors
        raise ReelvecError(asked, f"a config that does not fit: {_first(error)}", "correct its settings") from error
    if not fits:
        raise ReelvecError(
            f"{asked} for {frames} frames of {size}x{size}",
            f"tubes of {patch[0]} frames of {patch[1]}x{patch[2]}",
            "choose multiples of these",
        )
    with _quiet(transformers):
        try:
            if weights is None:
                model = getattr(transformers, f"{family.title}Model")(made)
            else:
                model = _load(transformers, family, Path(weights), made, read.get(family.channels, 3), asked)
        except pickle.UnpicklingError as error:
            raise ReelvecError(
                asked, "a pickle of more than tensors, which is not opened", "fetch model.safetensors instead"
            ) from error
        except (OSError, ValueError, RuntimeError, SafetensorError, EOFError) as error:
            do = "fetch the folder again whole" if weights is not None else "correct the config"
            raise ReelvecError(asked, f"transformers says: {_first(error)}", do) from error
    network = getattr(model, family.part) if family.part else model
    body = TokensMap(name, network, patch, size, frames if name == "videomae" else None, family.blocks)
    return Encoder(name, body, channels, settings["hidden_size"], config=settings)


videomae, vjepa2 = (partial(network_of_tokens, name) for name in FAMILIES)


def folder_config(name: str, folder: str | Path) -> dict[str, Any]:
    """Read the config.json of a folder; ReelvecError where it is absent, broken or of another kind of network."""
    folder, asked = Path(folder), f"the backbone '{name}' from {folder}"
    if not folder.is_dir():
        there = "a file, which does not say how its network is built" if folder.is_file() else "no such folder"
        raise ReelvecError(asked, there, "give the folder that holds config.json and model.safetensors")
    content = _read_json(folder / "config.json", asked)
    if content is None:
        raise ReelvecError(asked, "no config.json there", "give the folder that holds config.json and model.safetensors")
    if content.get("model_type") != name:
        raise ReelvecError(
            asked,
            f"a config.json of the model type {content.get('model_type')!r}",
            f"reelvec imports the types {', '.join(FAMILIES)}, timm's image networks and torchvision's video networks",
        )
    return content


def folder_feeding(name: str, weights: str | None, config: dict[str, Any] | None = None, size: int | None = None) -> Feeding:
    """Return how the clips of a network of transformers are shown.

    Size and frames are those of the network's config; normalisation, and the number and rate of frames where they are
    given, those of the folder's preprocessor config; what is not there is the architecture's own. ReelvecError where
    preprocessor and network want different sizes and `size` does not say which.
    """
    family, asked = FAMILIES[name], f"the backbone '{name}'" + (f" from {weights}" if weights is not None else "")
    transformers = optional_package("transformers", asked, "hf")
    plain = getattr(transformers, f"{family.title}Config")()
    read = (folder_config(name, weights) if weights is not None else {}) | (config or {})
    said = _preprocessor(Path(weights), asked) if weights is not None else {}
    try:
        native = _square(read.get(family.size, getattr(plain, family.size)))
        frames = int(said.get("num_frames") or read.get(family.frames, getattr(plain, family.frames)))
        shown, rate = _shown_size(said), float(said.get("fps") or 0)
        mean, std = _colours(said, family)
    except (TypeError, ValueError) as error:
        raise ReelvecError(asked, f"configs that cannot be understood: {_first(error)}", "correct them") from error
    if shown not in (None, native) and size is None and family.size not in (config or {}):
        raise ReelvecError(
            asked,
            f"a network for {native} pixels and a preprocessor config of {shown}",
            f"say which: size={native} or size={shown}",
        )
    if name == "vjepa2" and "num_frames" not in said:
        frames = min(frames, MOST_FRAMES)
    return Feeding(native, frames, 1 if rate else family.stride, rate or None, mean, std)


def _colours(said: dict[str, Any], family: Family) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std for pixels of [0, 1], whatever factor a preprocessor config has for those of 0 to 255."""
    mean, std = (tuple(map(float, said.get(f"image_{key}") or getattr(family, key))) for key in ("mean", "std"))
    if not said.get("do_normalize", True):
        mean, std = (0.0,) * 3, (1.0,) * 3
    return pixels_to_unit(mean, std, float(said.get("rescale_factor") or 1 / 255) if said.get("do_rescale", True) else 1.0)


def _load(transformers: Any, family: Family, folder: Path, config: Any, there: int, asked: str) -> Any:
    """Read a folder's weights into a model of this config, whatever its number of channels."""
    wanted = getattr(config, family.channels)
    setattr(config, family.channels, there)
    kind = getattr(transformers, f"{family.title}Model")
    model, report = kind.from_pretrained(
        str(folder),
        config=config,
        dtype=torch.float32,
        local_files_only=True,
        weights_only=True,
        ignore_mismatched_sizes=True,  # the predictor's; those of the encoder are refused below
        output_loading_info=True,
    )
    own = {key: value for key, value in model.state_dict().items() if key.startswith(family.part)}
    given = {key: value for key, value in own.items() if key not in report["missing_keys"]}
    given |= {key: torch.empty(shape) for key, shape, _ in report["mismatched_keys"] if key in own}
    check_names(own, given, asked, "fetch the folder again whole, or correct the config of its network")
    if wanted == there:
        return model
    setattr(config, family.channels, wanted)
    other = kind(config)
    fill(other, model.state_dict(), asked, first=family.first)
    return other


def _kept(read: dict[str, Any], family: Family) -> dict[str, Any]:
    """Keep what builds the encoder, under the names that every version of transformers takes."""
    renamed = {old: read[new] for old, new in _RENAMED.items() if new in read}
    return {key: value for key, value in (renamed | read).items() if key in family.settings}


def _preprocessor(folder: Path, asked: str) -> dict[str, Any]:
    """Read what a folder says of its pixels, under any of the names that transformers gave that file; {} if nothing."""
    for file in ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json"):
        content = _read_json(folder / file, asked)
        if content is not None:
            inner = content.get("video_processor") or content.get("image_processor")
            return inner if isinstance(inner, dict) else content
    return {}


def _shown_size(said: dict[str, Any]) -> int | None:
    """Side of the square that a preprocessor config leaves; None where it does not say."""
    cuts = said.get("do_center_crop", "crop_size" in said)
    value = said.get("crop_size") if cuts else said.get("size")
    if isinstance(value, dict):
        value = value.get("height", value.get("shortest_edge"))
    return int(value) if value else None


def _square(value: Any) -> int:
    """Side of what a config gives as a number or as height and width; ValueError where these differ."""
    sides = set(value) if isinstance(value, list | tuple) else {value}
    if len(sides) != 1:
        raise ValueError(f"{value}: reelvec shows squares")
    return int(sides.pop())


def _read_json(file: Path, asked: str) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ReelvecError(asked, f"{file.name} cannot be read ({_first(error)})", "fetch it again") from error
    if not isinstance(content, dict):
        raise ReelvecError(asked, f"{file.name} holds no settings", "fetch it again")
    return content


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers from reporting on decoders and classifiers that are left out on purpose."""
    log = transformers.utils.logging
    level, bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bar:
            log.enable_progress_bar()


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3]) or type(error).__name__
