"""Flow edges kept in a file beside their video, so that training slices them instead of computing them.

A NumPy file of all frames (frames h w), uint8, at the video's own size. It is read by memory map: a clip costs its own bytes.
How the edges were computed stands in the name, so files of several settings lie side by side and none is taken for another.
"""

import os

import numpy as np

from reelvec.core.needs import StreamNeed
from reelvec.core.shapes import UInt8
from reelvec.data.index import VideoRow

_COMPUTED = 1
"""raised when flow.py, flow_edges.py or motion_vectors.py give other numbers: older files are then no longer found"""


def flow_edges_file(video: str, source: str, formula: str, clamp: float) -> str:
    """Return the name of the file that holds the flow edges of a video."""
    return f"{video}.edges{_COMPUTED}-{source}-{formula}-{float(clamp)!r}.npy"


def stands_for(file: str, video: str) -> bool:
    """Whether the file is there, and not older than the video: of one that was replaced, it shows the motion of another."""
    try:
        return os.stat(file).st_mtime_ns >= os.stat(video).st_mtime_ns
    except OSError:
        return False


def stored_flow_edges(row: VideoRow, need: StreamNeed, size: tuple[int, int]) -> UInt8[np.ndarray, "frames h w"] | None:
    """Open the flow edges of a video, as needed and at the size (height, width); None where no file holds just these."""
    file = flow_edges_file(row.path, need.source, need.formula, need.clamp)
    if not stands_for(file, row.path):
        return None
    try:
        edges = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # gone meanwhile, or not one of ours
        return None
    fits = edges.shape == (row.frames, *size) and edges.dtype == np.uint8
    return edges if fits else None
