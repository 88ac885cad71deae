"""A picture of a search: frames of the query on top, then a row of frames for each neighbour, with path and similarity."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from reelvec.core import ReelvecError, write_whole
from reelvec.core.shapes import UInt8
from reelvec.data.clips import frames_at
from reelvec.data.decode import DecodeError, decode_frames
from reelvec.data.index import VideoRow, index

FRAMES = 6
"""frames of a row, in the middle of equal parts of its span"""

_TILE_HEIGHT = 132
_PANEL_WIDTH = 292
_MARGIN, _GAP, _ROW_GAP, _QUERY_GAP = 20, 4, 12, 26
_ASPECT = (0.6, 1.8)
"""narrowest and widest tile, width / height"""
_FINE = 4
"""text is drawn so many times larger and averaged down: OpenCV's strokes are smooth only then"""

# RGB
_PAPER, _CARD, _TILE = (17, 19, 24), (27, 30, 37), (12, 13, 17)
_BRIGHT, _DIM, _FAINT = (238, 240, 244), (150, 156, 168), (58, 63, 74)
_ACCENT, _BAR = (255, 183, 77), (79, 195, 247)

_SIMPLEX, _DUPLEX = cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True)
class SheetRow:
    """A span of a video on the sheet; the query has no similarity."""

    path: str
    start_seconds: float
    end_seconds: float
    similarity: float | None = None


def write_contact_sheet(out: Path, query: SheetRow, found: Sequence[SheetRow]) -> None:
    """Read frames of all rows and write the sheet as PNG. A video that cannot be read gets an empty row that says so."""
    if out.suffix.lower() != ".png":
        raise ReelvecError(f"write a contact sheet to {out}", "sheets are PNG files", f"use {out.with_suffix('.png')}")
    rows = [query, *found]
    by_path = _videos(row.path for row in rows)
    shapes = [video.width / video.height for row in rows if (video := by_path.get(os.path.realpath(row.path)))]
    aspect = float(np.clip(np.median(shapes), *_ASPECT)) if shapes else 4 / 3
    tile = (_TILE_HEIGHT, round(_TILE_HEIGHT * aspect))
    frames = [_read(by_path.get(os.path.realpath(row.path)), row, tile) for row in rows]
    picture = draw_sheet(rows, frames, tile)
    png = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    write_whole(out, lambda part: part.write_bytes(png) and None)


def _videos(paths: Iterable[str]) -> dict[str, VideoRow]:
    """Probe the files that are there; real path -> what the index knows of it, for those that can be read."""
    there = list(dict.fromkeys(path for path in paths if os.path.isfile(path)))
    try:
        probed = index(there, workers=0)
    except ReelvecError:  # not one of them can be read: the sheet says so row by row
        return {}
    return {os.path.realpath(row.path): row for row in map(probed.row, probed.usable().tolist())}


def _read(video: VideoRow | None, row: SheetRow, tile: tuple[int, int]) -> UInt8[np.ndarray, "n h w 3"] | None:
    """Decode frames that fit into a tile, spread over the row's span; None if that fails."""
    if video is None:
        return None
    parts = (np.arange(FRAMES) + 0.5) / FRAMES
    seconds = row.start_seconds + parts * (row.end_seconds - row.start_seconds)
    wanted = frames_at(video.frame_seconds, video.duration_seconds, seconds)
    scale = min(tile[0] / video.height, tile[1] / video.width)
    height, width = (max(2, round(side * scale)) for side in (video.height, video.width))
    try:
        return decode_frames(video, wanted.tolist(), height, width).frames
    except DecodeError:
        return None


