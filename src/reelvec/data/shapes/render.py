"""From the description of one video to its pixels and their truth, both from the same path."""

from dataclasses import dataclass

import cv2
import numpy as np

from reelvec.core.shapes import Float, UInt8
from reelvec.data.shapes.motions import MOTIONS, Path, draw_path
from reelvec.data.shapes.settings import Settings
from reelvec.data.shapes.sprites import Sprite, draw_sprite
from reelvec.data.shapes.textures import SCENES, TextureDraws, draw_palette, paint
from reelvec.data.shapes.truth import Truth, boxes_on_torus

FINE = 3
"""samples of each pixel along each axis: what is drawn fine and averaged moves smoothly by parts of a pixel"""


@dataclass(frozen=True)
class Video:
    """One video of a set: a function of (settings, split, number) alone."""

    split: str
    number: int
    motion: str
    scene: str
    paths: tuple[Path, ...]
    """one for each sprite; the camera's is the same in all"""
    sprites: tuple[Sprite, ...]
    """a later one covers an earlier one"""
    scenery: Float[np.ndarray, "side side 3"]
    """the scene `FINE` times as fine as the pixels, with a margin for the camera on all sides; RGB in [0, 255]"""

    @property
    def name(self) -> str:
        """Where it stands in the set's folder."""
        return f"{self.split}/{self.number:05d}.mp4"


def combination(settings: Settings, split: str, number: int) -> tuple[str, str]:
    """Return motion and scene of a video: all combinations once in each block of 64, in an order of the block's own.

    Each run of eight videos in a block holds every motion and every scene once, so that counts are even for a set of
    any length: the numbers of videos of two motions (or of two scenes) never differ by more than one.
    """
    motions, scenes = list(MOTIONS), list(SCENES)
    block, within = divmod(number, len(motions) * len(scenes))
    row, column = divmod(within, len(motions))
    rng = settings.generator(split, block, "combinations")
    motion_order, scene_order, row_order = (rng.permutation(len(motions)) for _ in range(3))
    i = motion_order[column]
    j = scene_order[(column + row_order[row]) % len(scenes)]  # a Latin square: another scene for a motion in each row
    return motions[i], scenes[j]


def draw_video(settings: Settings, split: str, number: int) -> Video:
    """Draw one video."""
    motion, scene = combination(settings, split, number)
    paths = tuple(draw_path(settings, split, number, motion, k) for k in range(settings.sprites))
    draws = TextureDraws(settings.generator(split, number, "scene"), split)
    palette = draw_palette(draws)
    side = FINE * (settings.size + 2 * _margin(paths[0]))
    scenery = paint(scene, draws, palette, half_width=side / FINE / settings.scale / 2, side=side)
    sprites = tuple(draw_sprite(settings, split, number, palette, k) for k in range(settings.sprites))
    return Video(split, number, motion, scene, paths, sprites, scenery)


def render(settings: Settings, video: Video) -> tuple[UInt8[np.ndarray, "t h w 3"], Truth]:
    """Render all frames of a video, RGB, and what is true of them."""
    frames, size, camera = settings.frames, settings.size, video.paths[0].camera
    pixels = np.empty((frames, size, size, 3), np.uint8)
    flow = np.empty((frames, size, size, 2), np.float16)
    masks = np.zeros((frames, size, size), np.uint8)
    boxes = np.zeros((frames, settings.sprites, 4, 4), np.int16)
    backdrop = _backdrop(video, camera[0], size)
    for t in range(frames):
        if settings.camera and t > 0:
            backdrop = _backdrop(video, camera[t], size)
        frame = backdrop.copy()
        flow[t] = camera[t + 1] - camera[t]
        for k, (path, sprite) in enumerate(zip(video.paths, video.sprites, strict=True)):
            left_top, picture = _stamp(sprite, path.centre[t], path.radius[t], path.angle)
            # the picture is a torus: a stamp that crosses a side is written on at the opposite one
            rows, columns = ((left_top[axis] + np.arange(len(picture))) % size for axis in (1, 0))
            patch = np.ix_(rows, columns)
            opacity = picture[..., 3]
            frame[patch] = frame[patch] * (1 - opacity[..., None]) + picture[..., :3]
            solid = opacity >= 0.5
            flow[t][patch] = np.where(solid[..., None], _sprite_flow(path, t, left_top, len(picture)), flow[t][patch])
            masks[t][patch] = np.where(solid, k + 1, masks[t][patch])
            boxes[t, k] = boxes_on_torus(solid, left_top, size)
        pixels[t] = np.clip(np.rint(frame), 0, 255)
    centre = np.stack([path.centre[:-1] % size for path in video.paths], 1).astype(np.float32)
    speed = np.stack([path.speed for path in video.paths], 1).astype(np.float32)
    return pixels, Truth(flow, masks, boxes, centre, speed)


def _margin(path: Path) -> int:
    """Pixels of scenery beyond each side of the picture that the camera comes to see."""
    return int(np.ceil(np.abs(path.camera).max())) + 1


def _backdrop(video: Video, camera: Float[np.ndarray, "2"], size: int) -> Float[np.ndarray, "size size 3"]:
    """Render the scene that has moved by `camera` pixels."""
    middle = (video.scenery.shape[0] - FINE * size) / 2
    shift = middle - FINE * camera
    view = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    fine = cv2.warpAffine(video.scenery, view, (FINE * size, FINE * size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)


def _stamp(
    sprite: Sprite, centre: Float[np.ndarray, "2"], radius: float, angle: float
) -> tuple[tuple[int, int], Float[np.ndarray, "s s 4"]]:
    """Render a sprite at its place. Returns the column and row of the stamp's upper left pixel, and the stamp."""
    half = int(np.ceil(radius)) + 1
    left, top = (int(np.floor(c)) - half for c in centre)
    side = 2 * half + 1
    # samples of the sprite's picture for a sample of the fine stamp
    ratio = sprite.picture.shape[0] / 2 * sprite.reach / (radius * FINE)
    cos, sin = ratio * np.cos(angle), ratio * np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    # sample i covers [i, i + 1): its middle lies at i + 1/2, in the stamp and in the sprite's picture
    middle = (np.asarray(centre) - [left, top]) * FINE - 0.5
    offset = sprite.picture.shape[0] / 2 - 0.5 - turn @ middle
    fine = cv2.warpAffine(
        sprite.picture,
        np.column_stack([turn, offset]),
        (FINE * side, FINE * side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return (left, top), cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA)


def _sprite_flow(path: Path, t: int, left_top: tuple[int, int], side: int) -> Float[np.ndarray, "s s 2"]:
    """Pixels that each point of the sprite moves from frame t to t + 1, at the pixels of its stamp."""
    x, y = np.meshgrid(left_top[0] + np.arange(side) + 0.5, left_top[1] + np.arange(side) + 0.5)
    outwards = np.stack([x, y], 2) - path.centre[t]
    return path.centre[t + 1] - path.centre[t] + outwards * (path.radius[t + 1] / path.radius[t] - 1)
