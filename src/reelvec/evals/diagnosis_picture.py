"""A diagnosis as a picture: for each encoder a bar for each way to change clips, with its interval, and chance as a line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reelvec.core import write_whole
from reelvec.evals.changed_clips import FROZEN, ORDINARY, SCENE_ONLY

_COLOURS = {ORDINARY: (150, 110, 50), FROZEN: (60, 110, 220), SCENE_ONLY: (60, 110, 220)}
"""BGR; what is not named is grey"""
_GREY, _FAINT, _DARK = (170, 170, 170), (120, 120, 120), (20, 20, 20)
_WIDTH, _PANEL, _HEAD = 1000, 500, 64
_LABEL, _BAR, _TITLE = 92, 17, 46
"""pixels: width of the names of bars, height of a bar, height of what stands above the bars of one encoder"""


def draw_diagnosis(result: Mapping[str, Any], png: Path) -> None:
    """Write the picture: label columns from top to bottom, a column for each measure."""
    tables = result["tables"]
    measures = list(dict.fromkeys(table["measure"] for table in tables))
    columns = list(dict.fromkeys(table["label_column"] for table in tables))
    block = _TITLE + _BAR * len(tables[0]["columns"]) + 12
    section = 34 + block * len(tables[0]["rows"])
    picture = np.full((_HEAD + section * len(columns) + 10, _WIDTH, 3), 255, np.uint8)
    _text(picture, f"Motion or scene? {Path(result['run']).name}, {Path(result['labels']).name}", (16, 26), 0.5, _WIDTH)
    explained = "percent of test videos, 95 % interval; dashed: chance; scene only: a probe fitted on frozen clips"
    _text(picture, explained, (16, 46), 0.4, _WIDTH, _FAINT)
    for table in tables:
        left = _PANEL * measures.index(table["measure"])
        top = _HEAD + section * columns.index(table["label_column"])
        title = f"{table['label_column']}, {table['measure']}: {len(table['classes'])} classes, {table['test']} test videos"
        _text(picture, title, (left + 16, top + 18), 0.46, left + _PANEL)
        for i, row in enumerate(table["rows"]):
            _draw_row(picture, table, row, left, top + 34 + block * i)
    _, encoded = cv2.imencode(".png", picture)
    png.parent.mkdir(parents=True, exist_ok=True)
    write_whole(png, lambda part: encoded.tofile(part))


def _draw_row(picture: np.ndarray, table: Mapping[str, Any], row: Mapping[str, Any], left: int, top: int) -> None:
    start, end = left + 16 + _LABEL, left + _PANEL - 60

    def x(share: float) -> int:
        return round(start + share * (end - start))

    _text(picture, f"{row['name']}: {row['verdict']['word']}", (left + 16, top + 18), 0.46, left + _PANEL)
    first, last = top + 28, top + 28 + _BAR * len(table["columns"])
    for y in range(first, last, 6):
        cv2.line(picture, (x(table["chance"]), y), (x(table["chance"]), y + 2), _FAINT, 1)
    for i, variant in enumerate(table["columns"]):
        y = first + _BAR * i
        _text(picture, variant, (left + 16, y + 12), 0.38, start)
        if variant not in row["values"]:
            _text(picture, "left out", (start + 4, y + 12), 0.36, left + _PANEL, _FAINT)
            continue
        value, low, high = (row[key][variant] for key in ("values", "low", "high"))
        cv2.rectangle(picture, (start, y + 2), (x(value), y + _BAR - 4), _COLOURS.get(variant, _GREY), -1)
        middle = y + _BAR // 2 - 1
        cv2.line(picture, (x(low), middle), (x(high), middle), _DARK, 1, cv2.LINE_AA)
        for bound in (low, high):
            cv2.line(picture, (x(bound), middle - 3), (x(bound), middle + 3), _DARK, 1, cv2.LINE_AA)
        _text(picture, f"{100 * value:.1f}", (x(high) + 6, y + 12), 0.36, left + _PANEL)
    cv2.line(picture, (start, first), (start, last), _GREY, 1)


def _text(
    picture: np.ndarray,
    words: str,
    place: tuple[int, int],
    size: float,
    right: int,
    colour: tuple[int, int, int] = _DARK,
) -> None:
    plain = words.encode("ascii", "replace").decode()  # OpenCV's letters end at ASCII
    while len(plain) > 4 and cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0] > right - place[0] - 4:
        plain = plain[:-4] + "..."
    cv2.putText(picture, plain, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
