"""Values known beforehand (eval_protocols, self-check 6) and what collapse looks like."""

import math

import pytest
import torch

from reelvec.parts.health import alignment, feature_std, mean_cosine, rank_me, uniformity


def normal(rows, dim):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(0))


def test_rank_of_normal_features_is_their_dimension():
    assert rank_me(normal(20000, 16)) == pytest.approx(16, rel=0.01)


def test_rank_of_a_constant_is_one():
    assert rank_me(torch.ones(50, 16)) == pytest.approx(1, abs=1e-3)
    assert rank_me(torch.zeros(50, 16)) == pytest.approx(1, abs=1e-3)


def test_rank_of_a_plane_is_two():
    directions = torch.linalg.qr(normal(16, 16)).Q[:2]
    assert rank_me(normal(5000, 2) @ directions) == pytest.approx(2, rel=0.01)


def test_uniformity_of_a_circle():
    angles = torch.arange(1000) / 1000 * 2 * math.pi
    circle = torch.stack([angles.cos(), angles.sin()], 1)
    exact = math.log(math.exp(-4) * float(torch.special.i0(torch.tensor(4.0))))  # log(e^-4 I_0(4)) = -1.575
    assert exact == pytest.approx(-1.575, abs=5e-4)
    assert uniformity(circle) == pytest.approx(exact, abs=0.01)  # pairs of one point with itself are left out


def test_spread_features_are_healthy():
    z = normal(2000, 64)
    assert feature_std(z) == pytest.approx(1, abs=0.02)
    assert mean_cosine(z) == pytest.approx(0, abs=0.01)
    assert uniformity(z) == pytest.approx(-4, abs=0.2)


def test_collapsed_features_are_told():
    z = torch.ones(100, 64) + 1e-4 * normal(100, 64)
    assert feature_std(z) < 0.01
    assert mean_cosine(z) > 0.999
    assert uniformity(z) == pytest.approx(0, abs=1e-3)


def test_mean_cosine_leaves_out_the_diagonal():
    assert mean_cosine(torch.tensor([[1.0, 0.0], [0.0, 2.0]])) == pytest.approx(0)
    assert mean_cosine(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])) == pytest.approx(-1)


def test_alignment():
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert alignment(a, 3 * a) == pytest.approx(0)
    assert alignment(a, -a) == pytest.approx(4)
