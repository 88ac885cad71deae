"""The evaluations that read clips and train, by name."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from reelvec.core import Encoder, EncoderCard
from reelvec.core.shapes import Bool, Int
from reelvec.data.index import Index
from reelvec.engine.extract import OnProgress
from reelvec.evals.heads.attentive import Attentive
from reelvec.evals.heads.finetune import Finetune
from reelvec.evals.heads.linear_sgd import LinearSgd
from reelvec.evals.outcome import Outcome
from reelvec.evals.plan import Plan


@runtime_checkable
class ClipEval(Protocol):
    """What an evaluation offers that reads clips itself: it trains on those of the training videos, with their labels."""

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        ...

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """Return which columns there are with these labels, what chance gives in each, and notes for the reader."""
        ...

    def run(
        self,
        encoder: Encoder,
        card: EncoderCard,
        index: Index,
        rows: Sequence[int],
        labels: Int[Tensor, "videos"],
        test: Bool[Tensor, "videos"],
        groups: Int[Tensor, "videos"] | None = None,
        *,
        device: torch.device,
        workers: int = 0,
        on_progress: OnProgress | None = None,
    ) -> Outcome:
        """Return the columns of `plan`: a score for each test video, in their order in `rows`.

        `rows` are those of the index, `labels`, `test` and `groups` stand in their order. What is drawn follows from the seed
        alone; the encoder that is given is not changed. No label of a test video is known until its answer stands. A training
        video that cannot be read is left out, such a test video counts as missed; a detail says how many they are.
        """
        ...


CLIP_EVALS: dict[str, type[ClipEval]] = {
    "finetune": Finetune,
    "attentive": Attentive,
    "linear_sgd": LinearSgd,
}
