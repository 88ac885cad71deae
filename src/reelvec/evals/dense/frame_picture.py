"""A picture of rows of frames with something drawn on them: masks in colours, or a map as heat."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from reelvec.core import write_whole
from reelvec.core.shapes import Bool, Float, Int, UInt8

_COLOURS = np.array(
    [(230, 60, 60), (70, 160, 250), (80, 210, 90), (250, 190, 50), (190, 90, 230), (60, 210, 210), (250, 130, 190)], np.uint8
)
"""RGB, of the objects by number"""
_TILE_HEIGHT, _GAP, _SIDE, _LABELS, _LINE = 120, 4, 16, 170, 20
_PAPER, _DARK, _FAINT = 255, (20, 20, 20), (120, 120, 120)


@dataclass(frozen=True)
class Block:
    """Rows of tiles of one video; a tile is a frame in RGB with what was drawn on it."""

    title: str
    rows: Sequence[tuple[str, Sequence[UInt8[np.ndarray, "_ _ 3"]]]]


def with_masks(frame: UInt8[np.ndarray, "h w 3"], numbers: Int[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Tint objects by their number and draw their outline."""
    drawn = frame.copy()
    for number in np.unique(numbers[numbers > 0]):
        colour = _COLOURS[(int(number) - 1) % len(_COLOURS)]
        seen = numbers == number
        drawn[seen] = (0.45 * drawn[seen] + 0.55 * colour).astype(np.uint8)
        drawn[_outline(seen)] = colour
    return drawn


def with_joints(
    frame: UInt8[np.ndarray, "h w 3"], places: Float[np.ndarray, "joints 2"], bones: Sequence[tuple[int, int]]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw joints at x and y, as dots in their colours, and bones between two of them; nothing of a joint that is NaN."""
    drawn = np.ascontiguousarray(frame)
    thick = max(1, round(min(frame.shape[:2]) / 120))
    ends = [None if np.isnan(place).any() else (round(float(place[0])), round(float(place[1]))) for place in places]
    for first, second in bones:
        start, end = ends[first], ends[second]
        if start and end:
            cv2.line(drawn, start, end, (245, 245, 245), thick, cv2.LINE_AA)
    for number, place in enumerate(ends):
        if place:
            cv2.circle(drawn, place, 2 * thick, _COLOURS[number % len(_COLOURS)].tolist(), -1, cv2.LINE_AA)
    return drawn


def with_heat(
    frame: UInt8[np.ndarray, "h w 3"], heat: Float[np.ndarray, "h2 w2"], seen: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay a map of any size over a frame, from its lowest value to its highest, and the outline of an object."""
    heat = cv2.resize(heat, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    scaled = (heat - heat.min()) / max(float(heat.max() - heat.min()), 1e-30)
    colours = cv2.applyColorMap((255 * scaled).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    drawn = (0.35 * frame + 0.65 * colours).astype(np.uint8)
    drawn[_outline(seen)] = (90, 240, 120)
    return drawn


def _outline(seen: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    thick = np.ones((3, 3), np.uint8)
    return (cv2.dilate(seen.astype(np.uint8), thick) > 0) & (cv2.erode(seen.astype(np.uint8), thick) == 0)


def draw_blocks(words: Sequence[str], blocks: Sequence[Block], png: Path) -> None:
    """Write the picture: words on top, blocks one below the other."""
    scaled = [(b.title, [(label, [_scaled(tile) for tile in tiles]) for label, tiles in b.rows]) for b in blocks]
    widest = max(sum(tile.shape[1] + _GAP for tile in tiles) for _, rows in scaled for _, tiles in rows)
    width = max(2 * _SIDE + _LABELS + widest, 820)
    head = _SIDE + _LINE * len(words) + 8
    tall = sum(_LINE + 6 + len(rows) * (_TILE_HEIGHT + _GAP) + 10 for _, rows in scaled)
    picture = np.full((head + tall + _SIDE, width, 3), _PAPER, np.uint8)
    for i, line in enumerate(words):
        _text(picture, line, (_SIDE, _SIDE + _LINE * i + 10), 0.5 if i == 0 else 0.4, _DARK if i == 0 else _FAINT)
    top = head
    for title, rows in scaled:
        _text(picture, title, (_SIDE, top + 14), 0.46, _DARK)
        top += _LINE + 6
        for label, tiles in rows:
            for i, line in enumerate(label.split("\n")):
                _text(picture, line, (_SIDE, top + 16 + 17 * i), 0.4, _DARK if i == 0 else _FAINT, _SIDE + _LABELS - 6)
            left = _SIDE + _LABELS
            for tile in tiles:
                picture[top : top + _TILE_HEIGHT, left : left + tile.shape[1]] = tile
                left += tile.shape[1] + _GAP
            top += _TILE_HEIGHT + _GAP
        top += 10
    _, encoded = cv2.imencode(".png", picture[..., ::-1])
    png.parent.mkdir(parents=True, exist_ok=True)
    write_whole(png, lambda part: encoded.tofile(part))


def _scaled(tile: np.ndarray) -> np.ndarray:
    height, width = tile.shape[:2]
    shape = (max(1, round(width * _TILE_HEIGHT / height)), _TILE_HEIGHT)
    return cv2.resize(tile, shape, interpolation=cv2.INTER_AREA if height > _TILE_HEIGHT else cv2.INTER_LINEAR)


def _text(
    picture: np.ndarray, words: str, place: tuple[int, int], size: float, colour: tuple[int, int, int], right: int | None = None
) -> None:
    plain = words.encode("ascii", "replace").decode()  # OpenCV's letters end at ASCII
    room = (right or picture.shape[1] - 4) - place[0]
    while len(plain) > 4 and cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0] > room:
        plain = plain[:-4] + "..."
    cv2.putText(picture, plain, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
