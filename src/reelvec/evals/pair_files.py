"""Lists of pairs of videos in folds, same action or not: ASLAN's View2.mat, or a table of one's own."""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reelvec.backbones.optional import optional_package
from reelvec.core import ReelvecError
from reelvec.core.shapes import Bool, Int
from reelvec.data.sources import VIDEO_SUFFIXES
from reelvec.evals.label_table import Table, read_table

COLUMNS = ("first", "second", "same", "fold")
_ASLAN = "action_splits_pairs"
"""name of the matrix in View2.mat: pairs x (first id, second id, same, first class, second class) x splits"""
_WORDS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "same"), True),
    **dict.fromkeys(("0", "0.0", "-1", "false", "no", "different", "not same", "not-same"), False),
}
"""of the column `same`"""


@dataclass(frozen=True)
class Pairs:
    """Pairs of videos by their numbers in `paths`."""

    paths: list[str]
    """without repetition, sorted"""
    pairs: Int[Tensor, "pairs two"]
    same: Bool[Tensor, "pairs"]
    fold: Int[Tensor, "pairs"]
    title: str
    notes: list[str]

    @property
    def fingerprint(self) -> str:
        """A hash of which names of files are paired, and how: numbers of other lists are not comparable."""
        names = [os.path.basename(path) for path in self.paths]
        listed = [[names[i], names[j]] for i, j in self.pairs.tolist()]
        content = json.dumps([listed, self.same.tolist(), self.fold.tolist()])
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def of(self, kept: Bool[Tensor, "videos"]) -> "Pairs":
        """Keep the pairs whose videos are both kept; ReelvecError where a fold loses its pairs of one kind."""
        there = kept[self.pairs].all(1)
        number = kept.cumsum(0) - 1
        paths = [path for path, is_kept in zip(self.paths, kept.tolist(), strict=True) if is_kept]
        lost = len(there) - int(there.sum())
        lacks = [f"{lost} of {len(there)} pairs are left out, as one of their videos cannot be read"] if lost else []
        notes = [*self.notes, *lacks]
        left = Pairs(paths, number[self.pairs[there]], self.same[there], self.fold[there], self.title, notes)
        _refuse_thin_folds(left, len(self.fold.unique()))
        return left


def read_pairs(source: str | os.PathLike[str], videos: str | os.PathLike[str] | None = None) -> Pairs:
    """Read pairs of videos.

    A table (CSV or Parquet) has the columns first and second (paths, relative ones below `videos`, else from the table's
    folder), same (1 or 0, same or different, yes or no) and fold (any names). ASLAN's View2.mat numbers its samples; they are
    the videos below `videos`, at any depth, whose names end in its four digits; reading it takes SciPy (extra `eval`).
    Raises ReelvecError for what is absent, cannot be understood or stands in two folds, and for folds without both kinds.
    """
    path = Path(source)
    if not path.is_file():
        raise ReelvecError(f"read pairs of videos from {path}", "no such file", f"give a table with the columns {_listed()}")
    read = _aslan(path, videos) if path.suffix.lower() == ".mat" else _table(path, videos)
    _refuse_repeated(read, path)
    _refuse_thin_folds(read, len(read.fold.unique()))
    return read


def _listed() -> str:
    return ", ".join(COLUMNS)


def _table(path: Path, videos: str | os.PathLike[str] | None) -> Pairs:
    table = read_table(path)
    named = {name.lower(): name for name in table.columns}
    if lacking := [name for name in COLUMNS if name not in named]:
        raise ReelvecError(
            f"read pairs of videos from {path}",
            f"columns {', '.join(table.columns)}; none named {', '.join(lacking)}",
            f"give a table with the columns {_listed()}",
        )
    columns = {name: [row[named[name]].strip() for row in table.rows] for name in COLUMNS}
    if empty := [name for name, values in columns.items() if not all(values)]:
        raise ReelvecError(f"read pairs of videos from {path}", f"rows without {', '.join(empty)}", "fill or remove them")
    if strange := sorted({word for word in columns["same"] if word.lower() not in _WORDS}):
        raise ReelvecError(
            f"read the column 'same' of {path}", f"the word {strange[0]!r}", "write 1 for the same action and 0 for two"
        )
    base = Path(videos) if videos is not None else _base(table, columns["first"])
    first, second = ([os.path.abspath(base / cell) for cell in columns[side]] for side in ("first", "second"))
    absent = sorted({file for file in (*first, *second) if not os.path.isfile(file)})
    if absent:
        raise ReelvecError(
            f"find the videos of the pairs of {path}",
            f"{len(absent)} of them are no file, the first {absent[0]}",
            "say which folder paths count from: videos=FOLDER; or correct them",
        )
    same = [_WORDS[word.lower()] for word in columns["same"]]
    return _numbered(first, second, same, columns["fold"], f"the pairs of {path.name}", [])


def _base(table: Table, cells: Sequence[str]) -> Path:
    """Where relative paths count from, as for tables of labels: the table's folder, or the working folder."""
    near = table.path.absolute().parent
    return near if any((near / cell).exists() for cell in cells) or not any(map(os.path.exists, cells)) else Path.cwd()


