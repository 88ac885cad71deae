import torch
from torch import nn

from reelvec.engine.config import OptimiserConfig
from reelvec.engine.optimisers import Lars, build_optimiser, set_learning_rate


def test_lars_takes_the_step_of_its_formula():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 3, dtype=torch.float64))
    before, lr, decay, trust, momentum = weight.detach().clone(), 0.5, 1e-2, 0.02, 0.9
    optimiser = Lars([weight], lr=lr, momentum=momentum, weight_decay=decay, trust=trust)
    velocity, expected = torch.zeros_like(before), before.clone()
    for gradient in torch.randn(3, 4, 3, dtype=torch.float64):
        weight.grad = gradient.clone()
        optimiser.step()
        size, slope = expected.norm(), gradient.norm()
        ratio = min(trust * size / (slope + decay * size + 1e-8) / lr, torch.tensor(1.0))
        velocity = momentum * velocity + ratio * (gradient + decay * expected)
        expected = expected - lr * velocity
    assert torch.allclose(weight, expected)


def test_biases_and_norms_are_left_out_of_decay_and_trust():
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    for name in ("sgd", "adamw", "lars"):
        optimiser = build_optimiser(module, OptimiserConfig(name=name, weight_decay=0.1))
        decayed, plain = optimiser.param_groups
        assert [p.ndim for p in decayed["params"]] == [2]
        assert decayed["weight_decay"] == 0.1
        assert {p.ndim for p in plain["params"]} == {1}
        assert plain["weight_decay"] == 0
        if name == "lars":
            assert decayed["adapt"]
            assert not plain["adapt"]


def test_frozen_weights_are_not_handed_to_the_optimiser():
    module = nn.Linear(3, 3)
    module.bias.requires_grad_(False)
    optimiser = build_optimiser(module, OptimiserConfig())
    assert sum(len(g["params"]) for g in optimiser.param_groups) == 1
    set_learning_rate(optimiser, 0.125)
    assert optimiser.param_groups[0]["lr"] == 0.125
