"""What an evaluation can say about these labels, before any features are looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The columns that the labels allow, each with the share that luck alone gives; and what a reader has to know of them."""

    chance: Mapping[str, float]
    notes: Sequence[str] = ()
