"""A small network of clips, its card and coloured videos, for the tests of evaluations that read clips and train."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from reelvec.core import Encoder, EncoderCard, Needs, Stream, StreamNeed
from reelvec.data.index import Index, index
from reelvec.evals.heads.looks import Source, Tally
from reelvec.evals.outcome import Outcome

CPU = torch.device("cpu")
CARD = EncoderCard(
    name="visual",
    architecture="none",
    channels=3,
    needs=Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=1),), clips=1, short_side=24),
    size=16,
    mean=(0.45,) * 3,
    std=(0.225,) * 3,
    method="none",
)
COLOURS = np.array([(200, 30, 30), (30, 180, 60), (40, 60, 210)])


def small_encoder(seed: int = 0, scale: float = 1.0) -> Encoder:
    """Patches of 2x8x8, batch norm: 4 frames of 16 become a map of 2x2x2 with 12 features."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        body = nn.Sequential(nn.Conv3d(3, 12, (2, 8, 8), (2, 8, 8)), nn.BatchNorm3d(12), nn.ReLU())
    body[0].weight.data *= scale
    return Encoder("none", body, 3, 12).eval()


class _Block(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, 2, batch_first=True)
        self.mlp, self.drop = nn.Linear(dim, dim), StochasticDepth(0.0, "row")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm1(x)
        x = x + self.drop(self.attention(normed, normed, normed, need_weights=False)[0])
        return x + self.drop(self.mlp(self.norm2(x)))


class _Transformer(nn.Module):
    """Patches of 2x8x8, positions, three blocks, a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 8, 16))
        self.patch = nn.Conv3d(3, 16, (2, 8, 8), (2, 8, 8))
        self.blocks = nn.Sequential(*(_Block(16) for _ in range(3)))
        self.norm = nn.LayerNorm(16)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(clip).flatten(2).transpose(1, 2) + self.pos_embed
        return self.norm(self.blocks(tokens)).transpose(1, 2).unflatten(2, (2, 2, 2))


def small_transformer() -> Encoder:
    """Three blocks on patches of 2x8x8: 4 frames of 16 become a map of 2x2x2 with 16 features."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Encoder("none", _Transformer(), 3, 16).eval()


@dataclass(frozen=True)
class Case:
    """Labelled videos of two sides."""

    index: Index
    rows: list[int]
    labels: Tensor
    test: Tensor

    def run(self, one: object, encoder: Encoder | None = None, **other: object) -> Outcome:
        """Run an evaluation on a small network; by keyword, what stands in another place."""
        given = {"labels": self.labels, "test": self.test, "groups": None, "card": CARD, "index": self.index} | other
        card, probed = given.pop("card"), given.pop("index")
        rest = {name: given.pop(name) for name in ("workers", "on_progress") if name in given}
        return one.run(encoder or small_encoder(), card, probed, self.rows, **given, device=CPU, **rest)

    def source(self) -> Source:
        """Where the clips of these videos come from."""
        return Source(self.index, CARD, CPU, 0, Tally(1, None))


def coloured(folder: Path, make_video: Callable[..., Path], many: int) -> Case:
    """Short wide videos, red, green and blue in turn; every third three are tested. Not in the order of their rows."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(many):
        shade = np.clip(COLOURS[i % 3] + rng.integers(-25, 25, 3), 0, 255)

        def picture(number: int, shade: np.ndarray = shade) -> np.ndarray:
            frame = np.empty((24, 32, 3), np.uint8)
            frame[:] = shade
            frame[:, 3 * number % 28 : 3 * number % 28 + 4] = 240
            return frame

        paths.append(make_video(folder / f"{i:03d}.mp4", frames=10, size=(32, 24), picture=picture))
    probed = index(paths, workers=0)
    rows = np.random.default_rng(1).permutation(len(probed)).tolist()
    numbers = torch.tensor([int(Path(probed.row(row).path).stem) for row in rows])
    return Case(probed, rows, numbers % 3, numbers // 3 % 3 == 2)
