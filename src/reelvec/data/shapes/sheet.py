"""A picture to look at a set by: rows of motions, columns of scenes, a few frames of a video in each."""

import csv
import os
from pathlib import Path

import av
import cv2
import numpy as np

from reelvec.core import ReelvecError, write_whole
from reelvec.core.shapes import UInt8
from reelvec.data.shapes.motions import MOTIONS
from reelvec.data.shapes.textures import SCENES

_BAND, _GAP = 14, 4  # pixels: the line of text above each strip, the space around it


def write_sheet(folder: str | os.PathLike[str], png: str | os.PathLike[str], *, split: str = "train", frames: int = 4) -> Path:
    """Write `frames` evenly spaced frames of one video of every combination of motion and scene that a set holds.

    Raises ReelvecError where `folder` holds no set or none of this split.
    """
    folder, png = Path(folder), Path(png)
    try:
        with (folder / "labels.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
    except (OSError, KeyError) as error:
        raise ReelvecError(f"draw a sheet of {folder}", "no set of shapes there", "make one with make_shapes") from error
    if not rows:
        raise ReelvecError(f"draw a sheet of {folder}", f"no video of the split {split!r}", "name a split of the set")
    chosen = {(row["motion"], row["scene"]): row["path"] for row in reversed(rows)}
    strips = {cell: _strip(folder / path, frames, "  ".join(cell)) for cell, path in chosen.items()}
    blank = np.full_like(next(iter(strips.values())), 255)
    lines = [np.hstack([strips.get((motion, scene), blank) for scene in SCENES]) for motion in MOTIONS]
    _, encoded = cv2.imencode(".png", np.vstack(lines)[..., ::-1])
    write_whole(png, lambda part: encoded.tofile(part))
    return png


def _strip(path: Path, frames: int, text: str) -> UInt8[np.ndarray, "h w 3"]:
    """Put frames of one video side by side under a line of text."""
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chosen = np.linspace(0, len(pictures) - 1, frames).round().astype(int)
    shown = np.hstack([np.pad(pictures[i], ((0, 0), (0, 2), (0, 0)), constant_values=255) for i in chosen])
    strip = np.full((shown.shape[0] + _BAND + _GAP, shown.shape[1] + _GAP, 3), 255, np.uint8)
    strip[_BAND:-_GAP, :-_GAP] = shown
    cv2.putText(strip, text, (0, _BAND - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return strip
