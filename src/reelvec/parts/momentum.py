"""Slow networks: copies that follow a trained network as a moving average (MoCo, He et al. 2020, equation 2)."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def slow_copy(module: AnyModule) -> AnyModule:
    """Copy a network, weights and buffers, and take the copy out of training."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def move(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Set each weight of `slow` to momentum x itself + (1 - momentum) x the weight of `fast`.

    Buffers stay: the slow network gathers its own batch statistics while it reads clips. Momentum 0 copies exactly,
    momentum 1 changes nothing.
    """
    weights: list[Tensor] = list(slow.parameters())
    targets: list[Tensor] = list(fast.parameters())
    if len(weights) != len(targets):
        raise ValueError(f"a slow network of {len(weights)} weights cannot follow one of {len(targets)}")
    if weights:
        torch._foreach_lerp_(weights, targets, 1 - momentum)  # one call for all of them
