"""A run named as of a kept step, runs/a@100: its encoders with the weights that they had then."""

import hashlib
import os
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from reelvec import backbones
from reelvec.core import Encoder, EncoderCard, ReelvecError, RunFolder


def run_folder(run: str | os.PathLike[str]) -> Path:
    """Return the folder of a run, whichever step is named."""
    return _split(run)[0]


def saved_encoders(run: str | os.PathLike[str]) -> list[str]:
    """Return the names of a run's encoders, "visual" first."""
    return backbones.saved_encoders(run_folder(run))


def load_encoder(run: str | os.PathLike[str], name: str = "visual") -> tuple[Encoder, EncoderCard]:
    """Load an encoder of a run folder, or of `FOLDER@STEP` as it was at a kept step, in evaluation mode, with its card.

    The weights of a step are those of the method. Which of them are the encoder's is told by the newest step: there they are
    equal to the encoder's own file. Raises ReelvecError for a step that is not kept, naming those that are.
    """
    folder, step = _split(run)
    encoder, card = backbones.load_encoder(folder, name)
    if step is None or step == card.step:
        return encoder, card
    asked = f"the encoder '{name}' of {folder} at step {step}"
    kept = RunFolder(folder).saved_steps()
    if step not in kept:
        there = f"kept steps {', '.join(map(str, kept))}" if kept else "no kept step"
        raise ReelvecError(asked, there, f"name one of these: {folder}@{kept[-1]}" if kept else "leave @STEP out")
    if card.step not in kept:
        do = f"go on with the training of {folder}, or name the run without @STEP"
        raise ReelvecError(asked, f"an encoder of step {card.step}, of which no step is kept to tell its weights by", do)
    then = _weights(RunFolder(folder).step_folder(step), RunFolder(folder).step_folder(card.step), encoder, asked)
    encoder.load_state_dict(then)
    content = safetensors.torch.save({key: value.contiguous() for key, value in encoder.state_dict().items()})
    return encoder, card.model_copy(update={"step": step, "weights_sha256": hashlib.sha256(content).hexdigest()})


def _split(run: str | os.PathLike[str]) -> tuple[Path, int | None]:
    folder, at, step = str(run).rpartition("@")
    if not at or not step.isdecimal() or Path(run).exists():
        return Path(run), None
    return Path(folder), int(step)


def _weights(then: Path, newest: Path, encoder: Encoder, asked: str) -> dict[str, Tensor]:
    """Return the encoder's weights of a step: those under the names that are equal to its own in the newest step."""
    own = encoder.state_dict()
    first = next(iter(own))
    try:
        with (
            safe_open(newest / "method.safetensors", "pt") as now,
            safe_open(then / "method.safetensors", "pt") as before,
        ):
            names = set(now.keys()) & set(before.keys())
            starts = [
                start
                for start in sorted(key.removesuffix(first) for key in names if key == first or key.endswith(f".{first}"))
                if all(start + key in names and torch.equal(now.get_tensor(start + key), own[key]) for key in own)
            ]
            found = [{key: before.get_tensor(start + key) for key in own} for start in starts]
    except (OSError, SafetensorError) as error:
        raise ReelvecError(asked, f"weights that cannot be read ({error})", "name another step, or none") from error
    if not found or any(not torch.equal(found[0][key], other[key]) for other in found[1:] for key in own):
        there = f"{len(found) or 'no'} networks in {newest} whose weights are the encoder's"
        raise ReelvecError(asked, there, "name the run without @STEP")
    return found[0]
