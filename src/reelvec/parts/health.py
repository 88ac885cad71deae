"""Signs of health of a representation that need no labels. All take features of a probe batch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.shapes import Float
from reelvec.parts.full_precision import full_precision


@full_precision
def rank_me(z: Float[Tensor, "n d"]) -> float:
    """Effective rank e^(-sum p log p) of the normalised singular values (RankMe, Garrido et al. 2023, equation 1).

    Between 1 and min(n, d). Compare runs of one method on one data set only.
    """
    singular = torch.linalg.svdvals(z.double())
    p = singular / singular.sum().clamp_min(1e-300) + 1e-7
    return float((-(p * p.log()).sum()).exp())


@full_precision
def feature_std(z: Float[Tensor, "n d"]) -> float:
    """Mean per-dimension standard deviation of unit-length features, times sqrt(d): about 1 healthy, 0 collapsed."""
    return float(F.normalize(z).std(0).mean() * z.shape[1] ** 0.5)


@full_precision
def mean_cosine(z: Float[Tensor, "n d"]) -> float:
    """Mean cosine of two different rows: about 0 where features spread, near 1 where they collapsed."""
    unit = F.normalize(z.double())
    n = len(z)
    return float((unit.sum(0).square().sum() - unit.square().sum()) / (n * (n - 1)))


@full_precision
def alignment(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> float:
    """Mean squared distance of positive pairs on the unit sphere, 0 to 4 (Wang & Isola 2020, alpha = 2)."""
    return float((F.normalize(a) - F.normalize(b)).square().sum(1).mean())


@full_precision
def uniformity(z: Float[Tensor, "n d"]) -> float:
    """Log of the mean of e^(-2 |x - y|^2) over pairs on the unit sphere (Wang & Isola 2020): 0 one point, -4 spread."""
    distances = torch.pdist(F.normalize(z.double()))
    return float((-2 * distances.square()).exp().mean().log())
