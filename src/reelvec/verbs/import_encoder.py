"""`reelvec import`: a network that was trained elsewhere becomes an encoder folder, read like any run."""

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from reelvec.backbones import build_encoder, load_encoder, save_encoder
from reelvec.backbones.feeding import Feeding
from reelvec.backbones.outside import fitted_arguments, known_feeding
from reelvec.core import Encoder, EncoderCard, Needs, ReelvecError, RunFolder, Stream, StreamNeed, Times
from reelvec.views import normalise

FRESH = "fresh weights: this network has learnt nothing"


def import_encoder(
    name: str,
    out: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    *,
    size: int | None = None,
    frames: int | None = None,
    stride: int | None = None,
    frames_per_second: float | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    fit: Literal["keep", "square"] = "keep",
    arguments: dict[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write an encoder folder of a network from outside, which `evaluate`, `diagnose`, `embed` and `search` take as a run.

    What is not given is taken from the folder of the weights where that says it, else from what is known of the
    architecture. Nothing is downloaded, and nothing is unpickled but tensors.

    Args:
        name: a backbone: r3d_18, mc3_18, r2plus1d_18, s3d, mvit_v2_s, swin3d_t (torchvision), timm:NAME, videomae, vjepa2
            (transformers), or one of reelvec's own.
        out: the folder to make; None: encoders/NAME.
        weights: a state dict (.safetensors, .pth); for videomae and vjepa2 the folder that holds config.json and
            model.safetensors. None: fresh weights, drawn by `seed`, which the card, the result and its notes say.
        size: side of the centre square that the network sees, in pixels.
        frames: of a clip.
        stride: distance of two frames, counted at `frames_per_second`.
        frames_per_second: 0: the file's own rate.
        mean: per channel of red, green, blue in [0, 1], subtracted.
        std: likewise, divided by.
        fit: "square" squeezes frames into a square instead of cutting the centre one out.
        arguments: the backbone's own, such as {"config": {"hidden_size": 192}} for a fresh videomae.

    Returns {"out", "architecture", "method", "dim", "weights_million", "clip", "map", "mean", "std", "weights_sha256",
    "notes"}. What was written is read again and tried on one clip first. Raises ReelvecError for a name, weights or settings
    that do not fit, and where nothing says how clips are to be shown.
    """
    source = None if weights is None else os.path.expanduser(os.fspath(weights))
    own = dict(arguments or {})
    given = {"size": size, "frames": frames, "stride": stride, "frames_per_second": frames_per_second, "mean": mean, "std": std}
    known = known_feeding(name, source, own, size)
    fed = _decided(name, known, {key: value for key, value in given.items() if value is not None})
    folder = RunFolder(out if out is not None else Path("encoders") / name.replace(":", "-"))
    if folder.exists():
        raise ReelvecError(f"import {name} to {folder.path}", "a training run of that name", "choose another out=FOLDER")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build_encoder(name, 3, weights=source, **fitted_arguments(name, source, own, fed.size, fed.frames)).eval()
    before = _tried(name, encoder, fed)
    need = StreamNeed(stream=Stream.RGB, frames=fed.frames, stride=fed.stride)
    card = EncoderCard(
        name="visual",
        architecture=encoder.architecture,
        channels=3,
        needs=Needs(
            streams=(need,),
            clips=1,
            times=Times(rule="spread"),
            frames_per_second=fed.frames_per_second,
            short_side=fed.size,
            fit=fit,
        ),
        size=fed.size,
        mean=fed.mean,
        std=fed.std,
        method="imported: fresh weights" if source is None else f"imported: {os.path.basename(os.path.normpath(source))}",
    )
    save_encoder(folder.encoder, "visual", encoder, card)
    with torch.random.fork_rng(devices=[]):
        again, written = load_encoder(folder.path)
    if not torch.equal(_tried(name, again, fed), before):
        raise ReelvecError(
            f"import {name} to {folder.path}",
            "an encoder that answers otherwise after it was written and read",
            "report this network: part of it is not in its weights",
        )
    return {
        "out": str(folder.path),
        "architecture": written.architecture,
        "method": written.method,
        "dim": encoder.dim,
        "weights_million": round(sum(p.numel() for p in encoder.parameters()) / 1e6, 3),
        "clip": _clip_in_words(fed, fit),
        "map": list(before.shape[1:]),
        "mean": list(fed.mean),
        "std": list(fed.std),
        "weights_sha256": written.weights_sha256,
        "notes": _notes(name, source, known, fed),
    }


@dataclasses.dataclass(frozen=True)
class _Fed:
    """How clips are shown, all of it decided."""

    size: int
    frames: int
    stride: int
    frames_per_second: float | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _decided(name: str, known: Feeding, given: dict[str, Any]) -> _Fed:
    """Put what is given over what is known; ReelvecError where something is missing or makes no sense."""
    values = dataclasses.asdict(known) | given
    asked = f"import {name}"
    if missing := [key for key, value in values.items() if value is None and key != "frames_per_second"]:
        raise ReelvecError(
            asked,
            f"nothing that says its {', '.join(missing)}: how clips were shown to this network in its training",
            "give " + " ".join(f"{key}={'R,G,B' if key in ('mean', 'std') else 'N'}" for key in missing),
        )
    for key in ("size", "frames", "stride"):
        if values[key] < 1:
            raise ReelvecError(
                f"{asked} with {key}={values[key]}", "clips of at least one frame and pixel", f"give {key} above 0"
            )
    if len(values["mean"]) != 3 or len(values["std"]) != 3 or not all(value > 0 for value in values["std"]):
        raise ReelvecError(
            f"{asked} with mean={values['mean']} std={values['std']}",
            "three colours: red, green and blue",
            "give three numbers each, parted by commas; those of std above 0",
        )
    if (values["frames_per_second"] or 0) < 0:
        raise ReelvecError(f"{asked} with frames_per_second={values['frames_per_second']}", "a rate", "0 is the file's own")
    return _Fed(**values | {"frames_per_second": values["frames_per_second"] or None})


def _tried(name: str, encoder: Encoder, fed: _Fed) -> Tensor:
    """Return the map (1 d t' h' w') of one clip of a pattern; ReelvecError where the network cannot take it."""
    asked = f"import {name} for {fed.frames} frames of {fed.size}x{fed.size}"
    pattern = torch.linspace(0, 40, 3 * fed.frames * fed.size**2).sin().view(1, 3, fed.frames, fed.size, fed.size)
    try:
        with torch.inference_mode():
            found = encoder(normalise((1 + pattern) / 2, fed.mean, fed.std))
    except (RuntimeError, ValueError, AssertionError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ReelvecError(asked, f"a network that cannot take them: {first}", "give another size= or frames=") from error
    if found.ndim != 5 or found.shape[1] != encoder.dim or not bool(found.isfinite().all()):
        raise ReelvecError(
            asked,
            f"a map of {tuple(found.shape)}, not all of it finite numbers",
            "fetch the weights again, or take another network",
        )
    return found


def _clip_in_words(fed: _Fed, fit: str) -> str:
    rate = f"{fed.frames_per_second:g} a second" if fed.frames_per_second else "the file's rate"
    square = "the whole frame, squeezed" if fit == "square" else "the centre square"
    return f"{fed.frames} frames, {fed.stride} apart at {rate}; {square} at {fed.size} px"


def _notes(name: str, source: str | None, known: Feeding, fed: _Fed) -> list[str]:
    notes = [FRESH] if source is None else []
    if name.startswith("timm:"):
        notes.append("an image network: it looks at frames one by one, and mean features know nothing of their order")
    if name == "videomae" and source is not None and known.size != fed.size:
        notes.append(
            f"VideoMAE numbers its positions along all tokens: at {fed.size} px every place has another number than at "
            f"{known.size} px, for which these weights were trained"
        )
    return notes
