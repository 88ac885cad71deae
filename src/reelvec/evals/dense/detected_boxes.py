"""Boxes that a detector of persons found in the test key frames: how AVA is judged (eval_protocols, section e).

As published for AVA, without a header (video, second, box in shares of the picture, nothing, score):

    VIDEO,0902,0.002,0.118,0.714,0.977,,0.995

or a table with a header: paths, seconds, x1, y1, x2, y2, score.
"""

import csv
import math
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reelvec.core import ReelvecError
from reelvec.evals.dense.box_metrics import LEAST_IOU, box_iou
from reelvec.evals.dense.box_table import SIDES, KeyFrame, KeyFrames
from reelvec.evals.label_table import guess_path, read_table

_NEEDED = ("seconds", *SIDES, "score")
_CELLS = 8
"""of a line of AVA's file"""
_SHARES_UP_TO = 1.5
"""a box in shares may reach a little beyond the picture"""


@dataclass(frozen=True)
class _Row:
    video: str
    seconds: float
    box: tuple[float, float, float, float]
    score: float


def with_detected(given: KeyFrames, source: str | os.PathLike[str], threshold: float) -> KeyFrames:
    """Return key frames of which those of the test are to be looked at in the boxes that a detector found.

    Boxes with a score below `threshold` are left out, and so are those of key frames without true boxes: nobody said what is
    there. A key frame without detected boxes stays: what is in it is missed. Videos are told by path, or by name without
    folder and suffix. Raises ReelvecError for a file that is neither of the two above, a threshold that is no share, detected
    boxes in pixels beside true ones in shares or the reverse, and where no test key frame has a box.
    """
    path = Path(source)
    asked = f"read detected boxes from {path}"
    if not 0 <= threshold <= 1:
        raise ReelvecError(
            asked, f"a threshold of {threshold:g}", "give one from 0 to 1: 0.8 as VideoMAE does, 0.9 as SlowFast"
        )
    rows = _rows(asked, path)
    sure = [row for row in rows if row.score >= threshold]
    if not sure:
        highest = max(row.score for row in rows)
        raise ReelvecError(asked, f"{len(rows)} boxes, the surest with a score of {highest:g}", "give a lower threshold")
    test = {_when(frame.path, frame.seconds): frame for frame in given.frames if frame.is_test}
    videos = {frame.path for frame in given.frames}
    often = Counter(Path(video).stem for video in videos)
    by_name = {Path(video).stem: video for video in videos if often[Path(video).stem] == 1}
    boxes: dict[tuple[str, float], list[tuple[float, float, float, float]]] = defaultdict(list)
    for row in sure:
        near = os.path.realpath(path.absolute().parent / row.video)
        video = near if near in videos else by_name.get(row.video, by_name.get(Path(row.video).stem, ""))
        if _when(video, row.seconds) in test:
            boxes[_when(video, row.seconds)].append(row.box)
    if not boxes:
        video, seconds = min(test)
        there = f"{len(sure)} boxes, none in a key frame of the test, such as {Path(video).name} at {seconds:g} s"
        raise ReelvecError(asked, there, "name videos and seconds as the table of true boxes does")
    if (max(max(box) for found in boxes.values() for box in found) > _SHARES_UP_TO) != given.pixels:
        there = "one in pixels and the other in shares of the picture"
        raise ReelvecError(f"{asked} beside true boxes", there, "give both in the same unit")
    frames = [
        replace(frame, detected=np.array(boxes.get(_when(frame.path, frame.seconds), []), np.float64).reshape(-1, 4))
        if frame.is_test
        else frame
        for frame in given.frames
    ]
    notes = [
        f"{len(rows) - len(sure)} detected boxes with a score below {threshold:g} are left out",
        f"{len(sure) - sum(map(len, boxes.values()))} detected boxes are in no key frame of the test and are left out",
        _found([frame for frame in frames if frame.is_test]),
    ]
    return replace(given, frames=frames, notes=[*given.notes, *notes])


def _when(video: str, seconds: float) -> tuple[str, float]:
    return video, round(seconds, 3)


def _found(frames: Sequence[KeyFrame]) -> str:
    """Say how many of the true boxes can be hit at all."""
    best = [box_iou(frame.truth.boxes, frame.looked_at).max(1, initial=0.0) for frame in frames]
    share = np.mean(np.concatenate(best) >= LEAST_IOU)
    without = sum(not len(frame.looked_at) for frame in frames)
    return (
        f"{100 * share:.1f} % of the true test boxes overlap a detected one by {LEAST_IOU:g} at least; {without} of "
        f"{len(frames)} test key frames have no detected box"
    )


def _rows(asked: str, path: Path) -> list[_Row]:
    if not path.is_file():
        raise ReelvecError(asked, "no such file", "give AVA's file of predicted boxes, or a table with a column score")
    lines = _ava_lines(path)
    if lines is None:
        table = read_table(path)
        if missing := [name for name in _NEEDED if name not in table.columns]:
            there = f"columns {', '.join(table.columns)}"
            do = f"name columns {', '.join(_NEEDED)}; there is no {', '.join(missing)}. Or give AVA's eight without a header"
            raise ReelvecError(asked, there, do)
        column = guess_path(table, [])
        lines = [[row[column].strip(), *(row[name] for name in _NEEDED)] for row in table.rows]
    return [_row(asked, line) for line in lines]


def _ava_lines(path: Path) -> list[list[str]] | None:
    """Return video, seconds, sides and score of each line of AVA's file; None for another file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except (UnicodeDecodeError, csv.Error):
        return None
    if not lines or len(lines[0]) != _CELLS or not _is_number(lines[0][1]):
        return None
    return [[*line[:6], *line[_CELLS - 1 : _CELLS]] for line in lines]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _row(asked: str, line: list[str]) -> _Row:
    there = f"a row that is no box: {','.join(line)}"
    do = "give seconds, x1 < x2 and y1 < y2 from the upper left corner, and a score from 0 to 1"
    if len(line) != len(_NEEDED) + 1 or not all(map(_is_number, line[1:])):
        raise ReelvecError(asked, there, do)
    seconds, x1, y1, x2, y2, score = map(float, line[1:])
    if x1 >= x2 or y1 >= y2 or not 0 <= score <= 1:
        raise ReelvecError(asked, there, do)
    return _Row(line[0].strip(), seconds, (x1, y1, x2, y2), score)