def _aslan(path: Path, videos: str | os.PathLike[str] | None) -> Pairs:
    asked = f"read ASLAN's pairs from {path}"
    try:
        matrix = optional_package("scipy.io", asked, "eval").loadmat(path).get(_ASLAN)
    except (OSError, ValueError, NotImplementedError, TypeError) as error:
        raise ReelvecError(asked, f"no MATLAB file up to version 7 ({error})", "fetch View2.mat again") from error
    if matrix is None or matrix.ndim != 3 or matrix.shape[1] != 5:
        there = f"no matrix {_ASLAN}" if matrix is None else f"{_ASLAN} of the shape {matrix.shape}"
        raise ReelvecError(asked, f"{there}; pairs x 5 x splits is what View2.mat holds", "give View2.mat of ASLAN's benchmark")
    rows = [
        (int(a), int(b), bool(same), f"{fold:06d}") for fold in range(matrix.shape[2]) for a, b, same, *_ in matrix[:, :, fold]
    ]
    folder = Path(videos) if videos is not None else path.absolute().parent
    of_sample = _by_number(folder)
    asked_for = sorted({number for a, b, *_ in rows for number in (a, b)})
    absent = [number for number in asked_for if number not in of_sample]
    if len(absent) == len(asked_for):
        raise ReelvecError(
            f"find the {len(asked_for)} samples of {path}",
            f"no video below {folder} whose name ends in {absent[0]:04d} or another of their numbers",
            "say where they are: videos=FOLDER",
        )
    if twice := [number for number in asked_for if len(of_sample.get(number, ())) > 1]:
        raise ReelvecError(
            f"find sample {twice[0]:04d} of {path}",
            " and ".join(of_sample[twice[0]][:2]),
            "say which folder holds the right ones: videos=FOLDER",
        )
    left = [row for row in rows if not {*row[:2]} & {*absent}]
    notes = [f"ASLAN: {len(asked_for)} samples in {len(rows)} pairs"]
    if absent:
        notes.append(
            f"{len(absent)} samples are absent (the first {absent[0]:04d}), and with them {len(rows) - len(left)} pairs: "
            "these are not the official figures"
        )
    first, second = [of_sample[row[0]][0] for row in left], [of_sample[row[1]][0] for row in left]
    same, fold = [row[2] for row in left], [row[3] for row in left]
    return _numbered(first, second, same, fold, "ASLAN's official pairs and splits", notes)


def _by_number(folder: Path) -> dict[int, list[str]]:
    """Videos below a folder by the four digits that their names end in."""
    if not folder.is_dir():
        raise ReelvecError(f"look for videos in {folder}", "no such folder", "give videos=FOLDER that holds them, at any depth")
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        number = re.search(r"\d{4}$", path.stem)
        if number and path.suffix.lower() in VIDEO_SUFFIXES:
            found[int(number[0])].append(str(path.absolute()))
    return found


def _numbered(
    first: Sequence[str], second: Sequence[str], same: Sequence[bool], fold: Sequence[str], title: str, notes: list[str]
) -> Pairs:
    paths = sorted({*first, *second})
    number = {path: i for i, path in enumerate(paths)}
    folds = {name: i for i, name in enumerate(sorted(set(fold)))}
    pairs = torch.tensor([[number[a], number[b]] for a, b in zip(first, second, strict=True)])
    return Pairs(paths, pairs, torch.tensor(list(same)), torch.tensor([folds[name] for name in fold]), title, notes)


def _refuse_repeated(read: Pairs, source: Path) -> None:
    """Refuse a video paired with itself and a pair that stands in two folds: it would be judged by a threshold it has seen."""
    asked = f"read pairs of videos from {source}"
    if (alone := read.pairs[:, 0] == read.pairs[:, 1]).any():
        video = read.paths[int(read.pairs[alone][0, 0])]
        raise ReelvecError(asked, f"a video paired with itself, {video}", "take such rows out")
    seen: dict[tuple[int, int], int] = {}
    for (a, b), fold in zip(read.pairs.sort(1).values.tolist(), read.fold.tolist(), strict=True):
        if seen.setdefault((a, b), fold) != fold:
            raise ReelvecError(asked, f"{read.paths[a]} and {read.paths[b]} paired in two folds", "leave a pair in one fold")


def _refuse_thin_folds(read: Pairs, folds: int) -> None:
    """Refuse fewer than two folds, and a fold in which all pairs are the same or none is."""
    kinds = {fold: read.same[read.fold == fold].unique().tolist() for fold in read.fold.unique().tolist()}
    thin = [fold for fold, there in kinds.items() if len(there) < 2]
    if folds < 2 or len(kinds) < folds or thin:
        there = f"{len(kinds)} folds" if folds < 2 else f"{len(thin) + folds - len(kinds)} of {folds} folds without both kinds"
        raise ReelvecError(
            f"judge {read.title} fold by fold", there, "give two folds or more, each with pairs of one action and of two"
        )
