"""Optimisers by name; LARS, which torch lacks."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from reelvec.engine.config import OptimiserConfig


class Lars(Optimizer):
    """SGD with momentum whose step is bounded, layer by layer, by the layer's own size (You, Gitman & Ginsburg 2017).

    The local rate is trust * |w| / (|g| + weight_decay * |w|), used in clip mode as in the rho study: it never exceeds the
    learning rate. Groups with `adapt=False` (biases, norms) take plain SGD steps.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float, weight_decay: float, trust: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "adapt": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every weight once."""
        loss = closure() if closure else None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                gradient = weight.grad + group["weight_decay"] * weight
                if group["adapt"]:
                    weight_norm, gradient_norm = weight.norm(), weight.grad.norm()
                    local = group["trust"] * weight_norm / (gradient_norm + group["weight_decay"] * weight_norm + 1e-8)
                    bounded = (local / group["lr"]).clamp(max=1.0) if group["lr"] > 0 else torch.ones_like(local)
                    # a weight or gradient of exactly zero has no direction to scale by
                    gradient = gradient * torch.where((weight_norm > 0) & (gradient_norm > 0), bounded, torch.ones_like(local))
                state = self.state[weight]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(weight)
                state["velocity"].mul_(group["momentum"]).add_(gradient)
                weight.sub_(group["lr"] * state["velocity"])
        return loss


def build_optimiser(module: nn.Module, config: OptimiserConfig) -> Optimizer:
    """Make the optimiser of all trainable weights of a module."""
    weights = [p for p in module.parameters() if p.requires_grad]
    plain = [p for p in weights if config.exclude_1d and p.ndim <= 1]
    decayed = [p for p in weights if not (config.exclude_1d and p.ndim <= 1)]
    groups: list[dict[str, Any]] = [{"params": decayed}]
    if plain:
        groups.append({"params": plain, "weight_decay": 0.0})
    if config.name == "sgd":
        return SGD(
            groups,
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.nesterov,
            fused=True,
        )
    if config.name == "adamw":
        return AdamW(groups, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=True)
    if plain:
        groups[1]["adapt"] = False
    return Lars(groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, trust=config.trust)


def set_learning_rate(optimiser: Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = lr
