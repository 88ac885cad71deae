"""The scene classes: families of textures. A class is a family; scale, direction, place and colours are drawn.

Train and test never share a texture: each parameter's range and the circle of hues are cut into cells, of which train
owns the even and test the odd ones.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reelvec.core.shapes import Float
from reelvec.data.shapes.settings import SPLITS

CELLS = 16
"""cells that each split owns of the range of every texture parameter"""


class TextureDraws:
    """Draws for textures that stay in the cells of one split."""

    def __init__(self, rng: np.random.Generator, split: str) -> None:
        self.rng, self.parity = rng, SPLITS.index(split)

    def unit(self, cell: int | None = None) -> float:
        """Draw a number in [0, 1) from one of the split's cells, or from the given one of them."""
        cell = int(self.rng.integers(CELLS)) if cell is None else cell % CELLS
        return (2 * cell + self.parity + self.rng.random()) / (2 * CELLS)

    def between(self, low: float, high: float) -> float:
        """Draw a number in [low, high) from one of the split's cells."""
        return low + (high - low) * self.unit()


@dataclass(frozen=True)
class Palette:
    """The two colours of a texture: RGB in [0, 1]."""

    dark: tuple[float, float, float]
    light: tuple[float, float, float]
    hue_cell: int


def draw_palette(draws: TextureDraws, away_from: Palette | None = None) -> Palette:
    """Draw two colours of one range of hues, for a sprite on the other side of the circle from its scene's."""
    rng = draws.rng
    if away_from is None:
        cell = int(rng.integers(CELLS))
    else:
        cell = (away_from.hue_cell + CELLS // 2 + int(rng.integers(-3, 4))) % CELLS
    dark = colorsys.hsv_to_rgb(draws.unit(cell), rng.uniform(0.4, 0.9), rng.uniform(0.2, 0.5))
    light = colorsys.hsv_to_rgb(draws.unit(cell + int(rng.integers(-1, 2))), rng.uniform(0.2, 0.7), rng.uniform(0.7, 1.0))
    return Palette(dark, light, cell)


Plane = Float[np.ndarray, "h w"]


def _turned(draws: TextureDraws, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Turn and move the plane: textures have no direction and no place of their own."""
    angle = draws.between(0.0, np.pi)
    along, across = draws.between(0.0, 60.0), draws.between(0.0, 60.0)
    return np.cos(angle) * x + np.sin(angle) * y + along, np.cos(angle) * y - np.sin(angle) * x + across


def _stripes(draws: TextureDraws, x: Plane, y: Plane) -> Plane:
    u, _ = _turned(draws, x, y)
    return (u / draws.between(8.0, 16.0) % 1 < draws.between(0.35, 0.65)).astype(np.float32)


def _checker(draws: TextureDraws, x: Plane, y: Plane) -> Plane:
    u, v = _turned(draws, x, y)
    side = draws.between(6.0, 11.0)
    return ((np.floor(u / side) + np.floor(v / side)) % 2).astype(np.float32)


def _dots(draws: TextureDraws, x: Plane, y: Plane) -> Plane:
    u, v = _turned(draws, x, y)
    pitch = draws.between(9.0, 15.0)
    return (np.hypot(u / pitch % 1 - 0.5, v / pitch % 1 - 0.5) < draws.between(0.22, 0.36)).astype(np.float32)


def _blobs(draws: TextureDraws, x: Plane, y: Plane) -> Plane:
    """A Gaussian random field of one length scale, as a sum of plane waves, with soft shores."""
    wavelength = draws.between(14.0, 26.0)
    angles, phases = draws.rng.uniform(0, 2 * np.pi, (2, 16))
    numbers = 2 * np.pi / wavelength * draws.rng.uniform(0.6, 1.4, 16)
    field = sum(np.cos(k * (np.cos(a) * x + np.sin(a) * y) + p) for k, a, p in zip(numbers, angles, phases, strict=True))
    return 1 / (1 + np.exp(-2.5 * np.asarray(field, np.float32)))


def _gradient(draws: TextureDraws, x: Plane, y: Plane) -> Plane:
    u, _ = _turned(draws, x, y)
    return 0.5 + 0.5 * np.cos(2 * np.pi * u / draws.between(100.0, 180.0))


def _bricks(draws: TextureDraws, x: Plane, y: Plane) -> Plane:
    u, v = _turned(draws, x, y)
    height = draws.between(7.0, 11.0)
    width, mortar = height * draws.between(1.9, 2.5), draws.between(1.3, 2.0)
    course = np.floor(v / height)
    return (((v % height) > mortar) & (((u + course % 2 * width / 2) % width) > mortar)).astype(np.float32)


def _rings(draws: TextureDraws, x: Plane, y: Plane) -> Plane:
    away, angle = draws.between(0.0, 30.0), draws.between(0.0, 2.0 * np.pi)
    radius = np.hypot(x - away * np.cos(angle), y - away * np.sin(angle))
    return (radius / draws.between(8.0, 16.0) % 1 < draws.between(0.35, 0.65)).astype(np.float32)


def _waves(draws: TextureDraws, x: Plane, y: Plane) -> Plane:
    u, v = _turned(draws, x, y)
    bent = u + draws.between(3.5, 6.0) * np.sin(2 * np.pi * v / draws.between(20.0, 32.0))
    return 0.5 + 0.5 * np.sin(2 * np.pi * bent / draws.between(8.0, 14.0))


SCENES: dict[str, Callable[[TextureDraws, Plane, Plane], Plane]] = {
    "stripes": _stripes,
    "checker": _checker,
    "dots": _dots,
    "blobs": _blobs,
    "gradient": _gradient,
    "bricks": _bricks,
    "rings": _rings,
    "waves": _waves,
}
"""Texture families: functions of places in pixels of a picture 72 pixels wide, (0, 0) in its middle, to [0, 1]."""


def paint(family: str, draws: TextureDraws, palette: Palette, half_width: float, side: int) -> Float[np.ndarray, "side side 3"]:
    """Paint a square of `side` samples that reaches `half_width` (in pixels of a picture 72 wide) from its middle.

    Returns RGB in [0, 255], float32.
    """
    places = ((np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1) * np.float32(half_width)
    x, y = np.meshgrid(places, places)
    share = SCENES[family](draws, x, y).astype(np.float32)[..., None]
    dark, light = (np.asarray(colour, np.float32) * 255 for colour in (palette.dark, palette.light))
    return dark + (light - dark) * share
