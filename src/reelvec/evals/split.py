"""Holding a part of labelled videos out: stratified by class, and never through the middle of a group."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np


def hold_out(
    labels: Sequence[Hashable],
    groups: Sequence[Hashable] | None,
    share: float,
    rng: np.random.Generator,
    keep_classes: bool = True,
) -> np.ndarray:
    """Choose about `share` of the videos of each class; True where a video is held out.

    Videos of one group stay together. With `keep_classes`, at least one video of each class is left in place, where the
    class has more than one group at all; a class with a single group is never held out.
    """
    if groups is None:
        return _by_class(labels, share, rng, keep_classes)
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    wanted = {label: share * count for label, count in Counter(labels).items()}
    left = Counter(labels)
    held: Counter[Hashable] = Counter()
    chosen = np.zeros(len(labels), dtype=bool)
    names = list(members)
    # large groups first (in random order among equals): small ones then fill what is missing
    order = sorted(rng.permutation(len(names)), key=lambda i: -len(members[names[i]]))
    for i in order:
        inside = Counter(labels[j] for j in members[names[i]])
        before = sum(abs(wanted[label] - held[label]) for label in inside)
        after = sum(abs(wanted[label] - held[label] - count) for label, count in inside.items())
        empties = keep_classes and any(left[label] == count for label, count in inside.items())
        if after < before and not empties:
            held.update(inside)
            left.subtract(inside)
            chosen[members[names[i]]] = True
    return chosen


def _by_class(labels: Sequence[Hashable], share: float, rng: np.random.Generator, keep_classes: bool) -> np.ndarray:
    chosen = np.zeros(len(labels), dtype=bool)
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, label in enumerate(labels):
        members[label].append(i)
    for label in members:
        order = rng.permutation(members[label])
        # rounding up or down by chance keeps the total near the share when classes are small
        many = int(share * len(order) + rng.random())
        if keep_classes:
            many = min(max(many, 1), len(order) - 1)
        chosen[order[:many]] = True
    return chosen
