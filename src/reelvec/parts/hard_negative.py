"""InfoNCE with negatives of a memory and one hard negative of each query's own (DSM, AAAI 2021; VTDL, arXiv 2008.02129)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.shapes import Float, Int
from reelvec.parts.full_precision import full_precision


@full_precision
def info_nce_hard(
    query: Float[Tensor, "b d"],
    positive: Float[Tensor, "b d"],
    negatives: Float[Tensor, "k d"],
    temperature: float,
    hard: Float[Tensor, "b d"] | None = None,
    own: Int[Tensor, "b"] | None = None,
) -> Float[Tensor, ""]:
    """Compute the mean over the batch of -log e^(q.p/t) / (e^(q.p/t) + sum_k e^(q.u_k/t) + e^(q.n/t)); unit length everywhere.

    `hard` is n, a negative of its own for each row and no other; without it the last term falls away (MoCo). `own` names for
    each row one of the memory's negatives that is left out because it stems from the row's own video.
    """
    of_negatives = query @ negatives.T  # b k
    if own is not None:
        of_negatives = of_negatives.scatter(1, own[:, None], -torch.inf)
    logits = [(query * positive).sum(1, keepdim=True), of_negatives]
    if hard is not None:
        logits.append((query * hard).sum(1, keepdim=True))
    return -F.log_softmax(torch.cat(logits, 1) / temperature, dim=1)[:, 0].mean()
