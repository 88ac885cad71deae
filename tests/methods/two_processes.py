"""One of two processes that train every small method on halves of a batch: `two_processes.py RANK FOLDER`."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from conftest import FORMS, make_batch, progress, small_method
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

from reelvec.parts import sync_batch_norms


class Step(nn.Module):
    """`step` as a `forward`, for DistributedDataParallel."""

    def __init__(self, method):
        super().__init__()
        self.method = method

    def forward(self, batch, at):
        return self.method.step(batch, at)


def work(name, changes, rank):
    method = small_method(name, **changes)
    sync_batch_norms(method)
    forward = DistributedDataParallel(Step(method), broadcast_buffers=False)
    optimiser, losses = SGD(method.parameters(), lr=0.01), []
    for step in range(2):
        batch = make_batch(method.needs(), videos=4, first=10 * step + 4 * rank)
        optimiser.zero_grad()
        loss = forward(batch, progress(step))["loss"]
        loss.backward()
        optimiser.step()
        method.after_step(progress(step))
        losses.append(loss.item())
    return {"losses": losses, "state": method.state_dict()}


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    torch.save({form: work(name, changes, rank) for form, (name, changes) in FORMS.items()}, folder / f"{rank}.pt")
    dist.destroy_process_group()
