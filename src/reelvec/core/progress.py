"""The only clock and the only source of randomness that a method sees."""

from dataclasses import dataclass

from reelvec.core.batch import Batch
from reelvec.core.draws import Draws


@dataclass(frozen=True)
class Progress:
    """Where a run stands: step `step` (from 0) of `total`, `epoch` passes over the videos so far."""

    step: int
    total: int
    epoch: float
    seed: int
    rank: int = 0

    @property
    def share(self) -> float:
        """Share of the run that is done, in [0, 1)."""
        return self.step / max(self.total, 1)

    def draws(self, batch: Batch, scope: str) -> Draws:
        """Draws for each sample of a batch; name the scope after the view: "query", "key"."""
        return Draws(self.seed, batch.numbers, scope, batch.host_numbers)
