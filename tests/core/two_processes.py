"""One of two processes on gloo: `two_processes.py RANK FOLDER`. Each writes what it computed."""

import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist

from reelvec.core import collectives


def own_rows(rank):
    """Rows of this process; not contiguous in memory, as a transposed view is not."""
    return torch.arange(6, dtype=torch.float64).reshape(2, 3).mul(0.1).add(rank).T.requires_grad_()


def own_weight(rank, like):
    """What this process's loss makes of what it was handed: other for each process."""
    return torch.arange(like.numel(), dtype=like.dtype).reshape(like.shape).add(7 * rank + 1).sin()


def with_gradient(collective, rank):
    x = own_rows(rank)
    output = collective(x)
    (output.square() * own_weight(rank, output)).sum().backward()
    return {"output": output.detach(), "gradient": x.grad}


def without_gradient(collective, rank):
    x = own_rows(rank)
    output = collective(x)
    return {"output": output, "needs_gradient": output.requires_grad, "input": x.detach()}


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    done = {
        "place": (collectives.rank(), collectives.world()),
        "gather": without_gradient(collectives.gather, rank),
        "total": without_gradient(collectives.total, rank),
        "gather_with_gradient": with_gradient(collectives.gather_with_gradient, rank),
        "total_with_gradient": with_gradient(collectives.total_with_gradient, rank),
    }
    torch.save(done, folder / f"{rank}.pt")
    dist.destroy_process_group()
