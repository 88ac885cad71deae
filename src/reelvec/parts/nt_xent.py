"""NT-Xent: the other clips of the batch are the negatives (SimCLR, Chen et al. 2020, equation 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.collectives import gather_with_gradient, rank
from reelvec.core.shapes import Float
from reelvec.parts.full_precision import full_precision


@full_precision
def nt_xent_one_way(first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], temperature: float) -> Float[Tensor, ""]:
    """Compute the mean over this process's rows of `first` of

        -log e^(a_i.b_i/t) / (sum_j e^(a_i.b_j/t) + sum_{j != i} e^(a_i.a_j/t)),

    where j runs over the rows of all processes, gathered with gradient. Inputs have unit length; every process holds
    equally many rows, so that the mean of the processes' losses is the loss of the whole batch.
    """
    all_first, all_second = gather_with_gradient(first), gather_with_gradient(second)
    own = torch.arange(len(first), device=first.device) + rank() * len(first)  # where these rows stand among all
    itself = F.one_hot(own, len(all_first)).bool()
    across = first @ all_second.T / temperature
    within = (first @ all_first.T / temperature).masked_fill(itself, -torch.inf)
    return F.cross_entropy(torch.cat([across, within], 1), own)


def nt_xent(first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], temperature: float) -> Float[Tensor, ""]:
    """Compute NT-Xent over the 2b rows of two views: the mean of its two directions."""
    return (nt_xent_one_way(first, second, temperature) + nt_xent_one_way(second, first, temperature)) / 2
