"""The motion classes: which part of a sprite's state moves, and how.

The state of a sprite is a place on a torus (what leaves the picture on one side enters on the other) and a phase of its
size. Every class draws the first state from the same uniform distribution and adds a shift that does not depend on it.
A uniform place or phase that is shifted is uniform again: in every frame of every class the state has the same
distribution. Several sprites of a video get the same shift from states of their own, so this holds for all of them together.
What is rendered of a single frame therefore says nothing at all about the class.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reelvec.core.shapes import Float
from reelvec.data.shapes.settings import Settings


@dataclass(frozen=True)
class Pace:
    """What the shift of a motion is made of; drawn alike for all classes. Lengths in pixels, times in frames."""

    speed: float
    """mean speed of the centre, for `pulse` of the rim"""
    period: float
    """of a round of a circle or of one swing to and fro"""
    phase: float
    pulse_rate: float
    """radians per frame at which the size's phase has to turn for the rim to have the speed"""


@dataclass(frozen=True)
class Path:
    """Where a sprite is and how large, for frames 0 to `frames`: the last is not drawn, the last flow leads to it."""

    centre: Float[np.ndarray, "t 2"]
    """x, y in pixels, not wrapped at the picture's sides; camera motion is in it"""
    radius: Float[np.ndarray, "t"]
    """of the circle around the sprite"""
    angle: float
    camera: Float[np.ndarray, "t 2"]
    """how far the world stands from where it stood in frame 0; all zero for a still camera"""

    @property
    def speed(self) -> Float[np.ndarray, "intervals"]:
        """Pixels per frame of the centre (without the camera's share) and of the rim; no class moves both."""
        step = np.diff(self.centre - self.camera, axis=0)
        return np.hypot(step[:, 0], step[:, 1]) + np.abs(np.diff(self.radius))


Shift = tuple[np.ndarray, np.ndarray, np.ndarray]
"""what is added to x, to y (pixels) and to the phase of the size (radians), for each frame"""


def _straight(x: int, y: int) -> Callable[[np.ndarray, Pace], Shift]:
    return lambda t, pace: (x * pace.speed * t, y * pace.speed * t, 0 * t)


def _round(sense: int) -> Callable[[np.ndarray, Pace], Shift]:
    def shift(t: np.ndarray, pace: Pace) -> Shift:
        radius = pace.speed * pace.period / (2 * np.pi)
        turn = pace.phase + sense * 2 * np.pi * t / pace.period  # y points down: a growing angle turns clockwise
        return radius * np.cos(turn), radius * np.sin(turn), 0 * t

    return shift


def _swing(t: np.ndarray, pace: Pace) -> Shift:
    reach = pace.speed * pace.period / 4  # four times the reach in one period
    return reach * np.sin(pace.phase + 2 * np.pi * t / pace.period), 0 * t, 0 * t


def _pulse(t: np.ndarray, pace: Pace) -> Shift:
    return 0 * t, 0 * t, pace.pulse_rate * t


MOTIONS: dict[str, Callable[[np.ndarray, Pace], Shift]] = {
    "left": _straight(-1, 0),
    "right": _straight(1, 0),
    "up": _straight(0, -1),
    "down": _straight(0, 1),
    "clockwise": _round(1),
    "anticlockwise": _round(-1),
    "swing": _swing,
    "pulse": _pulse,
}
"""Straight on in four directions, round a circle in two, to and fro along a row, growing and shrinking in place."""


def draw_path(settings: Settings, split: str, number: int, motion: str, sprite: int = 0) -> Path:
    """Draw the path of one of a video's sprites. No draw depends on the class: the class only says what moves.

    Sprites of one video move at one pace; place, size and angle are each sprite's own.
    """
    rng, scale = settings.generator(split, number, f"state{sprite}"), settings.scale
    start = rng.uniform(0, settings.size, 2)
    angle, size_phase = rng.uniform(0, 2 * np.pi, 2)
    middle = rng.uniform(7, 9) * scale
    spread = rng.uniform(0.35, 0.5)  # the radius stays within middle * exp(+-spread)
    rng = settings.generator(split, number, "pace")
    speed = rng.uniform(1.0, 1.8) * scale
    # in one period the rim goes twice from middle * exp(-spread) to middle * exp(spread): 4 * middle * sinh(spread)
    pulse_rate = 2 * np.pi * speed / (4 * middle * np.sinh(spread))
    pace = Pace(speed, rng.uniform(16, 28), rng.uniform(0, 2 * np.pi), pulse_rate)

    t = np.arange(settings.frames + 1, dtype=np.float64)
    x, y, phase = MOTIONS[motion](t, pace)
    camera = _camera(settings, split, number, t)
    centre = start + np.stack([x, y], 1) + camera
    return Path(centre, middle * np.exp(spread * np.sin(size_phase + phase)), angle, camera)


def _camera(settings: Settings, split: str, number: int, t: np.ndarray) -> Float[np.ndarray, "t 2"]:
    """Draw a drift in one direction and a shake of two sines along each axis, in pixels."""
    if settings.camera == 0:
        return np.zeros((len(t), 2))
    rng = settings.generator(split, number, "camera")
    direction, drift = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.0)
    offset = drift * np.outer(t, [np.cos(direction), np.sin(direction)])
    reach, period = rng.uniform(0.2, 0.8, (2, 2)), rng.uniform(5, 14, (2, 2))
    phase = rng.uniform(0, 2 * np.pi, (2, 2))
    offset += (reach * np.sin(phase + 2 * np.pi * t[:, None, None] / period)).sum(-1)
    return (offset - offset[0]) * settings.camera * settings.scale
