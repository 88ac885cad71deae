"""The method contract: batch in, dict with a loss out."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from reelvec.core import config
from reelvec.core.batch import Batch
from reelvec.core.encoder import Encoder, EncoderCard
from reelvec.core.needs import Needs
from reelvec.core.progress import Progress
from reelvec.core.shapes import Float


class Method(nn.Module, ABC):
    """Something that learns from unlabelled video. Final classes only: nothing inherits from a method.

    A method holds networks, buffers and its settings. It has no optimiser, no file, no rank, no clock: `at` is its only clock
    and its only source of randomness, so that a step is a function of (weights, buffers, batch, at).
    """

    Config: ClassVar[type[config.Config]]
    """the type of its settings; its defaults are the paper's"""
    accumulates: ClassVar[bool]
    """whether k small batches with summed gradients equal the method on one large batch, but for what a queue holds"""
    config: config.Config

    @abstractmethod
    def needs(self) -> Needs:
        """Say what has to be decoded; asked for before anything starts."""

    @abstractmethod
    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """Compute {"loss": a scalar to minimise, ...more numbers to log}; push queues here, after their use."""

    @abstractmethod
    def after_step(self, at: Progress) -> None:
        """Do what follows the optimiser's step: move slow networks, renormalise prototypes."""

    @abstractmethod
    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Project n views of every video as the loss compares them; read by the health panel, changes nothing."""

    @abstractmethod
    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Return what is kept after training, by name; "visual" is always there."""
