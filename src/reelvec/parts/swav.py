"""SwAV: codes by optimal transport, predicted across views (Caron et al. 2020, sections 3.1 and 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.collectives import total
from reelvec.core.shapes import Float
from reelvec.parts.full_precision import full_precision


@torch.no_grad()
@full_precision
def sinkhorn(scores: Float[Tensor, "b k"], epsilon: float, iterations: int) -> Float[Tensor, "b k"]:
    """Turn scores (cosines of features and prototypes) into codes: rows of sum 1 that use all prototypes about equally.

    Rows of all processes form one transport problem. In float64, since e^(score/epsilon) spans e^40 at epsilon 0.05;
    one is subtracted from the cosines, which cancels out and keeps every power below 1.
    """
    plan = ((scores.double() - 1) / epsilon).exp()
    rows = total(torch.tensor(float(len(plan)), device=plan.device, dtype=plan.dtype))
    plan = plan / total(plan.sum())
    for _ in range(iterations):
        plan = plan / total(plan.sum(0)) / plan.shape[1]  # each prototype gets 1/k of all
        plan = plan / plan.sum(1, keepdim=True) / rows  # each clip gives 1/b of all
    return (plan * rows).to(scores.dtype)


@full_precision
def swapped_prediction(codes: Float[Tensor, "b k"], scores: Float[Tensor, "b k"], temperature: float) -> Float[Tensor, ""]:
    """Compute the mean of -sum_k q_k log softmax(s/t)_k: one view's code predicted from another view's scores."""
    return -(codes * F.log_softmax(scores / temperature, dim=1)).sum(1).mean()


@full_precision
def prototype_scores(z: Float[Tensor, "b d"], prototypes: Float[Tensor, "k d"]) -> Float[Tensor, "b k"]:
    """Compute the cosines of features and prototypes, both of unit length; bfloat16 would blur the codes."""
    return z @ prototypes.T
