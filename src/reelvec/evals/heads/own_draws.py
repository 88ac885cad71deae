"""Draws of networks that know only torch's global generators: dropout, drop path, the first weights of a layer."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reelvec.core.draws import name_key


@contextmanager
def drawing_by(seed: int, number: int, name: str, device: torch.device) -> Iterator[None]:
    """Let torch's global generators draw by (seed, number, name) inside, and stand afterwards where they stood before."""
    key = name_key(seed, f"{name}/{number}") & (2**63 - 1)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # torch.manual_seed would seed every device, those too that are not put back
        torch.default_generator.manual_seed(key)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(key)
        yield
