"""A run folder with two tiny untrained encoders, one that reads frames and one that reads motion."""

from pathlib import Path

import pytest
import torch

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, Stream, StreamNeed


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for name, stream, channels in (("visual", Stream.RGB, 3), ("motion", Stream.FLOW_EDGES, 1)):
        need = StreamNeed(stream=stream, frames=4, stride=2)
        card = EncoderCard(
            name=name, architecture="set when saved", channels=channels, needs=Needs(streams=(need,), clips=1), size=32,
            mean=(0.4,) * channels, std=(0.25,) * channels, method="none", step=7,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(5)
            save_encoder(folder / "encoder", name, build_encoder("tiny" if channels == 3 else "tiny_motion", channels), card)
    return folder
