"""The health of features as a picture: spectra of all encoders in one graph, and how alike layers and encoders are."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reelvec.core import write_whole

_LINES = ((150, 80, 20), (40, 110, 220), (60, 140, 40), (140, 60, 150), (90, 90, 90), (20, 160, 170))
"""BGR"""
_DARK, _FAINT = (20, 20, 20), (190, 190, 190)
_GRAPH, _CELL, _MARGIN = (420, 260), 26, 60


def draw_health(result: Mapping[str, Any], png: Path) -> None:
    """Write the picture: spectra first, then a square of CKA for the encoders and one for the layers of each."""
    squares = [("encoders", result["alike"]["names"], result["alike"]["cka"])]
    squares += [(f"layers of {row['name']}", row["layers"]["names"], row["layers"]["cka"]) for row in result["rows"]]
    panels = [_spectra(result["rows"]), *(_square(*square) for square in squares)]
    columns = 2
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    lines = []
    for row in rows:
        height = max(panel.shape[0] for panel in row)
        lines.append(np.concatenate([_padded(panel, height, panel.shape[1]) for panel in row], 1))
    width = max(line.shape[1] for line in lines)
    picture = np.concatenate([_padded(line, line.shape[0], width) for line in lines])
    _, encoded = cv2.imencode(".png", picture)
    png.parent.mkdir(parents=True, exist_ok=True)
    write_whole(png, lambda part: encoded.tofile(part))


def _padded(panel: np.ndarray, height: int, width: int) -> np.ndarray:
    full = np.full((height, width, 3), 255, np.uint8)
    full[: panel.shape[0], : panel.shape[1]] = panel
    return full


def _spectra(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    width, height = _GRAPH
    panel = np.full((height + 2 * _MARGIN + 18 * len(rows), width + 2 * _MARGIN, 3), 255, np.uint8)
    _write(panel, "share of the variance by direction, largest first (both axes log)", 12, 24, 0.44)
    most = max(len(row["spectrum"]) for row in rows)
    floor = 1e-6

    def place(i: int, share: float) -> tuple[int, int]:
        right = math.log(i + 1) / math.log(max(most, 2))
        down = math.log(max(share, floor)) / math.log(floor)
        return round(_MARGIN + right * width), round(_MARGIN + down * height)

    for exponent in range(0, 7, 2):
        y = place(0, 10.0**-exponent)[1]
        cv2.line(panel, (_MARGIN, y), (_MARGIN + width, y), _FAINT, 1)
        _write(panel, f"1e-{exponent}", 12, y + 4, 0.36)
    for i in (1, 10, 100, 1000):
        if i <= most:
            _write(panel, str(i), place(i - 1, 1)[0] - 4, _MARGIN + height + 16, 0.36)
    for number, row in enumerate(rows):
        colour = _LINES[number % len(_LINES)]
        points = np.array([place(i, share) for i, share in enumerate(row["spectrum"]) if share > floor], np.int32)
        if len(points):
            cv2.polylines(panel, [points.reshape(-1, 1, 2)], False, colour, 2, cv2.LINE_AA)
        y = _MARGIN + height + 38 + 18 * number
        cv2.line(panel, (_MARGIN, y - 4), (_MARGIN + 24, y - 4), colour, 2)
        _write(panel, f"{row['name']}: RankMe {row['values']['rank_me']:.1f}, alpha {row['values']['spectrum_decay']:.2f}",
               _MARGIN + 32, y, 0.4)  # fmt: skip
    return panel


def _square(title: str, names: Sequence[str], values: Sequence[Sequence[float]]) -> np.ndarray:
    left = 20 + max((cv2.getTextSize(_plain(name), cv2.FONT_HERSHEY_SIMPLEX, 0.38, 1)[0][0] for name in names), default=0)
    side = _CELL * len(names)
    panel = np.full((_MARGIN + side + 40, max(left + side + 40, 420), 3), 255, np.uint8)
    _write(panel, f"{title}: linear CKA, 1 is equal", 12, 24, 0.44)
    for i, name in enumerate(names):
        _write(panel, name, 12, _MARGIN + _CELL * i + 17, 0.38)
        for j, value in enumerate(values[i]):
            x, y, grey = left + _CELL * j, _MARGIN + _CELL * i, round(255 - 190 * min(max(value, 0.0), 1.0))
            cv2.rectangle(panel, (x, y), (x + _CELL - 2, y + _CELL - 2), (255, grey, grey), -1)
            _write(panel, f"{value:.2f}"[-3:] if value < 0.995 else "1", x + 3, y + 16, 0.34)
    return panel


def _plain(words: str) -> str:
    return words.encode("ascii", "replace").decode()  # OpenCV's letters end at ASCII


def _write(panel: np.ndarray, words: str, x: int, y: int, size: float) -> None:
    cv2.putText(panel, _plain(words), (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, _DARK, 1, cv2.LINE_AA)
