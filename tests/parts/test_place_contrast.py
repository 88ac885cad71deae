"""The contrast of places against loops written from the formula, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from reelvec.parts.place_contrast import place_contrast


def unit_vectors(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def slow(query, keys, temperature):
    losses = []
    for i, places in enumerate(query):
        for s, q in enumerate(places):
            below = 0.0
            for maps in keys:
                for places_of_map in maps:
                    below += sum(math.exp(float(q @ k) / temperature) for k in places_of_map)
            losses.append(-math.log(math.exp(float(q @ keys[i, 0, s]) / temperature) / below))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("videos", "maps", "places"), [(3, 4, 5), (4, 1, 1), (1, 2, 3)])
def test_it_is_the_mean_of_the_softmax_over_places_times_and_videos(videos, maps, places):
    query, keys = unit_vectors(videos, places, 6, seed=1), unit_vectors(videos, maps, places, 6, seed=2)
    for temperature in (0.1, 0.7):
        assert place_contrast(query, keys, temperature).item() == pytest.approx(slow(query, keys, temperature))


def test_the_first_map_is_the_right_one_and_every_place_its_own():
    keys = F.one_hot(torch.arange(12), 12).double().reshape(2, 2, 3, 12)
    assert place_contrast(keys[:, 0], keys, 0.05).item() == pytest.approx(0, abs=1e-6)
    assert place_contrast(keys[:, 1], keys, 0.05).item() > 10
    assert place_contrast(keys[:, 0].flip(0), keys, 0.05).item() > 10
    assert place_contrast(keys[:, 0].roll(1, 1), keys, 0.05).item() > 10


def test_keys_get_gradients_too():
    query, keys = (unit_vectors(*shape, 4, seed=3).requires_grad_() for shape in ((2, 3), (2, 2, 3)))
    place_contrast(query, keys, 0.1).backward()
    assert query.grad.abs().sum(-1).min() > 0
    assert keys.grad.abs().sum(-1).min() > 0  # of other times as well


def test_half_precision_is_widened():
    query, keys = unit_vectors(4, 3, 8, seed=4), unit_vectors(4, 2, 3, 8, seed=5)
    half = place_contrast(query.bfloat16(), keys.bfloat16(), 0.1)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(place_contrast(query, keys, 0.1).item(), rel=0.02)
