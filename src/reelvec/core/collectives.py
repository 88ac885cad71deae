"""What processes of one run tell each other. With one process, every function here is the identity."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn import functional as dist_nn

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
    parts = [torch.empty_like(x) for _ in range(world())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def gather_with_gradient(x: Shaped[Tensor, "b *rest"]) -> Shaped[Tensor, "all_b *rest"]:
    """Stack a tensor of all processes in their order; gradients flow back to the process each row is from."""
    return x if world() == 1 else torch.cat(list(dist_nn.all_gather(x.contiguous())))


def total(x: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
    """Sum a tensor over all processes, without gradient."""
    if world() == 1:
        return x.detach()
    x = x.detach().clone()
    dist.all_reduce(x)
    return x


def total_with_gradient(x: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
    """Sum a tensor over all processes; the gradient is summed on the way back."""
    return x if world() == 1 else dist_nn.all_reduce(x)
