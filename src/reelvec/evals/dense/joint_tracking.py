"""Joints of a body as labels, and PCK, the share found near enough: JHMDB's protocol (eval_protocols, section f).

Joints become maps of heat, which are carried along as masks are (`label_propagation.carry`), and heat becomes places again.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reelvec.core.shapes import Float, Int

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
_SIGMA = 0.5
"""width of a joint's heat, in cells of the map"""
_BEFORE, _AFTER = 2, 1
"""cells that heat reaches from its warmest one: to the left and up, to the right and down"""
_TOP = 5
"""cells that a joint's place is a mean of"""
_BODY = 0.6
"""of the diagonal of the box around a body's joints: its size"""


def joint_maps(
    places: Float[Tensor, "joints 2"], frame_size: tuple[int, int], map_size: tuple[int, int]
) -> Float[Tensor, "layers h w"]:
    """Return heat around each joint, x and y in pixels of the frame, after a layer of background, 1 where no joint is near.

    Heat is a Gaussian of half a cell around the nearest cell, cut off as CRW and RVM cut it: 4 x 4 cells. One deviation: at
    the left and upper side, theirs is a cell too far inside, for numbers below 0 are rounded up.
    """
    (height, width), (rows, columns) = frame_size, map_size
    cell = (places * places.new_tensor([columns / width, rows / height]) + 0.5).floor()
    down = torch.arange(rows, device=places.device) - cell[:, 1:]
    across = torch.arange(columns, device=places.device) - cell[:, :1]
    square = down[:, :, None] ** 2 + across[:, None, :] ** 2
    near = _is_near(down)[:, :, None] & _is_near(across)[:, None, :]
    heat = torch.where(near, torch.exp(-square / (2 * _SIGMA**2)), 0.0)
    return torch.cat([(heat.sum(0, keepdim=True) == 0).to(heat), heat])


def _is_near(cells: Tensor) -> Tensor:
    return (cells >= -_BEFORE) & (cells <= _AFTER)


def joint_places(labels: Float[Tensor, "layers h w"], frame_size: tuple[int, int]) -> Float[Tensor, "joints 2"]:
    """Return where joints are, x and y in pixels: the mean of each layer's five hottest cells by heat; NaN without any heat."""
    rows, columns = labels.shape[1:]
    heat, where = labels[1:].flatten(1).topk(min(_TOP, rows * columns), dim=1)
    weights = heat / heat.sum(1, keepdim=True)  # 0 / 0 is NaN: a joint that is lost
    x, y = (where % columns * weights).sum(1), (where // columns * weights).sum(1)
    return torch.stack([x * frame_size[1] / columns, y * frame_size[0] / rows], 1)


def pck_counts(
    found: Float[Tensor, "frames joints 2"],
    truth: Float[Tensor, "frames joints 2"],
    thresholds: Sequence[float] = THRESHOLDS,
) -> Int[np.ndarray, "rows joints"]:
    """Count by joint, over the frames of a video but its first, which is given; add these up over videos.

    A row for each threshold: how often the distance to the truth is at most that part of the body's size. Then how often the
    joint was found somewhere, then how often it was lost (NaN). A body's size is 0.6 of the diagonal of the box around the
    true places of the joints that are not lost; of a body without size nothing is near enough.
    """
    seen = ~found.isnan().any(2)
    lowest = truth.masked_fill(~seen[..., None], math.inf).amin(1)
    highest = truth.masked_fill(~seen[..., None], -math.inf).amax(1)
    size = _BODY * (highest - lowest).norm(dim=1, keepdim=True)
    ratio = ((found - truth).norm(dim=2) / size).masked_fill(~seen | (size <= 0), math.inf)[1:]
    near = [(ratio <= limit).sum(0) for limit in thresholds]
    return torch.stack([*near, seen[1:].sum(0), (~seen[1:]).sum(0)]).numpy()


def pck(counts: Int[np.ndarray, "rows joints"]) -> list[float]:
    """Return for each threshold the share of joints that are near enough, joint by joint, averaged over joints.

    Of a joint that is lost nothing is asked, as in the official evaluation; 0 where all joints always are.
    """
    *near, seen, _ = counts
    asked = seen > 0
    return [float((row[asked] / seen[asked]).mean()) if asked.any() else 0.0 for row in near]


def share_lost(counts: Int[np.ndarray, "rows joints"]) -> float:
    """Return how often joints are lost: what PCK is silent about."""
    *_, seen, lost = counts
    return float(lost.sum() / max(1, seen.sum() + lost.sum()))
