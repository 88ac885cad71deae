"""Every loss against loops written from the paper's formula, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from reelvec.parts import byol, info_nce, info_nce_of_each, nt_xent, nt_xent_one_way, swapped_prediction
from reelvec.parts.full_precision import full_precision

TEMPERATURE = 0.1


def unit_rows(rows, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, dim, generator=generator, dtype=torch.float64))


def dot(a, b):
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


def power(a, b):
    return math.exp(dot(a, b) / TEMPERATURE)


def slow_nt_xent(anchors, others):
    losses = []
    for i, anchor in enumerate(anchors):
        below = sum(power(anchor, other) for other in others)
        below += sum(power(anchor, same) for j, same in enumerate(anchors) if j != i)
        losses.append(-math.log(power(anchor, others[i]) / below))
    return sum(losses) / len(losses)


def test_info_nce_equals_loops():
    query, positive, negatives = unit_rows(5, 7, 0), unit_rows(5, 7, 1), unit_rows(11, 7, 2)
    losses = []
    for q, k in zip(query, positive, strict=True):
        losses.append(-math.log(power(q, k) / (power(q, k) + sum(power(q, n) for n in negatives))))
    each = info_nce_of_each(query, positive, negatives, TEMPERATURE)
    torch.testing.assert_close(each, torch.tensor(losses, dtype=torch.float64))
    torch.testing.assert_close(info_nce(query, positive, negatives, TEMPERATURE), each.mean())


def test_nt_xent_equals_loops():
    first, second = unit_rows(6, 5, 0), unit_rows(6, 5, 1)
    one_way = nt_xent_one_way(first, second, TEMPERATURE).item()
    assert one_way == pytest.approx(slow_nt_xent(first, second))
    both = (slow_nt_xent(first, second) + slow_nt_xent(second, first)) / 2
    assert nt_xent(first, second, TEMPERATURE).item() == pytest.approx(both)


def test_byol_is_the_squared_distance():
    prediction, key = unit_rows(6, 5, 0), unit_rows(6, 5, 1)
    distances = [dot(p - k, p - k) for p, k in zip(prediction, key, strict=True)]
    assert byol(prediction, key).item() == pytest.approx(sum(distances) / 6)


def test_swapped_prediction_equals_loops():
    codes, scores = unit_rows(4, 6, 0).softmax(1), unit_rows(4, 6, 1)
    total = 0.0
    for code, score in zip(codes.tolist(), scores.tolist(), strict=True):
        below = sum(math.exp(s / TEMPERATURE) for s in score)
        total -= sum(q * math.log(math.exp(s / TEMPERATURE) / below) for q, s in zip(code, score, strict=True))
    assert swapped_prediction(codes, scores, TEMPERATURE).item() == pytest.approx(total / 4)


@pytest.mark.parametrize("loss", [lambda a, b: nt_xent(a, b, 0.1), byol, lambda a, b: info_nce(a, b, b.flip(0), 0.1)])
def test_gradients_are_those_of_finite_differences(loss):
    first, second = unit_rows(3, 4, 0).requires_grad_(), unit_rows(3, 4, 1).requires_grad_()
    assert torch.autograd.gradcheck(loss, (first, second))


def test_losses_stay_in_float32_under_autocast():
    query, positive, negatives = (unit_rows(8, 16, s).float() for s in range(3))
    exact = info_nce(query, positive, negatives, TEMPERATURE)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(info_nce(query, positive, negatives, TEMPERATURE), exact)
        assert (query @ negatives.T).dtype == torch.bfloat16  # autocast is on outside


def test_full_precision_widens_halves_and_leaves_float64():
    seen = full_precision(lambda *args, **kwargs: [a.dtype for a in (*args, *kwargs.values())])
    halves = torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.float16)
    assert seen(*halves, last=torch.zeros(1, dtype=torch.float64)) == [torch.float32, torch.float32, torch.float64]
