"""A study's result as a picture: for each claim the differences seed by seed, their mean and its interval, around zero."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reelvec.core import write_whole
from reelvec.verbs.study.table import compared, shown

_COLOURS = {"holds": (60, 140, 40), "does not hold": (50, 50, 200), "undecided": (40, 140, 200)}
"""BGR: green, red, amber"""
_WIDTH, _ROW, _LEFT, _RIGHT = 1000, 92, 40, 960


def draw_result(result: Mapping[str, Any], png: Path) -> None:
    """Write one row a claim: dots are seeds, the bar is the 95 % interval of the mean, each row on a scale of its own."""
    claims = result["claims"]
    picture = np.full((64 + _ROW * max(1, len(claims)) + 30, _WIDTH, 3), 255, np.uint8)
    _text(picture, f"{result['study']}: {result['question']}", (20, 26), 0.5)
    _text(picture, f"{result['data']}; {result['samples']} samples, {result['seeds']} seeds", (20, 46), 0.42, (110, 110, 110))
    for i, claim in enumerate(claims):
        top = 64 + _ROW * i
        colour = _COLOURS[claim["verdict"]]
        words = f"{claim['words']} ({claim['measure']}: {compared(claim).replace('−', '-')})"
        _text(picture, words, (20, top + 20), 0.45)
        _text(picture, claim["verdict"], (20, top + 38), 0.45, colour)
        middle = top + 62
        reach = max(abs(claim["low"]), abs(claim["high"]), 0.01)

        def x(value: float, reach: float = reach) -> int:
            return round(np.clip((_LEFT + _RIGHT) / 2 + value / reach * (_RIGHT - _LEFT) / 2, _LEFT, _RIGHT))

        _text(picture, shown(claim["measure"], -reach, "+"), (_LEFT - 20, middle + 22), 0.38, (110, 110, 110))
        _text(picture, shown(claim["measure"], reach, "+"), (_RIGHT - 20, middle + 22), 0.38, (110, 110, 110))
        cv2.line(picture, (_LEFT, middle), (_RIGHT, middle), (225, 225, 225), 1)
        cv2.line(picture, (x(0), middle - 16), (x(0), middle + 16), (120, 120, 120), 1, cv2.LINE_AA)
        cv2.line(picture, (x(claim["low"]), middle), (x(claim["high"]), middle), colour, 3, cv2.LINE_AA)
        for ours, theirs in zip(claim["ours"], claim["theirs"], strict=True):
            cv2.circle(picture, (x(ours - theirs), middle), 5, (60, 60, 60), 1, cv2.LINE_AA)
        cv2.circle(picture, (x(claim["difference"]), middle), 6, colour, -1, cv2.LINE_AA)
    _, encoded = cv2.imencode(".png", picture)
    png.parent.mkdir(parents=True, exist_ok=True)
    write_whole(png, lambda part: encoded.tofile(part))


def _text(
    picture: np.ndarray, words: str, place: tuple[int, int], size: float, colour: tuple[int, int, int] = (20, 20, 20)
) -> None:
    plain = words.encode("ascii", "replace").decode()  # OpenCV's letters end at ASCII
    while len(plain) > 4 and cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0] > _WIDTH - place[0] - 10:
        plain = plain[:-4] + "..."
    cv2.putText(picture, plain, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
