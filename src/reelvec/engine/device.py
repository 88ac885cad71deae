"""On what to compute, and with how much of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reelvec.core import ReelvecError
from reelvec.core.machine import usable_cores


def choose_device(name: str | None = None) -> torch.device:
    """Turn "auto" (or None), "cpu", "cuda" or "cuda:1" into a device of this process; ReelvecError if it is not there.

    Auto is the GPU if there is one. Of several processes on one machine, "cuda" gives each a GPU of its own.
    """
    gpus = torch.cuda.device_count()
    if name in (None, "auto"):
        name = "cuda" if gpus else "cpu"
    if name == "cuda":
        name = f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}"
    try:
        device = torch.device(str(name))
        known = device.type in ("cpu", "cuda")
    except RuntimeError:
        known = False
    if not known or (device.type == "cuda" and (device.index or 0) >= gpus):
        raise ReelvecError(
            f"use device={name}", f"cpu and {gpus} CUDA devices", "use device=auto, cpu, cuda or cuda:1, or fewer --devices"
        )
    return device


@contextmanager
def leaving_cores_for(workers: int) -> Iterator[None]:
    """Let torch compute with the cores that decoding processes leave to it, and as before afterwards.

    Never with more threads than it had, which is what OMP_NUM_THREADS says where a user set it.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, max(1, usable_cores() - workers)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
