"""Encoders on disk: NAME.safetensors with the weights, NAME.json with the card that says how to build and feed them."""

import hashlib
import json
import os
from pathlib import Path

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError

from reelvec.backbones.catalogue import build_encoder
from reelvec.backbones.weights import check_names
from reelvec.core.encoder import Encoder, EncoderCard
from reelvec.core.errors import ReelvecError
from reelvec.core.run_folder import write_json, write_whole

_AGAIN = "save it again from the run (the same pretrain command goes on from its last step), or copy it again whole"


def save_encoder(folder: str | os.PathLike[str], name: str, encoder: Encoder, card: EncoderCard) -> EncoderCard:
    """Write an encoder and its card; returns the card as written, with the hash of the weights.

    What the encoder knows of itself (architecture, channels, arguments) is taken from it, so the two cannot disagree.
    """
    folder = Path(folder)
    content = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()})
    written = card.model_copy(
        update={
            "name": name,
            "architecture": encoder.architecture,
            "channels": encoder.channels,
            "arguments": encoder.arguments,
            "weights_sha256": hashlib.sha256(content).hexdigest(),
        }
    )
    write_whole(folder / f"{name}.safetensors", lambda part: _write_bytes(part, content))
    write_json(folder / f"{name}.json", written.model_dump(mode="json"))
    return written


def saved_encoders(path: str | os.PathLike[str]) -> list[str]:
    """Names of the encoders of a run folder, or of its encoder folder; "visual" first."""
    folder = _encoder_folder(Path(path))
    return sorted((p.stem for p in folder.glob("*.json")), key=lambda name: (name != "visual", name))


def load_encoder(path: str | os.PathLike[str], name: str = "visual") -> tuple[Encoder, EncoderCard]:
    """Load an encoder of a run folder (or of its encoder folder), in evaluation mode on the CPU, with its card.

    ReelvecError where anything is missing, cut short, changed or from another network.
    """
    folder = _encoder_folder(Path(path))
    card_path, weights_path = folder / f"{name}.json", folder / f"{name}.safetensors"
    asked = f"the encoder '{name}' of {path}"
    if not card_path.is_file():
        there = ", ".join(saved_encoders(folder)) or "no encoder yet"
        raise ReelvecError(asked, there, "name one of these" if saved_encoders(folder) else "train first: reelvec pretrain")
    try:
        card = EncoderCard.model_validate(json.loads(card_path.read_text(encoding="utf-8")))
    except (ValueError, ValidationError) as error:  # json's own error is a ValueError
        raise ReelvecError(asked, f"{card_path.name} is not the card of an encoder: {_first_line(error)}", _AGAIN) from error
    if not weights_path.is_file():
        raise ReelvecError(asked, f"its card, but no {weights_path.name}", _AGAIN)
    content = weights_path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.weights_sha256:
        raise ReelvecError(asked, f"{weights_path.name} is cut short or not the file that its card was written for", _AGAIN)
    try:
        weights = safetensors.torch.load(content)
    except SafetensorError as error:
        raise ReelvecError(asked, f"{weights_path.name} is no safetensors file: {_first_line(error)}", _AGAIN) from error
    encoder = build_encoder(card.architecture, card.channels, **card.arguments)
    check_names(dict(encoder.state_dict()), weights, asked, "use the version of reelvec that saved it, or train again")
    encoder.load_state_dict(weights)
    return encoder.eval(), card


def _encoder_folder(path: Path) -> Path:
    if not path.is_dir():
        raise ReelvecError(f"an encoder of {path}", "no such folder", "give the folder of a run: runs/NAME")
    return path / "encoder" if (path / "encoder").is_dir() else path


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n")[:3])
