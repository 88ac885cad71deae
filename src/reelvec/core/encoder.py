"""The encoder contract: clip in, feature map out; and the card that says how to feed it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reelvec.core.config import Config
from reelvec.core.needs import Needs, Stream
from reelvec.core.shapes import Float


class Encoder(nn.Module):
    """A network of clips. `body` maps normalised clips (b c t h w) to a feature map (b d t' h' w')."""

    chunk: int | None
    """clips that go through `body` at a time; what is between its layers is then kept for one chunk only, and computed again
    for the gradient (gradient caching, arXiv 2101.06983). The gradient of the batch is the same. But batch norm normalises
    each chunk by itself, as it does each GPU's part of a batch"""

    def __init__(self, architecture: str, body: nn.Module, channels: int, dim: int, **arguments: Any) -> None:
        super().__init__()
        self.architecture, self.arguments = architecture, arguments
        self.body, self.channels, self.dim, self.chunk = body, channels, dim, None

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Map normalised clips to their feature map."""
        # the layout of memory that convolutions run fastest in; the numbers are the same
        clip = clip.contiguous(memory_format=torch.channels_last_3d)
        if clip.device.type == "cpu" and clip.shape[2] == 1:
            # on CPUs with AMX, oneDNN's bfloat16 convolutions of one frame with under 16 channels give wrong numbers and NaN
            with torch.autocast("cpu", enabled=False):
                return self._map(clip)
        return self._map(clip)

    def _map(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        if self.chunk is None or len(clip) <= self.chunk:
            return self.body(clip)
        parts = clip.tensor_split(-(-len(clip) // self.chunk))  # of equal size: the last is not a single clip
        if not torch.is_grad_enabled():
            return torch.cat([self.body(part) for part in parts])
        return torch.cat([checkpoint(self.body, part, use_reentrant=False, context_fn=self._contexts) for part in parts])

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return contexts for the first computation of a chunk and for the second, which must not count twice."""
        return nullcontext(), _without_running_statistics(self.body)

    def features(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d"]:
        """Pooled features: the mean of the feature map over time and space."""
        return self(clip).mean((2, 3, 4))


@contextmanager
def _without_running_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms normalise by their batch as in training, and leave their running statistics as they are."""
    norms = [norm for norm in module.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches


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
