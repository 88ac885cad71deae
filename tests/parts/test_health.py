"""Values known beforehand (eval_protocols, self-check 6) and what collapse looks like."""

import math

import pytest
import torch

from reelvec.parts.health import (
    alignment,
    between_share,
    cka,
    dead_dimensions,
    feature_std,
    mean_cosine,
    rank_me,
    spectrum_decay,
    top_share,
    uniformity,
)


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


def test_decay_of_a_made_spectrum_is_found():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(400, 64, generator=generator, dtype=torch.float64))[0]
    axes = torch.linalg.qr(axes - axes.mean(0))[0]
    for alpha in (0.5, 1.0, 2.0):
        z = axes * torch.arange(1, 65, dtype=torch.float64) ** (-alpha / 2)
        assert spectrum_decay(z) == pytest.approx(alpha, abs=0.01)
    assert spectrum_decay(torch.ones(5, 3)) == math.inf


def test_top_share_and_dead_dimensions():
    z = torch.randn(500, 10, generator=torch.Generator().manual_seed(0))
    assert top_share(z) == pytest.approx(0.1, abs=0.05)
    assert top_share(torch.arange(6.0)[:, None] * torch.tensor([1.0, 2.0])) == pytest.approx(1.0)
    z[:, 3:6] = 0
    assert dead_dimensions(z) == 3


def test_share_between_videos():
    generator = torch.Generator().manual_seed(0)
    videos = torch.randn(200, 1, 8, generator=generator)
    assert between_share(videos.expand(-1, 4, -1)) == pytest.approx(1.0)
    assert between_share(torch.randn(2000, 4, 8, generator=generator)) == pytest.approx(0.25, abs=0.02)
    assert between_share(torch.randn(1, 4, 8, generator=generator)) == pytest.approx(0.0)


def test_cka_knows_rotations_and_equals_the_kernel_form():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(50, 6, generator=generator), torch.randn(50, 9, generator=generator)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator))[0]
    assert cka(a, 3 * a @ turn + 1) == pytest.approx(1.0)
    centre = torch.eye(50, dtype=torch.float64) - 1 / 50
    k, m = (centre @ x.double() @ x.double().T @ centre for x in (a, b))
    slow = float((k * m).sum() / (k.norm() * m.norm()))
    assert cka(a, b) == pytest.approx(slow)
    wide = torch.randn(5, 40, generator=generator), torch.randn(5, 30, generator=generator)
    tall = [torch.cat([x, torch.zeros(5, 100)], 1) for x in wide]
    assert cka(*wide) == pytest.approx(cka(*tall))
