"""Signs of health of a representation that need no labels. All take features of a probe batch."""

import math

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


@full_precision
def top_share(z: Float[Tensor, "n d"]) -> float:
    """Share of the variance in the direction that has most of it: 1/d spread out, 1 on a line."""
    variance = torch.linalg.svdvals(z.double() - z.double().mean(0)).square()
    return float(variance[0] / variance.sum().clamp_min(1e-300))


@full_precision
def spectrum_decay(z: Float[Tensor, "n d"]) -> float:
    """Exponent alpha of the eigenvalues of the covariance, lambda_i ~ i^-alpha (alpha-ReQ, Agrawal et al. 2022).

    A straight line through log eigenvalue over log rank, by least squares with weight 1 / i, as each octave of ranks then
    counts alike. Eigenvalues below a millionth of the largest are left out. The paper finds about 1 best.
    """
    variance = torch.linalg.svdvals(z.double() - z.double().mean(0)).square()
    kept = variance[variance > 1e-6 * variance[0].clamp_min(1e-300)]
    if len(kept) < 2:
        return math.inf
    rank = torch.arange(1, len(kept) + 1, dtype=torch.float64)
    weight = 1 / rank / (1 / rank).sum()
    x, y = rank.log(), kept.cpu().log()
    x, y = x - (weight * x).sum(), y - (weight * y).sum()
    return float(-(weight * x * y).sum() / (weight * x * x).sum())


@full_precision
def dead_dimensions(z: Float[Tensor, "n d"], below: float = 1e-4) -> int:
    """Number of dimensions that hardly change from row to row: standard deviation of unit-length features under `below`."""
    return int((F.normalize(z).std(0) < below).sum())


@full_precision
def between_share(parts: Float[Tensor, "n k d"]) -> float:
    """Share of the variance that lies between the n videos, of k parts of each: 1 where all parts of a video look the same.

    Near 1 the features do not know time; parts of unrelated videos give about 1 / k.
    """
    z = parts.double()
    total = (z - z.mean((0, 1))).square().sum()
    between = (z.mean(1) - z.mean((0, 1))).square().sum() * z.shape[1]
    return float(between / total.clamp_min(1e-300))


@full_precision
def cka(a: Float[Tensor, "n d"], b: Float[Tensor, "n e"]) -> float:
    """Linear centred kernel alignment |B'A|^2 / (|A'A| |B'B|) (Kornblith et al. 2019): 1 for equal up to a rotation.

    With few rows against dimensions it is high for anything: compare numbers of equal n.
    """
    a, b = a.double() - a.double().mean(0), b.double() - b.double().mean(0)
    # of n x n products where features are longer than the batch
    if len(a) < min(a.shape[1], b.shape[1]):
        left, right = a @ a.T, b @ b.T
        return float((left * right).sum() / (left.norm() * right.norm()).clamp_min(1e-300))
    return float((b.T @ a).square().sum() / ((a.T @ a).norm() * (b.T @ b).norm()).clamp_min(1e-300))
