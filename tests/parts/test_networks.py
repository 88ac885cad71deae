"""Heads, slow networks and schedules."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from reelvec.parts import cosine, mlp, momentum_schedule, move, slow_copy, warmup_cosine


def test_mlp_without_norm():
    head = mlp([4, 8, 8, 2], batch_norm=False)
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert all(layer.bias is not None for layer in head if isinstance(layer, nn.Linear))
    assert head(torch.zeros(3, 4)).shape == (3, 2)


def test_a_bias_stands_only_where_no_norm_follows():
    head = mlp([4, 8, 2], batch_norm=True)
    assert [type(layer) for layer in head] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert head[0].bias is None
    assert head[3].bias is not None
    last = mlp([4, 8, 2], batch_norm=True, last_batch_norm=True)
    assert isinstance(last[-1], nn.BatchNorm1d)
    assert last[3].bias is None


def test_a_slow_copy_is_apart_and_out_of_training():
    fast = mlp([3, 4, 2], batch_norm=True)
    slow = slow_copy(fast)
    assert not any(p.requires_grad for p in slow.parameters())
    assert all(p.requires_grad for p in fast.parameters())
    with torch.no_grad():
        fast[0].weight.add_(1)
    assert not torch.equal(slow[0].weight, fast[0].weight)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.99, 1.0])
def test_move(momentum):
    fast, slow = nn.Linear(3, 2), slow_copy(nn.Linear(3, 2))
    expected = momentum * slow.weight + (1 - momentum) * fast.weight
    before = slow.weight.clone()
    move(slow, fast, momentum)
    torch.testing.assert_close(slow.weight, expected.detach())
    if momentum == 0:
        assert torch.equal(slow.weight, fast.weight)
    if momentum == 1:
        assert torch.equal(slow.weight, before)


def test_move_leaves_batch_statistics():
    fast, slow = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    fast.running_mean.fill_(5.0)
    move(slow, fast, 0.0)
    assert torch.equal(slow.running_mean, torch.zeros(2))


def test_cosine_has_its_ends_and_its_middle():
    assert [cosine(s, 2.0, 1.0) for s in (0.0, 0.5, 1.0, 7.0)] == pytest.approx([2.0, 1.5, 1.0, 1.0])


def test_warmup_cosine():
    values = [warmup_cosine(step, 100, 1.0, warmup_steps=10, start=0.1) for step in range(100)]
    assert values[0] == pytest.approx(0.1)
    assert values[5] == pytest.approx(0.55)
    assert values[10] == pytest.approx(1.0)
    assert values[55] == pytest.approx(0.5)
    assert all(a > b for a, b in pairwise(values[10:]))
    assert warmup_cosine(0, 100, 1.0) == pytest.approx(1.0)


def test_momentum_schedule_is_the_papers():
    for share in (0.0, 0.25, 0.8, 1.0):
        expected = 1 - (1 - 0.994) * (1 + math.cos(math.pi * share)) / 2
        assert momentum_schedule(share, 0.994) == pytest.approx(expected)
