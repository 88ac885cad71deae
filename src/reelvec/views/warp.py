"""Distortions of space, drawn once for a clip: all frames bend alike, so what moved still moves, in another-looking place.

A grid (b h w 2) names for each pixel of the result the point it is read from: x, then y, from -1 at the left and upper edge of
the picture to 1 at the other edge. Points outside read the border. A draw for each frame would make motion that is not there.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.draws import Draws
from reelvec.core.shapes import Float
from reelvec.core.spans import counted_as

_BUMPS = 3
"""most bumps in a picture"""


def still_grid(size: int, device: torch.device) -> Float[Tensor, "1 s s 2"]:
    """Read every pixel where it is."""
    line = (torch.arange(size, device=device) * 2 + 1) / size - 1
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([columns, rows], -1)[None]


@counted_as("views")
def spline_grid(size: int, draws: Draws, reach: float = 0.1, points: int = 5) -> Float[Tensor, "b s s 2"]:
    """Bend the picture as a thin plate: `points` x `points` places of it are moved by U(-reach, reach) along both axes.

    Thin-plate spline (Bookstein 1989) through the moved places of an even net on [-1, 1]^2, edges included. A spline is linear
    in the values it passes through and keeps straight what is straight, so it is one fixed matrix times what was moved.
    """
    moved = draws.uniform("spline", -reach, reach, many=2 * points**2).unflatten(1, (-1, 2))  # (b, points, 2)
    weights = _spline_weights(size, points, moved.device)
    with torch.autocast(moved.device.type, enabled=False):
        offset = weights @ moved  # (b, pixels, 2)
    return still_grid(size, moved.device) + offset.unflatten(1, (size, size))


@functools.lru_cache(maxsize=8)
def _spline_weights(size: int, points: int, device: torch.device) -> Float[Tensor, "pixels points"]:
    """How much the value at each point of the net counts in each pixel; rows sum to 1."""
    line = torch.linspace(-1, 1, points, dtype=torch.float64)
    net = torch.cartesian_prod(line, line).flip(1)
    pixels = still_grid(size, torch.device("cpu")).double().reshape(-1, 2)
    system = torch.zeros(len(net) + 3, len(net) + 3, dtype=torch.float64)
    system[: len(net)] = _spline_terms(net, net)
    system[len(net) :, : len(net)] = system[: len(net), len(net) :].T  # what bends carries no straight part
    weights = _spline_terms(pixels, net) @ torch.linalg.inv(system)
    return weights[:, : len(net)].float().to(device)


def _spline_terms(at: Float[Tensor, "m 2"], net: Float[Tensor, "k 2"]) -> Float[Tensor, "m k3"]:
    """Return r^2 log r to each point of the net, then 1, x, y."""
    squared = (at[:, None] - net).square().sum(2)
    return torch.cat([torch.special.xlogy(squared, squared) / 2, torch.ones_like(at[:, :1]), at], 1)


@counted_as("views")
def bump_grid(size: int, draws: Draws) -> Float[Tensor, "b s s 2"]:
    """Push the picture in one to three round places, as DSM's released code does at 224 pixels; here the lengths scale.

    With centre c, both coordinates U(60, 140) px, and shift s, both U(10, 20) px: p reads p - w s for |p - c| <= 3 |s|,
    w = 0.5 / (3 (|p - c - s| / |s|)^4 + 1). Read between pixels, where the released code cuts to whole ones.
    """
    pixel = 2 / 224
    many = 1 + (draws.uniform("bumps") * _BUMPS).floor()
    centres = draws.uniform("centres", 60 * pixel, 140 * pixel, many=2 * _BUMPS).unflatten(1, (_BUMPS, 1, 1, 2)) - 1
    shifts = draws.uniform("shifts", 10 * pixel, 20 * pixel, many=2 * _BUMPS).unflatten(1, (_BUMPS, 1, 1, 2))
    grid = still_grid(size, many.device).expand(len(many), -1, -1, -1)
    for bump in reversed(range(_BUMPS)):  # the last bump reads what the ones before it made
        centre, shift = centres[:, bump], shifts[:, bump]
        length = shift.norm(dim=-1)
        distance = (grid - centre - shift).norm(dim=-1) / length
        reached = ((grid - centre).norm(dim=-1) <= 3 * length) & (bump < many)[:, None, None]
        weight = reached * 0.5 / (3 * distance**4 + 1)
        grid = grid - weight[..., None] * shift
    return grid


def turned(grid: Float[Tensor, "b s s 2"], degrees: Float[Tensor, "b"]) -> Float[Tensor, "b s s 2"]:
    """Read from a picture that is turned counter-clockwise round its centre."""
    cosine, sine = (f(torch.deg2rad(degrees))[:, None, None] for f in (torch.cos, torch.sin))
    x, y = grid.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], -1)


@torch.no_grad()
@counted_as("views")
def resample(frames: Float[Tensor, "b c t s s"], grid: Float[Tensor, "b s s 2"]) -> Float[Tensor, "b c t s s"]:
    """Read all frames of a clip at the same points, bilinear, in float32 under autocast too."""
    with torch.autocast(frames.device.type, enabled=False):
        flat = F.grid_sample(frames.float().flatten(1, 2), grid, padding_mode="border", align_corners=False)
    return flat.unflatten(1, frames.shape[1:3])