def draw_sheet(
    rows: Sequence[SheetRow], frames: Sequence[UInt8[np.ndarray, "n _ _ 3"] | None], tile: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the sheet, the query first. Frames (RGB) are at most `tile` (height, width) large and stand in its middle."""
    tile_height, tile_width = tile
    strip = FRAMES * tile_width + (FRAMES - 1) * _GAP
    width = 2 * _MARGIN + _PANEL_WIDTH + _GAP + strip
    height = 2 * _MARGIN + len(rows) * tile_height + max(len(rows) - 1, 0) * _ROW_GAP
    height += _QUERY_GAP - _ROW_GAP if len(rows) > 1 else 0
    sheet = np.full((height, width, 3), _PAPER, np.uint8)
    top = _MARGIN
    for number, (row, pictures) in enumerate(zip(rows, frames, strict=True)):
        below = slice(top, top + tile_height)
        sheet[below, _MARGIN : _MARGIN + _PANEL_WIDTH] = _panel(row, number, tile_height)
        left = _MARGIN + _PANEL_WIDTH + _GAP
        if pictures is None:
            sheet[below, left : left + strip] = _words("this video cannot be read", strip, tile_height)
        else:
            for i, picture in enumerate(pictures):
                x = left + i * (tile_width + _GAP)
                sheet[below, x : x + tile_width] = _in_the_middle(picture, tile_height, tile_width)
        top += tile_height + (_QUERY_GAP if number == 0 else _ROW_GAP)
    return sheet


def _in_the_middle(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    canvas = np.full((height, width, 3), _TILE, np.uint8)
    picture = picture[:height, :width]
    y, x = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return canvas


def _panel(row: SheetRow, number: int, height: int) -> np.ndarray:
    """Draw rank, similarity, name, folder and span of a row."""
    pen = _Pen(_PANEL_WIDTH, height)
    pen.box(0, 0, 4, height, _ACCENT if number == 0 else _FAINT)
    path = Path(row.path)
    if row.similarity is None:
        pen.text("QUERY", 18, 36, 0.72, _ACCENT, _DUPLEX)
    else:
        pen.text(str(number), 18, 38, 0.9, _BRIGHT, _DUPLEX)
        pen.text(f"{row.similarity:.3f}", _PANEL_WIDTH - 16, 36, 0.62, _BRIGHT, _DUPLEX, from_right=True)
        left, right = 62, _PANEL_WIDTH - 86
        pen.box(left, 27, right, 33, _FAINT)
        pen.box(left, 27, left + round((right - left) * min(max(row.similarity, 0.0), 1.0)), 33, _BAR)
    pen.text(pen.fitting(path.name, 0.5, _PANEL_WIDTH - 34), 18, 70, 0.5, _BRIGHT)
    pen.text(pen.fitting(_folder(path), 0.42, _PANEL_WIDTH - 34), 18, 93, 0.42, _DIM)
    pen.text(f"{row.start_seconds:.1f} - {row.end_seconds:.1f} s", 18, 115, 0.42, _DIM)
    return pen.picture()


def _folder(path: Path) -> str:
    """The last two folders: what tells videos of one name apart."""
    return "/".join(path.parent.parts[-2:]).removeprefix("/") + "/"


def _words(text: str, width: int, height: int) -> np.ndarray:
    pen = _Pen(width, height)
    pen.text(text, 18, height // 2 + 5, 0.5, _DIM)
    return pen.picture()


class _Pen:
    """Draws text and boxes in pixels of the result, on a canvas that is finer."""

    def __init__(self, width: int, height: int) -> None:
        self.canvas = np.full((height * _FINE, width * _FINE, 3), _CARD, np.uint8)

    def box(self, left: int, top: int, right: int, bottom: int, colour: tuple[int, int, int]) -> None:
        """Fill a box; right and bottom are the first pixels outside it."""
        self.canvas[top * _FINE : bottom * _FINE, left * _FINE : right * _FINE] = colour

    def text(
        self,
        text: str,
        x: int,
        baseline: int,
        scale: float,
        colour: tuple[int, int, int],
        font: int = _SIMPLEX,
        from_right: bool = False,
    ) -> None:
        """Write a line that starts (or with `from_right` ends) at x. OpenCV's letters are ASCII: others become '?'."""
        text = _ascii(text)
        width = cv2.getTextSize(text, font, scale * _FINE, _FINE)[0][0]
        place = (x * _FINE - (width if from_right else 0), baseline * _FINE)
        cv2.putText(self.canvas, text, place, font, scale * _FINE, colour, _FINE, cv2.LINE_AA)

    @staticmethod
    def fitting(text: str, scale: float, width: int, font: int = _SIMPLEX) -> str:
        """Return the text, its middle replaced by dots if it is wider than `width` pixels."""
        text = _ascii(text)
        kept = len(text)
        short = text
        while cv2.getTextSize(short, font, scale * _FINE, _FINE)[0][0] > width * _FINE and kept > 6:
            kept -= 1
            short = f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
        return short

    def picture(self) -> np.ndarray:
        """Return the canvas at the result's size."""
        height, width = self.canvas.shape[:2]
        return cv2.resize(self.canvas, (width // _FINE, height // _FINE), interpolation=cv2.INTER_AREA)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
