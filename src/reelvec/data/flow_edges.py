"""Edges of the flow: where neighbouring pixels move differently. MoDist's motion input (arXiv 2106.09703).

A camera that pans moves all pixels alike; a derivative in space removes that and leaves the outlines of what moves on its
own.
"""

from typing import Literal

import cv2
import numpy as np

from reelvec.core.shapes import Float, UInt8

SHORT_SIDE = 256
"""the clamp counts in pixels of a frame of this short side: at another size, flow is as many times smaller or larger"""


def flow_edges(
    flow: Float[np.ndarray, "2 h w"], formula: Literal["a", "b"] = "a", clamp: float = 10.0
) -> UInt8[np.ndarray, "h w"]:
    """Return the edges of a flow map in pixels of its own frame, as uint8: 255 stands for `clamp` and all above.

    Formula A: |Sobel of sqrt(u^2 + v^2)|; formula B: the root of the summed squares of the Sobel derivatives of u and
    of v, which keeps edges where the direction turns and the speed stays. Sobel's 3 x 3 kernels are not normalised (a
    step of 1 gives 4); at the border the outermost pixels are repeated.
    """
    maps = [np.hypot(flow[0], flow[1])] if formula == "a" else [flow[0], flow[1]]
    squares = np.zeros(flow.shape[1:], np.float32)
    for part in maps:
        part = np.ascontiguousarray(part, np.float32)
        for dx, dy in ((1, 0), (0, 1)):
            squares += cv2.Sobel(part, cv2.CV_32F, dx, dy, ksize=3, borderType=cv2.BORDER_REPLICATE) ** 2
    edges = np.sqrt(squares) * (SHORT_SIDE / min(flow.shape[1:]))
    return np.rint(np.minimum(edges, clamp) * (255 / clamp)).astype(np.uint8)
