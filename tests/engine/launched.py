"""What the processes of test_distributed.py do; a new process finds these functions by name."""

import os
import warnings
from copy import deepcopy

import torch
from torch import nn

from reelvec.core import ReelvecError, collectives
from reelvec.engine.distributed import exchange_gradients, join_group
from reelvec.engine.stop_signals import StopSignals

CPU = torch.device("cpu")


def meet(tell):
    """Join, tell who is there, and sum what everybody holds."""
    join_group("cpu")
    rank = collectives.rank()
    tell({"from": rank, "threads": torch.get_num_threads()})
    return {"from": rank, "total": collectives.total(torch.tensor(rank + 1.0)).item()}


def train_a_little(tell):
    """Two processes with batches of their own, each beside the same network alone; a warning of what is to go is an error."""
    join_group("cpu")
    warnings.simplefilter("error", FutureWarning)
    rank = collectives.rank()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    alone = deepcopy(network)
    forward = exchange_gradients(network, CPU)
    batch = torch.randn(4, 3, generator=torch.Generator().manual_seed(rank))
    for _ in range(2):
        for either in (forward, alone):
            either(batch).square().sum().backward()

    def of_all(tensor):
        return collectives.gather(tensor[None]).tolist()

    return {
        "gradients": of_all(network[0].weight.grad),
        "gradients_alone": of_all(alone[0].weight.grad),
        "means": of_all(network[1].running_mean),
        "means_alone": of_all(alone[1].running_mean),
    }


def refuse(rank_that_refuses, tell):
    """One process has something to say to a person; the other waits for it and loses its partner."""
    join_group("cpu")
    if collectives.rank() == rank_that_refuses:
        raise ReelvecError("train", f"a disk that is full on process {rank_that_refuses}", "free some space")
    collectives.total(torch.ones(1))


def fail(tell):
    join_group("cpu")
    if collectives.rank() == 1:
        raise KeyError("nothing of that name")
    collectives.total(torch.ones(1))


def die(code, tell):
    """One process goes without a word, as one that the system kills for its memory."""
    join_group("cpu")
    if collectives.rank() == 1:
        if code >= 0:
            os._exit(code)
        os.kill(os.getpid(), -code)
    collectives.total(torch.ones(1))


def work_until_stopped(folder, tell):
    """Take steps until asked to stop, then keep what was done, which takes a moment."""
    join_group("cpu")
    with StopSignals() as stop:
        collectives.total(torch.zeros(1))  # until both heed signals: one that does not yet would die of it
        tell({"pid": os.getpid()})
        while not collectives.total(torch.tensor(float(stop.asked))) > 0:
            pass
        (folder / f"kept-by-{collectives.rank()}").touch()
        raise KeyboardInterrupt
