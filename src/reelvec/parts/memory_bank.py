"""A bank of the last key of each video, as negatives (instance discrimination, Wu et al. 2018, section 3.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelvec.core.collectives import gather
from reelvec.core.shapes import Float, Int


class MemoryBank(nn.Module):
    """The last key of the video of each place, in buffers: saved with the method, equal on every process.

    A video's place is its row in the index modulo `size`. A bank as large as the index holds every video once; in a smaller
    one several videos share a place and the one seen last holds it. It starts with random unit vectors.
    """

    keys: Float[Tensor, "k d"]

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim)))

    def places(self, rows: Int[Tensor, "b"]) -> Int[Tensor, "b"]:
        """Return the place of each video: what a loss must not take as the video's negative."""
        return rows % len(self.keys)

    def negatives(self) -> Float[Tensor, "k d"]:
        """Return a copy, so that writing before the backward pass cannot change what a loss has read."""
        return self.keys.clone()

    @torch.no_grad()
    def write(self, rows: Int[Tensor, "b"], keys: Float[Tensor, "b d"]) -> None:
        """Put in the keys of all processes; of several keys for a place the last one stays."""
        places, keys = self.places(gather(rows)), gather(keys.to(self.keys.dtype))
        # where a place stands twice, index_copy_ may write either key on a GPU: let both write the last
        number = torch.arange(len(places), device=places.device)
        last = torch.zeros_like(self.keys[:, 0], dtype=torch.int64).scatter_reduce(0, places, number, "amax")
        self.keys.index_copy_(0, places, keys[last[places]])
