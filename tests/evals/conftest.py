"""A run folder that costs nothing to make."""

from pathlib import Path

import pytest
import torch

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, Stream, StreamNeed


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained visual encoder of four frames of 32 pixels; copy it before writing into it."""
    needs = Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=1),), clips=1, short_side=32)
    card = EncoderCard(
        name="visual", architecture="set when saved", channels=3, needs=needs, size=32, mean=(0.4,) * 3, std=(0.25,) * 3,
        method="none", step=3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_encoder(folder / "encoder", "visual", build_encoder("tiny"), card)
    return folder
