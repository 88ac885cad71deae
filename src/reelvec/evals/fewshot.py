"""Few-shot episodes on frozen features: nearest class mean by cosine (eval_protocols, section i)."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reelvec.core import Config, sample_generator
from reelvec.core.shapes import Float, Int
from reelvec.evals.outcome import Answers, Outcome
from reelvec.evals.plan import Plan

_CHUNK = 32
"""episodes scored at once: constant, so that memory does not grow with their number"""


def episode_accuracies(
    features: Float[Tensor, "m d"], shots: Int[Tensor, "episodes ways k"], queries: Int[Tensor, "episodes ways q"]
) -> Float[Tensor, "episodes"]:
    """Score episodes: a query belongs to the class whose mean of unit features has the largest cosine with it.

    `shots` and `queries` are rows of `features`; -1 is no query. An episode's accuracy is the mean over its classes of the
    share of right queries, so that a class with fewer queries weighs no less.
    """
    unit, ways = F.normalize(features, dim=1), shots.shape[1]
    means = F.normalize(unit[shots].mean(2), dim=-1)
    cosine = torch.einsum("ewqd,evd->ewqv", unit[queries.clamp(min=0)], means)
    asked = queries >= 0
    right = (cosine.argmax(-1) == torch.arange(ways, device=features.device)[:, None]) & asked
    return (right.sum(2).double() / asked.sum(2)).mean(1)


class Fewshot(Config):
    """N-way K-shot episodes of test videos. Classes and videos are drawn by (seed, episode): all rows get the same."""

    ways: int = Field(default=5, ge=2)
    """classes of an episode; all usable ones where there are fewer"""
    shots: tuple[int, ...] = (1, 5)
    """videos a class that are shown; a column each"""
    queries: int = Field(default=15, ge=1)
    """videos a class that are asked for; what is left where a class has fewer"""
    episodes: int = Field(default=600, ge=2)
    centred: bool = False
    """take the mean of the training videos' features off first"""
    seed: int = 0

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        centred = "less the mean of the training videos" if self.centred else "not centred"
        return (
            f"{self.episodes} episodes by seed {self.seed}, the same for all rows; features {centred}, each of length one; "
            f"nearest class mean by cosine; {self.queries} queries a class, of no group that is shown; mean of the episodes' "
            "accuracies, interval +- 1.96 std / sqrt(episodes): over episodes, which share the same test videos"
        )

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """A column for each number of shots; luck hits one of the classes."""
        notes, chance = [], {}
        found = int((test_labels.bincount() > 0).sum())
        known = int(torch.isin(test_labels.unique(), train_labels).sum())
        known_words = f"{known} of them also have training videos" if known else "none of them has a training video"
        notes.append(f"fewshot: episodes are drawn from the test videos of all {found} test classes; {known_words}")
        for shots in self.shots:
            usable = _usable(test_labels, test_groups, shots)
            if len(usable) < 2:
                notes.append(f"fewshot: no {shots}-shot column, as {len(usable)} classes have test videos beside {shots} shots")
                continue
            ways = min(self.ways, len(usable))
            chance[_column(ways, shots)] = 1 / ways
            if len(usable) < max(self.ways, found):
                notes.append(
                    f"fewshot: {ways}-way with {shots} shots, drawn from the {len(usable)} classes that have test videos "
                    "beside the shots"
                )
            left = min(len(videos) for videos, _ in usable) - shots
            if left < self.queries:
                notes.append(f"fewshot: with {shots} shots, classes of few test videos are asked at most {left} queries")
        return Plan(chance, notes)

    def run(
        self,
        train_features: Float[Tensor, "n d"],
        train_labels: Int[Tensor, "n"],
        test_features: Float[Tensor, "m d"],
        test_labels: Int[Tensor, "m"],
        train_groups: Int[Tensor, "n"] | None = None,
        test_groups: Int[Tensor, "m"] | None = None,
    ) -> Outcome:
        """Return for each column the accuracy of every episode; training videos serve to centre only."""
        features = test_features.double()
        if self.centred:
            features = features - train_features.double().mean(0)
        columns = {}
        for shots in self.shots:
            usable = _usable(test_labels, test_groups, shots)
            if len(usable) < 2:
                continue
            column = _column(min(self.ways, len(usable)), shots)
            shown, asked = (torch.from_numpy(np.stack(part)) for part in zip(*self.drawn(usable, shots), strict=True))
            chunks = zip(shown.split(_CHUNK), asked.split(_CHUNK), strict=True)
            accuracies = torch.cat([episode_accuracies(features, *chunk) for chunk in chunks])
            columns[column] = Answers(accuracies, over="episodes")
        return Outcome(columns)

    def drawn(self, usable: list[tuple[np.ndarray, np.ndarray]], shots: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield each episode's shown videos (ways, shots) and asked ones (ways, queries; -1 where a class has no more).

        `usable` are the videos of each class and their groups, numbered from 0. A class shows the groups that come first in
        a random order, until it has its shots; what is left of these groups is not asked for.
        """
        for episode in range(self.episodes):
            rng = sample_generator(self.seed, episode, f"fewshot/{shots}")
            chosen = rng.permutation(len(usable))[: self.ways]
            shown, asked = np.empty((len(chosen), shots), np.int64), np.full((len(chosen), self.queries), -1)
            for way, number in enumerate(chosen):
                videos, groups = usable[number]
                names = groups.max() + 1
                order = np.lexsort((rng.random(len(videos)), rng.permutation(names)[groups]))
                seen = np.zeros(names, dtype=bool)
                seen[groups[order[:shots]]] = True
                rest = rng.permutation(order[~seen[groups[order]]])[: self.queries]
                shown[way], asked[way, : len(rest)] = videos[order[:shots]], videos[rest]
            yield shown, asked


def _column(ways: int, shots: int) -> str:
    return f"fewshot {ways}-way {shots}-shot"


def _usable(labels: Int[Tensor, "m"], groups: Int[Tensor, "m"] | None, shots: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (videos, groups from 0) of the classes that can show `shots` videos and be asked for one of another group."""
    numbered = labels.cpu().numpy()
    of_group = np.arange(len(numbered)) if groups is None else groups.cpu().numpy()
    usable = []
    for label in np.unique(numbered):
        videos = np.flatnonzero(numbered == label)
        _, inside = np.unique(of_group[videos], return_inverse=True)
        # the order of groups is random: even if the largest comes last, the others must hold the shots
        if len(videos) - np.bincount(inside).max() >= shots:
            usable.append((videos, inside))
    return usable
