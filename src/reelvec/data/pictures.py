"""Where decoded pictures are put: RGB with the colours of a pixel side by side, or the planes of the codec."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from reelvec.core.shapes import Float, Int, Shaped, UInt8

_RED_AND_BLUE = {1: (0.2126, 0.0722), 4: (0.3, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
"""shares of red and blue in the brightness: of BT.709, FCC, SMPTE 240M and BT.2020, by their numbers in ITU-T H.273"""
_BT601 = (0.299, 0.114)
"""of all others, which name none or BT.601"""
_FULL_RANGE = 2


@dataclass(frozen=True)
class Planes:
    """Pictures as the codec gives them, YUV 4:2:0: pixel (y, x) has the colour (y // 2, x // 2)."""

    luma: UInt8[np.ndarray, "n h w"]
    chroma: UInt8[np.ndarray, "n 2 h2 w2"]
    """half the size, rounded up"""
    to_rgb: Float[np.ndarray, "n 3 4"]
    """makes R, G, B from 0 to 255 of (Y, U, V, 1)"""


class RgbPictures:
    """Pictures of `height` x `width`, as displayed."""

    form = "rgb24"

    def __init__(self, many: int, height: int, width: int) -> None:
        self.pixels = np.empty((many, height, width, 3), np.uint8)

    def keep(self, place: int, frame: Any, turns: int) -> None:
        """Put a decoded frame, turned by so many right angles counter-clockwise, into a place."""
        self.pixels[place] = _turned(_pixels(frame.planes[0], (frame.height, frame.width, 3)), turns)

    def at(self, places: Int[np.ndarray, "n"] | None) -> UInt8[np.ndarray, "n h w 3"]:
        """Return the pictures in these places; None: all, in order."""
        return self.pixels if places is None else self.pixels[places]


class PlanePictures:
    """Planes of pictures of `height` x `width`, as displayed."""

    form = "yuv420p"

    def __init__(self, many: int, height: int, width: int) -> None:
        self.luma = np.empty((many, height, width), np.uint8)
        self.chroma = np.empty((many, 2, *chroma_size(height, width)), np.uint8)
        self.to_rgb = np.empty((many, 3, 4), np.float32)

    def keep(self, place: int, frame: Any, turns: int) -> None:
        """Put a decoded frame, turned by so many right angles counter-clockwise, into a place."""
        height, width = frame.height, frame.width
        luma, *chroma = frame.planes
        self.luma[place] = _turned(_pixels(luma, (height, width)), turns)
        half = chroma_size(height, width)
        for into, plane in zip(self.chroma[place], chroma, strict=True):
            into[...] = _turned(_pixels(plane, half), turns)
        self.to_rgb[place] = to_rgb(frame.colorspace, frame.color_range == _FULL_RANGE)

    def at(self, places: Int[np.ndarray, "n"] | None) -> Planes:
        """Return the pictures in these places; None: all, in order."""
        kept = (self.luma, self.chroma, self.to_rgb)
        return Planes(*kept) if places is None else Planes(*(array[places] for array in kept))


@lru_cache
def to_rgb(colour_space: int, full_range: bool) -> Float[np.ndarray, "3 4"]:
    """Return the matrix of a colour space (FFmpeg's number): brightness from 16 to 235, or from 0 to 255 in full range."""
    red, blue = _RED_AND_BLUE.get(colour_space, _BT601)
    green = 1 - red - blue
    matrix = np.array(
        [[1, 0, 2 * (1 - red)], [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green], [1, 2 * (1 - blue), 0]]
    )
    black, scale = (0, (1, 1, 1)) if full_range else (16, (255 / 219, 255 / 224, 255 / 224))
    matrix *= scale
    return np.column_stack([matrix, -matrix @ (black, 128, 128)]).astype(np.float32)


def chroma_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width of the planes of colour."""
    return (height + 1) // 2, (width + 1) // 2


def _pixels(plane: Any, shape: tuple[int, ...]) -> UInt8[np.ndarray, "h w *c"]:
    """Look at a plane's memory as rows of pixels; rows end in padding. One call: this is done for every frame."""
    return np.ndarray(shape, np.uint8, plane, 0, (plane.line_size, *shape[2:], 1))


def _turned(picture: Shaped[np.ndarray, "h w *c"], turns: int) -> Shaped[np.ndarray, "h2 w2 *c"]:
    return np.rot90(picture, turns) if turns % 4 else picture
