"""Optimisers by name; LARS, which torch lacks."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
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
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            for weight in weights:
                if "velocity" not in self.state[weight]:
                    self.state[weight]["velocity"] = torch.zeros_like(weight)
            velocities = [self.state[weight]["velocity"] for weight in weights]
            steps = torch._foreach_add([weight.grad for weight in weights], weights, alpha=group["weight_decay"])
            if group["adapt"]:
                torch._foreach_mul_(steps, self._bounds(weights, group))
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, steps)
            torch._foreach_add_(weights, velocities, alpha=-group["lr"])
        return loss

    @staticmethod
    def _bounds(weights: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """Return by what each layer's step is scaled, at most 1; nothing waits for the device."""
        of_weights = torch.stack(torch._foreach_norm(weights))
        of_gradients = torch.stack(torch._foreach_norm([weight.grad for weight in weights if weight.grad is not None]))
        local = group["trust"] * of_weights / (of_gradients + group["weight_decay"] * of_weights + 1e-8)
        bounded = (local / group["lr"]).clamp(max=1.0) if group["lr"] > 0 else torch.ones_like(local)
        # a weight or gradient of exactly zero has no direction to scale by
        has_direction = (of_weights > 0) & (of_gradients > 0)
        return list(torch.where(has_direction, bounded, torch.ones_like(local)).unbind())


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
