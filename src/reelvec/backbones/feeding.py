"""How clips are shown to a network that was trained elsewhere: what is known of size, frames, times and colours."""

import math
from dataclasses import dataclass

from reelvec.core.errors import ReelvecError


@dataclass(frozen=True)
class Feeding:
    """What is known of the clips that a network expects; None where nothing says so."""

    size: int | None = None
    """side of the square, in pixels"""
    frames: int | None = None
    stride: int | None = None
    """in frames at `frames_per_second`"""
    frames_per_second: float | None = None
    """None: the file's own rate"""
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    """per channel, after scaling uint8 to [0, 1]"""


_KINETICS = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
TORCHVISION = {
    **dict.fromkeys(("r3d_18", "mc3_18", "r2plus1d_18"), Feeding(112, 16, 1, 15, **_KINETICS)),
    "s3d": Feeding(224, 128, 1, 15, **_KINETICS),
    "mvit_v2_s": Feeding(224, 16, 1, 7.5, (0.45,) * 3, (0.225,) * 3),
    "swin3d_t": Feeding(224, 32, 1, 15, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""as the figures of torchvision's own weights were taken (its `VideoClassification` presets, clip_len and frame_rate)"""


def pixels_to_unit(
    mean: tuple[float, ...], std: tuple[float, ...], factor: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Turn (p * factor - mean) / std for pixels p of 0 to 255 into mean and std for pixels of [0, 1]."""
    if not factor > 0 or not all(value > 0 for value in std):
        raise ReelvecError(
            "normalise as a preprocessor config says",
            f"a factor of {factor} and standard deviations {', '.join(map(str, std))}",
            "give mean= and std= for pixels in [0, 1] yourself",
        )
    if math.isclose(factor, 1 / 255):
        return mean, std
    return tuple(m / (255 * factor) for m in mean), tuple(s / (255 * factor) for s in std)
