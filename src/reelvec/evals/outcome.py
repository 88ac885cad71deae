"""What an evaluation finds: for every column a score of each test video, of each draw or of each episode, not a mean alone.

Two encoders are compared score by score: that needs far fewer videos than comparing two means with their intervals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from reelvec.core.shapes import Float, Int
from reelvec.evals.intervals import over_draws, over_episodes, share_over_groups, wilson

Over = Literal["videos", "draws", "episodes"]
"""what a column is a mean over"""


@dataclass(frozen=True)
class Answers:
    """One column: scores in the order of the test videos, or of the draws or episodes, which depend on labels alone."""

    score: Float[Tensor, "units"]
    """shares; of a test video 1 where it is a hit, else 0"""
    over: Over = "videos"
    named: Int[Tensor, "units"] | None = None
    """the class that each test video was given"""
    sure: Float[Tensor, "units"] | None = None
    """the probability with which it was given"""

    @property
    def mean(self) -> float:
        """The number in the table."""
        return self.score.double().mean().item()

    @property
    def half(self) -> float | None:
        """Half the width of the 95 % interval over draws or episodes; None over videos, whose interval is Wilson's."""
        if self.over == "videos":
            return None
        _, half = (over_draws if self.over == "draws" else over_episodes)(self.score.tolist())
        return half


@dataclass(frozen=True)
class Outcome:
    """All columns of one evaluation of one encoder, and numbers beside them, such as a strength that was picked."""

    columns: Mapping[str, Answers]
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def shares(self) -> dict[str, float]:
        """The mean of every column."""
        return {column: answers.mean for column, answers in self.columns.items()}


def interval(answers: list[Answers], groups: Int[Tensor, "units"] | None = None) -> tuple[float, float]:
    """Return the 95 % interval of the mean over several networks of a kind, asked about the same units.

    `groups` are those of the test videos: videos of one group go together, and the interval holds the luck of the groups.
    Over draws and episodes, half its width is the mean of theirs: the interval of their mean is no wider.
    """
    mean = sum(one.mean for one in answers) / len(answers)
    halves = [one.half for one in answers]
    known = [half for half in halves if half is not None]
    if not known and groups is not None:
        return share_over_groups(torch.stack([one.score.double() for one in answers]).mean(0).tolist(), groups.tolist())
    if not known:
        return wilson(mean, len(answers[0].score))
    half = sum(known) / len(known)
    return max(0.0, mean - half), min(1.0, mean + half)
