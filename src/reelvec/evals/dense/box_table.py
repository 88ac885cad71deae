"""Tables of boxes in key frames: which video, when, where, and what it is."""

import math
import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reelvec.core import ReelvecError, sample_generator
from reelvec.core.shapes import Float
from reelvec.evals.dense.box_metrics import TrueBoxes
from reelvec.evals.label_table import (
    TEST_WORDS,
    TRAIN_WORDS,
    VALIDATION_WORDS,
    Row,
    Table,
    guess_path,
    guess_split,
    read_table,
)
from reelvec.evals.split import hold_out

SIDES = ("x1", "y1", "x2", "y2")
_NEEDED = ("seconds", *SIDES, "label")


@dataclass(frozen=True)
class KeyFrame:
    """One time of one video, and the boxes that are seen there."""

    path: str
    seconds: float
    truth: TrueBoxes
    is_test: bool
    detected: Float[np.ndarray, "m 4"] | None = None
    """boxes that a detector found, in the unit of the true ones; None: the true ones are given"""

    @property
    def looked_at(self) -> Float[np.ndarray, "m 4"]:
        """The boxes in which it is to be said what is there."""
        return self.truth.boxes if self.detected is None else self.detected


@dataclass(frozen=True)
class KeyFrames:
    """All key frames, by path and time. Boxes are in pixels of the video if `pixels`, else shares of its width and height."""

    frames: list[KeyFrame]
    classes: list[str]
    pixels: bool
    notes: list[str]


def read_boxes(source: str | os.PathLike[str], test_share: float, seed: int) -> KeyFrames:
    """Read a CSV or Parquet table with the columns seconds, x1, y1, x2, y2, label, one of paths and maybe one with the split.

    A box with several classes has a row for each. Boxes are shares of the picture if none of them goes beyond 1, else pixels.
    Without a split, `test_share` of the videos are held out by `seed`, whole videos. Raises ReelvecError for a table without
    these columns, rows that are no boxes, files that are not there, videos on both sides, a side without boxes.
    """
    path, notes = Path(source), list[str]()
    asked = f"read boxes from {path}"
    table = read_table(path)
    if missing := [name for name in _NEEDED if name not in table.columns]:
        there = f"columns {', '.join(table.columns)}"
        raise ReelvecError(asked, there, f"name columns {', '.join(_NEEDED)}; there is no {', '.join(missing)}")
    path_column = guess_path(table, notes)
    split = guess_split(table, [path_column, *_NEEDED], notes)
    rows = [row for row in table.rows if row[path_column].strip() and row["label"].strip()]
    if len(rows) < len(table.rows):
        notes.append(f"{len(table.rows) - len(rows)} rows without a path or a label are left out")
    classes = sorted({row["label"].strip() for row in rows})
    where = [_numbers(asked, row) for row in rows]
    pixels = any(max(box) > 1 for _, box in where)
    files = [_file(path, row[path_column].strip()) for row in rows]
    if absent := sorted({file for file in files if not os.path.isfile(file)}):
        raise ReelvecError(asked, f"{len(absent)} videos that are no file, {absent[0]} first", "correct these paths")
    sides = _given_sides(asked, table, split, rows, files) if split else _drawn_sides(asked, files, rows, test_share, seed)
    seen: dict[tuple[str, float], dict[tuple[float, ...], set[int]]] = defaultdict(lambda: defaultdict(set))
    for file, row, (seconds, box) in zip(files, rows, where, strict=True):
        if file in sides:
            seen[file, seconds][box].add(classes.index(row["label"].strip()))
    frames = []
    for (file, seconds), boxes in sorted(seen.items()):
        marked = np.zeros((len(boxes), len(classes)), bool)
        for i, kinds in enumerate(boxes.values()):
            marked[i, list(kinds)] = True
        truth = TrueBoxes(np.array(list(boxes), np.float64), marked)
        frames.append(KeyFrame(file, seconds, truth, sides[file]))
    count = Counter(frame.is_test for frame in frames)
    if not count[True] or not count[False]:
        raise ReelvecError(asked, f"key frames of {count[False]} training and {count[True]} test videos", "give both sides")
    notes.append(f"boxes are {'in pixels' if pixels else 'shares of width and height'}")
    return KeyFrames(frames, classes, pixels, notes)


def _numbers(asked: str, row: Row) -> tuple[float, tuple[float, ...]]:
    try:
        seconds, *box = (float(row[name]) for name in ("seconds", *SIDES))
    except ValueError as error:
        raise ReelvecError(asked, f"a row that is no box: {error}", "give numbers as seconds, x1, y1, x2, y2") from error
    if not all(math.isfinite(number) for number in (seconds, *box)) or box[0] >= box[2] or box[1] >= box[3] or seconds < 0:
        raise ReelvecError(
            asked, f"a row that is no box: {', '.join(f'{name}={row[name]}' for name in ('seconds', *SIDES))}",
            "give x1 < x2 and y1 < y2, from the upper left corner, and a time of 0 seconds or more",
        )  # fmt: skip
    return seconds, tuple(box)


def _file(table: Path, path: str) -> str:
    near = table.absolute().parent / path
    return os.path.realpath(near if near.exists() else path)


def _given_sides(asked: str, table: Table, split: str, rows: list[Row], files: list[str]) -> dict[str, bool]:
    """Return file -> whether it is a test video, of the files with a known side."""
    words = {value.lower() for value in table.values(split)}
    test_words = TEST_WORDS if words & set(TEST_WORDS) else VALIDATION_WORDS
    found: dict[str, set[bool]] = defaultdict(set)
    for file, row in zip(files, rows, strict=True):
        word = row[split].strip().lower()
        if word in TRAIN_WORDS or word in test_words:
            found[file].add(word in test_words)
    if both := [file for file, sides in found.items() if len(sides) > 1]:
        raise ReelvecError(asked, f"{len(both)} videos on both sides, {both[0]} first", "put each video on one side")
    return {file: sides.pop() for file, sides in found.items()}


def _drawn_sides(asked: str, files: list[str], rows: list[Row], share: float, seed: int) -> dict[str, bool]:
    names = sorted(set(files))
    if len(names) < 2:
        raise ReelvecError(asked, "boxes of a single video", "give boxes of several videos, or a column split")
    usual = {name: Counter[str]() for name in names}
    for file, row in zip(files, rows, strict=True):
        usual[file][row["label"].strip()] += 1
    labels = [usual[name].most_common(1)[0][0] for name in names]
    chosen = hold_out(labels, None, share, sample_generator(seed, 0, "detection/hold-out"))
    if not chosen.any():
        chosen[-1] = True
    return dict(zip(names, chosen.tolist(), strict=True))


def in_shares(boxes: Float[np.ndarray, "n 4"], pixels: bool, width: int, height: int) -> Float[np.ndarray, "n 4"]:
    """Return boxes as shares of the picture's width and height, cut to the picture."""
    return np.clip(boxes / np.array([width, height, width, height]) if pixels else boxes, 0, 1)
