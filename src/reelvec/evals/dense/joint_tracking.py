"""Joints of a body followed by label propagation, and PCK, the share found near enough: JHMDB's protocol (section f).

The body's joints in the first frame become maps of heat, which are carried along as masks are (`carry`).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from reelvec.core.shapes import Float
from reelvec.evals.dense.label_propagation import Preset, carry

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
_SIGMA = 0.5
"""width of a joint's heat, in cells of the map"""
_TOP = 5
"""cells that a joint's place is a mean of"""
_BODY = 0.6
"""of the diagonal of the box around a body's joints: its size"""


def joint_maps(
    places: Float[Tensor, "joints 2"], frame_size: tuple[int, int], map_size: tuple[int, int]
) -> Float[Tensor, "layers h w"]:
    """Return heat around each joint, x and y in pixels of the frame, after a layer of background, 1 where no joint is near.

    Heat is a Gaussian of half a cell around the nearest cell, cut off beyond three of its widths.
    """
    (height, width), (rows, columns) = frame_size, map_size
    cell = (places * places.new_tensor([columns / width, rows / height])).round()
    down = torch.arange(rows, device=places.device) - cell[:, 1:]
    across = torch.arange(columns, device=places.device) - cell[:, :1]
    square = down[:, :, None] ** 2 + across[:, None, :] ** 2
    near = (down.abs()[:, :, None] <= 3 * _SIGMA) & (across.abs()[:, None, :] <= 3 * _SIGMA)
    heat = torch.where(near, torch.exp(-square / (2 * _SIGMA**2)), 0.0)
    return torch.cat([(heat.sum(0, keepdim=True) == 0).to(heat), heat])


def joint_places(labels: Float[Tensor, "layers h w"], frame_size: tuple[int, int]) -> Float[Tensor, "joints 2"]:
    """Return where joints are, x and y in pixels: the mean of each layer's five hottest cells by heat; NaN without any heat."""
    rows, columns = labels.shape[1:]
    heat, where = labels[1:].flatten(1).topk(min(_TOP, rows * columns), dim=1)
    weights = heat / heat.sum(1, keepdim=True)  # 0 / 0 is NaN: a joint that is lost
    x, y = (where % columns * weights).sum(1), (where // columns * weights).sum(1)
    return torch.stack([x * frame_size[1] / columns, y * frame_size[0] / rows], 1)


def follow_joints(
    maps: Iterable[Float[Tensor, "d h w"]], first: Float[Tensor, "joints 2"], frame_size: tuple[int, int], preset: Preset
) -> Iterator[Float[Tensor, "joints 2"]]:
    """Yield the joints' places in every frame in order, by features alone; in the first frame, what is left of the truth."""
    start = iter(maps)
    one = next(start)
    heat = joint_maps(first.to(one.device), frame_size, (one.shape[1], one.shape[2]))
    for labels in carry(chain([one], start), heat, preset):
        yield joint_places(labels, frame_size)


def pck(
    found: Sequence[Float[Tensor, "frames joints 2"]],
    truth: Sequence[Float[Tensor, "frames joints 2"]],
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[float, float]:
    """Return by threshold the share of joints whose distance to the truth is at most that part of the body's size.

    An entry of `found` and `truth` is a video; its first frame, which is given, does not count, nor does a joint that is lost
    (NaN). A body's size is 0.6 of the diagonal of the box around the true places of the joints that are not lost. Shares are
    taken over all frames of all videos, joint by joint, and averaged over joints.
    """
    ratios: list[Tensor] = []
    for ours, theirs in zip(found, truth, strict=True):
        seen = ~ours.isnan().any(2)
        lowest = theirs.masked_fill(~seen[..., None], math.inf).amin(1)
        highest = theirs.masked_fill(~seen[..., None], -math.inf).amax(1)
        size = _BODY * (highest - lowest).norm(dim=1, keepdim=True)
        ratio = (ours - theirs).norm(dim=2) / size
        ratios.append(ratio.masked_fill(~seen | (size <= 0), math.nan)[1:])
    every = torch.cat(ratios)
    counted = ~every.isnan()
    asked = counted.any(0)
    return {
        limit: ((every <= limit).sum(0)[asked] / counted.sum(0)[asked]).mean().item() if asked.any() else math.nan
        for limit in thresholds
    }
