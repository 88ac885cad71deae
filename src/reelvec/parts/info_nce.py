"""InfoNCE with a queue of negatives (van den Oord et al. 2018; as in MoCo, He et al. 2020, equation 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.shapes import Float
from reelvec.parts.full_precision import full_precision


@full_precision
def info_nce_of_each(
    query: Float[Tensor, "b d"], positive: Float[Tensor, "b d"], negatives: Float[Tensor, "k d"], temperature: float
) -> Float[Tensor, "b"]:
    """Compute -log e^(q.k/t) / (e^(q.k/t) + sum_n e^(q.n/t)) for each row; all inputs have unit length.

    `negatives` must be a copy of what a queue holds: pushing in place before the backward pass would break it.
    """
    of_positive = (query * positive).sum(1, keepdim=True)  # b 1
    of_negatives = query @ negatives.T  # b k
    logits = torch.cat([of_positive, of_negatives], 1) / temperature
    return -F.log_softmax(logits, dim=1)[:, 0]


def info_nce(
    query: Float[Tensor, "b d"], positive: Float[Tensor, "b d"], negatives: Float[Tensor, "k d"], temperature: float
) -> Float[Tensor, ""]:
    """Compute the mean of `info_nce_of_each` over the batch."""
    return info_nce_of_each(query, positive, negatives, temperature).mean()
