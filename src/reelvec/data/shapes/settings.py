"""What a set of generated videos is a function of."""

import numpy as np

from reelvec.core import Config, sample_generator

SPLITS = ("train", "test")


class Settings(Config):
    """All that the pixels of a set hang on; written beside the set as settings.json."""

    version: int = 2
    """raised when the same settings would give other pixels than before"""
    videos: dict[str, int]
    """number of videos of each split"""
    seed: int = 0
    size: int = 72
    """side of the square picture in pixels"""
    frames: int = 24
    frames_per_second: int = 24
    sprites: int = 5
    """how many things move in a video, all in the same way"""
    camera: float = 0.0
    """speed of the camera: 0 stands still; at 1 it drifts by 0.3 to 1 pixel a frame (of a picture 72 wide), and shakes"""
    truth: bool = True
    """whether flow, masks, boxes, centre paths and speeds are written beside the videos"""
    b_frames: int = 0
    """longest run of B frames in the files"""
    gop: int = 12
    """frames from one key frame to the next. A key frame is coded afresh, and that can be seen: where key frames stand at the
    same place in all videos, they tell the time (docs/methods/tcgl.md)"""

    @property
    def scale(self) -> float:
        """Pixels of this set for a pixel of a picture 72 pixels wide, in which all lengths are given."""
        return self.size / 72

    def generator(self, split: str, number: int, name: str) -> np.random.Generator:
        """Return the generator of one subject (its path, its scene ...) of one video."""
        return sample_generator(self.seed, number, f"shapes/{split}/{name}")
