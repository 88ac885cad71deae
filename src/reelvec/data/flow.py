"""Optical flow between neighbouring frames: OpenCV's dense inverse search, or the codec's vectors drawn large.

DIS: Kroeger, Timofte, Dai and Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016 (arXiv 1603.03590). Its
presets stop at a half or a quarter of the picture, where sprites and hands in a picture of 64 to 128 pixels are lost.
On the generated set (72 px, H.264, sprites moving 1.3 pixels a frame): end-point error on the sprite in pixels, correlation
of edges A with the true ones, milliseconds of one core for a pair:

    preset, finest scale 1:  ultrafast  0.66  0.28  0.11    fast  0.75  0.37  0.30    medium  0.74  0.38  0.36
    preset, finest scale 0:  ultrafast  0.35  0.35  0.51    fast  0.34  0.44  1.19    medium  0.33  0.46  1.54
    this module:                        0.36  0.39  0.72

So the search goes down to about 128 pixels of the short side whatever the size (one halving at 256: 2 ms), with ultrafast's
search, patches 5 pixels apart and two rounds of variational refinement.
"""

import math
from functools import lru_cache

import cv2
import numpy as np

from reelvec.core.shapes import Float, UInt8

_FINEST_SHORT_SIDE = 128
_PATCH_STRIDE = 5
_REFINEMENT_ROUNDS = 2
_SMALLEST_SIDE = 16
"""OpenCV refuses pictures of less than one and a half patches of 8 pixels"""


def dis_flow(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "2 h w"]:
    """Return the flow from one grey frame to the next: how far a pixel of `before` goes, u right and v down."""
    if cv2.getNumThreads() != 1:
        # the search runs along stripes, one a thread: with another number of threads the numbers are others
        cv2.setNumThreads(1)
    height, width = before.shape
    missing = max(_SMALLEST_SIDE - height, 0), max(_SMALLEST_SIDE - width, 0)
    if any(missing):
        border = ((0, missing[0]), (0, missing[1]))
        before, after = np.pad(before, border, mode="edge"), np.pad(after, border, mode="edge")
    finest = max(0, round(math.log2(min(before.shape) / _FINEST_SHORT_SIDE)))
    flow = _searcher(finest).calc(np.ascontiguousarray(before), np.ascontiguousarray(after), None)
    return flow[:height, :width].transpose(2, 0, 1)


@lru_cache(maxsize=8)
def _searcher(finest_scale: int) -> "cv2.DISOpticalFlow":
    """Make a search that stops at a picture halved `finest_scale` times.

    The scale has to be one that the picture reaches: otherwise OpenCV changes the settings of the object for good,
    or crashes (5.0 on 24 x 200 pixels with the preset's own scale).
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    search.setFinestScale(finest_scale)
    search.setPatchStride(_PATCH_STRIDE)
    search.setVariationalRefinementIterations(_REFINEMENT_ROUNDS)
    return search


def flow_from_grid(grid: Float[np.ndarray, "2 gh gw"], height: int, width: int) -> Float[np.ndarray, "2 h w"]:
    """Draw a coarse grid of flow, already in pixels of the large frame, at the frame's size (bilinear)."""
    large = [cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR) for part in grid.astype(np.float32)]
    return np.stack(large)
