"""The encoder contract: clip in, feature map out; and the card that says how to feed it."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from reelvec.core.config import Config
from reelvec.core.needs import Needs, Stream
from reelvec.core.shapes import Float


class Encoder(nn.Module):
    """A network of clips. `body` maps normalised clips (b c t h w) to a feature map (b d t' h' w')."""

    def __init__(self, architecture: str, body: nn.Module, channels: int, dim: int, **arguments: Any) -> None:
        super().__init__()
        self.architecture, self.arguments = architecture, arguments
        self.body, self.channels, self.dim = body, channels, dim

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Map normalised clips to their feature map."""
        # the layout of memory that convolutions run fastest in; the numbers are the same
        return self.body(clip.contiguous(memory_format=torch.channels_last_3d))

    def features(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d"]:
        """Pooled features: the mean of the feature map over time and space."""
        return self(clip).mean((2, 3, 4))


class EncoderCard(Config):
    """All that is needed to build an encoder again and to feed it: saved beside its weights."""

    name: str
    """which of the method's encoders: visual, motion"""
    architecture: str
    channels: int
    arguments: dict[str, Any] = {}
    needs: Needs
    """one stream and one clip: what to decode"""
    size: int
    """side of the square that the network sees"""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """per channel, after scaling uint8 to [0, 1]"""
    method: str
    step: int = 0
    weights_sha256: str = ""

    @classmethod
    def visual(cls, encoder: Encoder, needs: Needs, fed: "Fed", method: str) -> "EncoderCard":
        """Describe the encoder of RGB clips that `method` trains; `needs` are the method's."""
        return cls(
            name="visual", architecture=encoder.architecture, channels=encoder.channels, arguments=encoder.arguments,
            needs=needs.alone(needs.need(Stream.RGB)), size=fed.size, mean=fed.mean, std=fed.std, method=method,
        )  # fmt: skip


class Fed(Protocol):
    """How pixels reach a network: the settings of a view have these."""

    @property
    def size(self) -> int:
        """Side of the square that it sees."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel, subtracted."""

    @property
    def std(self) -> tuple[float, ...]:
        """Per channel, divided by."""
