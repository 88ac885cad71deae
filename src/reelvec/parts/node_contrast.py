"""Node contrast: each node of a graph finds itself in another view of the graph (as in TCGL, arXiv 2112.03587)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.shapes import Float
from reelvec.parts.full_precision import full_precision


@full_precision
def node_contrast(first: Float[Tensor, "b n d"], second: Float[Tensor, "b n d"], temperature: float) -> Float[Tensor, ""]:
    """Compute the mean over graphs and nodes of (l(u_i) + l(v_i)) / 2, cosines of u = `first` and v = `second`,

        l(u_i) = -log e^(u_i.v_i/t) / (sum_j e^(u_i.v_j/t) + sum_{j != i} e^(u_i.u_j/t)),

    where j runs over the nodes of the same graph: other videos are no negatives.
    """
    u, v = F.normalize(first, dim=2), F.normalize(second, dim=2)
    return (_one_way(u, v, temperature) + _one_way(v, u, temperature)) / 2


def _one_way(u: Float[Tensor, "b n d"], v: Float[Tensor, "b n d"], temperature: float) -> Float[Tensor, ""]:
    itself = torch.eye(u.shape[1], dtype=torch.bool, device=u.device)
    across = u @ v.mT / temperature
    within = (u @ u.mT / temperature).masked_fill(itself, -torch.inf)
    log_share = across.diagonal(dim1=1, dim2=2) - torch.cat([across, within], 2).logsumexp(2)
    return -log_share.mean()
