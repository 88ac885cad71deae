"""Videos of one source on both sides: groups that were given or that file names tell, and files that are copies of another."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from reelvec.core import ReelvecError

_PIECE_BYTES = 4096
"""of the middle of a file: enough to tell videos of one size apart without reading all of them"""


def copies(paths: Sequence[str]) -> list[list[int]]:
    """Return the numbers of the files that are byte for byte alike, a list for each content that is there more than once.

    Only files of one size are opened, and only those whose middle is alike are read as a whole. Empty files are no copies.
    """
    of_size = _alike(range(len(paths)), lambda i: _size(paths[i]))
    of_middle = [same for members in of_size for same in _alike(members, lambda i: _middle(paths[i]))]
    return [same for members in of_middle for same in _alike(members, lambda i: _content(paths[i]))]


def joined_groups(groups: Sequence[str], alike: Iterable[Sequence[int]]) -> list[str]:
    """Return the groups, those that hold copies of one file made one, under the name of the first."""
    into: dict[str, str] = {}

    def name(group: str) -> str:
        while group in into:
            group = into[group]
        return group

    for members in alike:
        first = name(groups[members[0]])
        into |= {name(groups[i]): first for i in members if name(groups[i]) != first}
    return [name(group) for group in groups]


def on_both_sides(groups: Sequence[Hashable], sides: Sequence[Hashable]) -> list[str]:
    """Return the groups that have videos on more than one side, sorted by name."""
    seen: dict[Hashable, set[Hashable]] = defaultdict(set)
    for group, side in zip(groups, sides, strict=True):
        seen[group].add(side)
    return sorted(str(group) for group, of_group in seen.items() if len(of_group) > 1)


def of_groups(shared: Sequence[str], many: int, told_by: str | None) -> ReelvecError | None:
    """Return the error of groups on both sides of a given split, if there are; `told_by` says whose file names tell them."""
    if not shared:
        return None
    told = f" ({told_by})" if told_by else ""
    do = (
        "move each group to one side, or leave the split to reelvec: with groups alone it parts none; "
        + ("if these are no groups, name the true ones: group_column=NAME; " if told_by else "")
        + "to measure all the same, accept_shared_sources=true"
    )
    return ReelvecError(
        "evaluate with the given split and groups",
        f"{len(shared)} of {many} groups have videos in both train and test: {_few(shared)}{told}",
        do,
    )


def of_copies(pairs: Sequence[tuple[str, str]]) -> ReelvecError | None:
    """Return the error of test videos that are copies of training videos, if there are; pairs as of `shared_copies`."""
    if not pairs:
        return None
    trained, tested = pairs[0]
    return ReelvecError(
        "evaluate with the given split",
        f"{len(pairs)} test {'video is' if len(pairs) == 1 else 'videos are'} byte for byte a training video: "
        f"{tested} is {trained}" + (f", and {len(pairs) - 1} more" if len(pairs) > 1 else ""),
        "take one of the two out; to measure all the same, accept_shared_sources=true",
    )


def shared_copies(paths: Sequence[str], sides: Sequence[str | None], alike: Iterable[Sequence[int]]) -> list[tuple[str, str]]:
    """Return for each test video that is a copy of a training video the paths of the two, the training video first."""
    pairs = []
    for members in alike:
        train = [i for i in members if sides[i] == "train"]
        pairs += [(paths[train[0]], paths[i]) for i in members if train and sides[i] == "test"]
    return pairs


def _few(names: Sequence[str], many: int = 3) -> str:
    return ", ".join(names[:many]) + (f" and {len(names) - many} more" if len(names) > many else "")


def _alike(members: Iterable[int], key: Callable[[int], Hashable | None]) -> list[list[int]]:
    found: dict[Hashable, list[int]] = defaultdict(list)
    for i in members:
        if (told := key(i)) is not None:
            found[told].append(i)
    return [same for same in found.values() if len(same) > 1]


def _size(path: str) -> int | None:
    return os.path.getsize(path) or None


def _middle(path: str) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) // 2 - _PIECE_BYTES // 2))
        return file.read(_PIECE_BYTES)


def _content(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
