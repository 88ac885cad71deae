"""What is known of a generated video by construction, in a file beside it."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reelvec.core.shapes import Bool, Float, Int, UInt8


@dataclass(frozen=True)
class Truth:
    """The truth of one video's frames. Places are in pixels: pixel i covers [i, i + 1), x to the right, y down."""

    flow: Float[np.ndarray, "t h w 2"]
    """u, v: how far what a pixel shows moves to the next frame; the last one leads to a frame that was not written"""
    masks: UInt8[np.ndarray, "t h w"]
    """0 where the scene is seen, k where the k-th sprite (from 1) covers at least half of a pixel and is itself not covered"""
    boxes: Int[np.ndarray, "t n 4 4"]
    """x0, y0, x1, y1 around the parts of each sprite, covered or not, largest part first; zeros where there are fewer than four

    A sprite that crosses the picture's side shows in two parts, at a corner in up to four.
    """
    centre: Float[np.ndarray, "t n 2"]
    """x, y of each sprite's centre, within the picture"""
    speed: Float[np.ndarray, "t n"]
    """pixels to the next frame, of each sprite: of the centre without the camera's share, plus the growth of the radius"""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an npz: flow float16, masks uint8, boxes int16, centre and speed float32."""
        np.savez_compressed(
            path,
            flow=self.flow,
            masks=self.masks,
            boxes=self.boxes,
            centre=self.centre,
            speed=self.speed,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Truth":
        """Read what `save` wrote."""
        with np.load(Path(path)) as file:
            return cls(**{name: file[name] for name in ("flow", "masks", "boxes", "centre", "speed")})


def boxes_on_torus(solid: Bool[np.ndarray, "s s2"], left_top: tuple[int, int], size: int) -> Int[np.ndarray, "4 4"]:
    """Return boxes around the parts of a mask that the picture's sides cut it into, largest part first.

    `left_top` is the column and row of the mask's upper left corner, anywhere on the torus.
    """
    parts = []
    for rows, y in _pieces(left_top[1], solid.shape[0], size):
        for columns, x in _pieces(left_top[0], solid.shape[1], size):
            part = solid[rows, columns]
            across, along = np.flatnonzero(part.any(0)), np.flatnonzero(part.any(1))
            if len(across):
                box = (x + across[0], y + along[0], x + across[-1] + 1, y + along[-1] + 1)
                parts.append((int(part.sum()), box))
    boxes = np.zeros((4, 4), np.int16)
    for i, (_, box) in enumerate(sorted(parts, reverse=True)):
        boxes[i] = box
    return boxes


def _pieces(start: int, length: int, size: int) -> list[tuple[slice, int]]:
    """Cut an interval of a circle where it passes 0: slices of the interval, and where each begins on the circle."""
    start %= size
    first = min(length, size - start)
    pieces = [(slice(0, first), start)]
    return pieces if first == length else [*pieces, (slice(first, length), 0)]
