"""Saved steps: weights and buffers, the optimiser's state, and where the run stood. Nothing is pickled."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from reelvec.core import ReelvecError, RunFolder, write_whole


def save_step(run: RunFolder, step: int, method: nn.Module, optimiser: Optimizer, keep: int) -> Path:
    """Write steps/NNNNNN/ whole or not at all, then drop all but the newest `keep` steps."""

    def write(folder: Path) -> None:
        folder.mkdir()
        _save_tensors(method.state_dict(), folder / "method.safetensors")
        tensors, rest = _flatten(optimiser)
        _save_tensors(tensors, folder / "optimizer.safetensors")
        state = {"step": step, "optimizer": rest, "torch": torch.__version__}
        (folder / "state.json").write_text(json.dumps(state))

    folder = run.step_folder(step)
    write_whole(folder, write)
    for old in run.saved_steps()[:-keep]:
        shutil.rmtree(run.step_folder(old), ignore_errors=True)
    return folder


def load_step(run: RunFolder, step: int, method: nn.Module, optimiser: Optimizer) -> None:
    """Put a saved step back, strictly. A file that is cut or does not fit is a ReelvecError that names it."""
    folder = run.step_folder(step)
    earlier = [s for s in run.saved_steps() if s < step]
    remedy = (
        f"remove {folder} and run again: it goes on from step {earlier[-1]}"
        if earlier
        else "no earlier step is saved: start again with another out=FOLDER"
    )
    try:
        state = json.loads((folder / "state.json").read_text())
        weights = load_file(folder / "method.safetensors")
        tensors = load_file(folder / "optimizer.safetensors")
    except Exception as error:  # safetensors has errors of its own for a cut header and a cut body
        raise ReelvecError(f"go on from {folder}", f"a file that cannot be read ({error})", remedy) from None
    have, want = set(weights), set(method.state_dict())
    if have != want:
        missing, unknown = sorted(want - have), sorted(have - want)
        raise ReelvecError(
            f"go on from {folder}",
            f"weights of another network ({len(missing)} missing, such as {missing[:2]}; "
            f"{len(unknown)} unknown, such as {unknown[:2]})",
            "use the settings the run was started with, or another out=FOLDER",
        )
    try:
        method.load_state_dict(weights)
        _unflatten(optimiser, tensors, state["optimizer"])
    except (RuntimeError, KeyError, ValueError) as error:
        raise ReelvecError(f"go on from {folder}", f"a state that does not fit ({error})", remedy) from None


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    # clone: two names of one tensor (tied weights) may not share memory in the file
    try:
        save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:  # a full disk, in the library's own words
        raise OSError(0, str(error)) from error
    with path.open("rb") as file:
        os.fsync(file.fileno())  # a rename must not overtake the content


def _flatten(optimiser: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state into named tensors and what JSON can hold."""
    state = optimiser.state_dict()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for weight, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{weight}.{name}"] = value
            else:
                numbers.setdefault(str(weight), {})[name] = value
    return tensors, {"numbers": numbers, "groups": state["param_groups"]}


def _unflatten(optimiser: Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    state: dict[int, dict[str, Any]] = {int(weight): dict(entries) for weight, entries in rest["numbers"].items()}
    for key, value in tensors.items():
        weight, name = key.split(".", 1)
        state.setdefault(int(weight), {})[name] = value
    for saved, group in zip(rest["groups"], optimiser.state_dict()["param_groups"], strict=True):
        if len(saved["params"]) != len(group["params"]):
            raise ValueError(f"{len(saved['params'])} weights saved, {len(group['params'])} here")
    optimiser.load_state_dict({"state": state, "param_groups": rest["groups"]})
