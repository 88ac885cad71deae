"""What processes of one run tell each other. With one process, every function here is the identity."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from reelvec.core.shapes import Shaped


def world() -> int:
    """Number of processes of this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather(x: Shaped[Tensor, "b *rest"]) -> Shaped[Tensor, "all_b *rest"]:
    """Stack a tensor of all processes in their order, without gradient (keys for a queue)."""
    if world() == 1:
        return x.detach()
    x = x.detach().contiguous()
    parts = [torch.empty_like(x) for _ in range(world())]
    dist.all_gather(parts, x)
    return torch.cat(parts)


def gather_with_gradient(x: Shaped[Tensor, "b *rest"]) -> Shaped[Tensor, "all_b *rest"]:
    """Stack a tensor of all processes in their order; gradients flow back to the process each row is from.

    Every process computes a loss of its own from all rows, so a row's gradient is the sum over the processes.
    """
    return x if world() == 1 else _Gather.apply(x)


def total(x: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
    """Sum a tensor over all processes, without gradient."""
    if world() == 1:
        return x.detach()
    x = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x)
    return x


def total_with_gradient(x: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
    """Sum a tensor over all processes; the gradient is summed on the way back."""
    return x if world() == 1 else _Total.apply(x)


# written by hand because torch has moved and deprecated its own from one version to the next
class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        return gather(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return total(gradient).narrow(0, rank() * ctx.rows, ctx.rows)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return total(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return total(gradient)
