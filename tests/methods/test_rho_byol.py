import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import AdamW

from reelvec.methods._rho_clips import rho_views
from reelvec.parts.health import feature_std


@pytest.mark.parametrize("clips", [1, 2, 3])
def test_the_loss_is_the_papers_and_leaves_out_a_clips_own_key(small, clips):
    method = small.method("rho_byol", clips=clips)
    batch = small.batch(method.needs())
    views = rho_views(method.config, batch, small.at(0))
    with torch.no_grad():
        predictions = [F.normalize(method.predictor(method.head(method.visual.features(v))), dim=1) for v in views]
        keys = [F.normalize(method.slow_head(method.slow_visual.features(v)), dim=1) for v in views]
    total = 0.0
    for i, prediction in enumerate(predictions):
        of_query = [(prediction - key).square().sum(1).mean() for j, key in enumerate(keys) if j != i]
        total += sum(of_query) / len(of_query)
    torch.testing.assert_close(method.step(batch, small.at(0))["loss"], total)


def test_heads_are_two_layers_with_norm(small):
    method = small.method("rho_byol")
    for head in (method.head, method.predictor):
        assert [type(layer) for layer in head] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]


def spread_after_training(small, **changes):
    method = small.method("rho_byol", dim=16, hidden=32, **changes)
    small.train(method, AdamW([p for p in method.parameters() if p.requires_grad], lr=2e-3), range(30), videos=8)
    with torch.no_grad():
        return feature_std(method.embeddings(small.batch(method.needs(), videos=24), small.at(0))[:, 0])


def test_it_collapses_without_predictor_and_momentum_and_not_with_them(small):
    collapsed = spread_after_training(small, predictor=False, momentum=0.0, momentum_rises=False)
    whole = spread_after_training(small)
    assert collapsed < 0.5 * whole
