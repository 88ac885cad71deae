"""Weights from a local file: never unpickled, never fetched, and never loaded in part."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from reelvec.core.errors import ReelvecError

_SHOWN = 6


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a .safetensors, .pth or .pt file.

    ReelvecError where it is absent, cut short or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise ReelvecError(f"weights from {path}", "no such file", "give the path of a .safetensors, .pth or .pt file")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ReelvecError(
            f"weights from {path}",
            f"a file that cannot be read as weights ({reason})",
            "fetch it again, or save the state dict alone: torch.save(model.state_dict(), path)",
        ) from error
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ReelvecError(
            f"weights from {path}",
            f"a {type(content).__name__} that is not a plain dictionary of tensors",
            "save the state dict alone: torch.save(model.state_dict(), path)",
        )
    return content


def load_weights(model: nn.Module, path: str | Path, *, first: str | tuple[str, ...], head: str | None = None) -> None:
    """Fill a model from a file. Names and shapes have to agree, but for two things.

    `head`: weights under this prefix are left out, so that any number of classes is welcome. `first`: the name of the first
    convolution, or names where several columns read the clip. Where the model takes other than the file's channels, its
    kernel becomes the mean over the file's channels, scaled so that a picture with equal channels gives the same answer as
    before.
    """
    weights = {k: v for k, v in read_weights(path).items() if head is None or not k.startswith(f"{head}.")}
    own = {k: v for k, v in model.state_dict().items() if head is None or not k.startswith(f"{head}.")}
    for name in (first,) if isinstance(first, str) else first:
        kernel = f"{name}.weight"
        if kernel in weights and kernel in own and weights[kernel].shape[1] != own[kernel].shape[1]:
            given, wanted = weights[kernel].shape[1], own[kernel].shape[1]
            weights[kernel] = (weights[kernel].mean(1, keepdim=True) * (given / wanted)).repeat(1, wanted, 1, 1, 1)
    check_names(own, weights, f"weights from {path}", "name the architecture that these weights belong to")
    model.load_state_dict(weights, strict=head is None)


def check_names(own: dict[str, Tensor], given: dict[str, Tensor], asked: str, do: str) -> None:
    """Raise a ReelvecError that says what is missing, unknown or of another shape."""
    found = {
        "missing": [k for k in own if k not in given],
        "unknown": [k for k in given if k not in own],
        "of another shape": [
            f"{k} {tuple(given[k].shape)} instead of {tuple(own[k].shape)}"
            for k in own
            if k in given and given[k].shape != own[k].shape
        ],
    }
    told = [
        f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''}"
        for what, names in found.items()
        if names
    ]
    if told:
        raise ReelvecError(asked, f"weights of another network; {'; '.join(told)}", do)
