"""The encoder contract: clip in, feature map out; and the card that says how to feed it."""

from typing import Any

from torch import Tensor, nn

from reelvec.core.config import Config
from reelvec.core.needs import Needs
from reelvec.core.shapes import Float


class Encoder(nn.Module):
    """A network of clips. `body` maps normalised clips (b c t h w) to a feature map (b d t' h' w')."""

    def __init__(self, architecture: str, body: nn.Module, channels: int, dim: int, **arguments: Any) -> None:
        super().__init__()
        self.architecture, self.arguments = architecture, arguments
        self.body, self.channels, self.dim = body, channels, dim

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Map normalised clips to their feature map."""
        return self.body(clip)

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
    step: int
    weights_sha256: str = ""
