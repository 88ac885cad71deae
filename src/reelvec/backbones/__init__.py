"""Networks behind the `Encoder` contract, by name, and encoders on disk."""

from reelvec.backbones.catalogue import BACKBONES, build_encoder
from reelvec.backbones.storage import load_encoder, save_encoder, saved_encoders

__all__ = ["BACKBONES", "build_encoder", "load_encoder", "save_encoder", "saved_encoders"]
