"""The sprites: what moves. Shape, texture and colours are drawn without regard to the classes."""

from dataclasses import dataclass

import cv2
import numpy as np

from reelvec.core.shapes import Float
from reelvec.data.shapes.settings import Settings
from reelvec.data.shapes.textures import SCENES, Palette, TextureDraws, draw_palette, paint

SIDE = 144
"""samples across a sprite's picture of a video 72 pixels wide: more than three for a pixel of the largest sprite"""


def _corners(*radii: float, turn: float = 0.0) -> Float[np.ndarray, "n 2"]:
    """Return points at equal angles around the middle, at these radii in turn."""
    angle = 2 * np.pi * (np.arange(len(radii)) / len(radii)) + turn
    return np.stack([np.cos(angle), np.sin(angle)], 1) * np.asarray(radii)[:, None]


_CROSS = np.array([(1, 3), (1, 1), (3, 1), (3, -1), (1, -1), (1, -3), (-1, -3), (-1, -1), (-3, -1), (-3, 1), (-1, 1), (-1, 3)])
OUTLINES: dict[str, Float[np.ndarray, "n 2"]] = {
    "disc": _corners(*[1.0] * 64),
    "square": _corners(*[1.0] * 4),
    "triangle": _corners(*[1.0] * 3),
    "hexagon": _corners(*[1.0] * 6),
    "star": _corners(*[1.0, 0.5] * 5),
    "cross": _CROSS / np.sqrt(10),
}
"""Outlines that touch the unit circle."""


@dataclass(frozen=True)
class Sprite:
    """A picture of a sprite, to be drawn at any size, place and angle."""

    shape: str
    texture: str
    picture: Float[np.ndarray, "side side 4"]
    """RGB in [0, 255] times opacity, opacity in [0, 1]; the sprite's circle has radius `reach` times half the side"""
    reach: float = 0.9


def draw_sprite(settings: Settings, split: str, number: int, scene_palette: Palette, sprite: int = 0) -> Sprite:
    """Draw one of a video's sprites, in colours that stand out from its scene's."""
    draws = TextureDraws(settings.generator(split, number, f"sprite{sprite}"), split)
    shape = list(OUTLINES)[draws.rng.integers(len(OUTLINES))]
    texture = list(SCENES)[draws.rng.integers(len(SCENES))]
    palette = draw_palette(draws, away_from=scene_palette)
    # a sprite shows its texture at the scene's scale on a plane 36 pixels wide: two to four periods of it
    side = round(SIDE * settings.scale)
    colours = paint(texture, draws, palette, half_width=18.0, side=side)
    outline = (OUTLINES[shape] * Sprite.reach + 1) / 2 * side - 0.5
    opacity = np.zeros((side, side), np.uint8)
    cv2.fillPoly(opacity, [np.round(outline * 256).astype(np.int32)], (255,), lineType=cv2.LINE_AA, shift=8)
    share = opacity.astype(np.float32)[..., None] / 255
    return Sprite(shape, texture, np.concatenate([colours * share, share], 2))
