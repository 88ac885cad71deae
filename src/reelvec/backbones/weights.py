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


def load_weights(
    model: nn.Module,
    path: str | Path,
    *,
    first: str | tuple[str, ...],
    head: str | tuple[str, ...] = (),
    do: str = "name the architecture that these weights belong to",
) -> None:
    """Fill a model from a file; see `fill`."""
    fill(model, read_weights(path), f"weights from {path}", first=first, head=head, do=do)


def fill(
    model: nn.Module,
    weights: dict[str, Tensor],
    asked: str,
    *,
    first: str | tuple[str, ...],
    head: str | tuple[str, ...] = (),
    do: str = "name the architecture that these weights belong to",
) -> None:
    """Fill a model from a state dict. Names and shapes have to agree, but for two things.

    `head`: weights under these prefixes are left out, so that any number of classes is welcome. `first`: the name of the
    first convolution, or names where several columns read the clip. Where the model takes other than the weights' channels,
    its kernel becomes the mean over their channels, scaled so that a picture with equal channels gives the same answer as
    before. ReelvecError (`asked`, what disagrees, `do`) otherwise.
    """
    heads = tuple(f"{name}." for name in ((head,) if isinstance(head, str) else head))
    given = {k: v for k, v in weights.items() if not k.startswith(heads)}
    own = {k: v for k, v in model.state_dict().items() if not k.startswith(heads)}
    for name in (first,) if isinstance(first, str) else first:
        kernel = f"{name}.weight"
        if kernel in given and kernel in own and given[kernel].shape[1] != own[kernel].shape[1]:
            many, wanted = given[kernel].shape[1], own[kernel].shape[1]
            given[kernel] = (given[kernel].mean(1, keepdim=True) * (many / wanted)).repeat_interleave(wanted, 1)
    check_names(own, given, asked, do)
    model.load_state_dict(given, strict=not heads)


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
