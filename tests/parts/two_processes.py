"""The work of one of two processes: `two_processes.py RANK FOLDER`. Names say how halves are put together."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from reelvec.parts import Queue, SyncedBatchNorm, nt_xent, sinkhorn


def clips(dtype):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, 2, 3, 3, generator=generator, dtype=torch.float64).mul(3).add(7).to(dtype)


def batch_norm(rank, dtype):
    own = slice(0, 2) if rank == 0 else slice(2, 6)  # halves of different size
    x = clips(dtype)[own].clone().requires_grad_()
    norm = SyncedBatchNorm(4).to(torch.float64 if dtype == torch.float64 else torch.float32)
    nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        output = norm(x)
    weight = torch.arange(clips(dtype).numel(), dtype=output.dtype).reshape(clips(dtype).shape).sin()[own]
    (output * weight).sum().backward()
    return {
        "stack/output": output.detach(),
        "stack/gradient": x.grad,
        "equal/running_mean": norm.running_mean,
        "equal/running_var": norm.running_var,
        "sum/weight_gradient": norm.weight.grad,
        "sum/bias_gradient": norm.bias.grad,
    }


def collected(rank, dtype):
    own = slice(3 * rank, 3 * rank + 3)
    first, second = (F.normalize(clips(dtype).flatten(1)[:, o : o + 8])[own] for o in (0, 20))
    first.requires_grad_()
    loss = nt_xent(first, second, 0.1)
    loss.backward()
    torch.manual_seed(0)
    queue = Queue(10, 8)
    for _ in range(2):
        queue.push(second)
    return {
        "mean/loss": loss.detach(),
        "stack/gradient": first.grad,
        "stack/codes": sinkhorn(first.detach(), 0.05, 3),
        "equal/queue": queue.keys,
    }


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    done = {name: batch_norm(rank, getattr(torch, name)) for name in ("float64", "float32", "bfloat16")}
    torch.save({**done, "collected": collected(rank, torch.float64)}, folder / f"{rank}.pt")
    dist.destroy_process_group()
