"""A queue of keys of past batches, as negatives (MoCo, He et al. 2020, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelvec.core.collectives import gather
from reelvec.core.shapes import Float, Int


class Queue(nn.Module):
    """The last `size` keys of all processes, in buffers: saved with the method, equal on every process.

    It starts with random unit vectors, which later keys replace, oldest first.
    """

    keys: Float[Tensor, "k d"]
    position: Int[Tensor, ""]

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim)))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    def negatives(self) -> Float[Tensor, "k d"]:
        """Return a copy, so that a push before the backward pass cannot change what a loss has read."""
        return self.keys.clone()

    @torch.no_grad()
    def push(self, keys: Float[Tensor, "b d"]) -> None:
        """Put in the keys of all processes, in place of the oldest; of more keys than fit, the last stay."""
        keys = gather(keys.to(self.keys.dtype))
        size = len(self.keys)
        # index arithmetic on the device: reading the position back would make the processor wait for the GPU
        places = (self.position + torch.arange(len(keys), device=keys.device)) % size
        self.keys.index_copy_(0, places[-size:], keys[-size:])
        self.position.copy_((self.position + len(keys)) % size)
