"""Learning rates that fall with depth, and drop path that rises with it, for any network made of attention blocks."""

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

_PATH_DROPS = {"StochasticDepth": "p", "DropPath": "drop_prob"}
"""how the names of modules end that leave out a branch at random (torchvision; timm, transformers) -> where the rate is"""


def has_layer_norm(network: nn.Module) -> bool:
    """Say whether a network is of the family of transformers, which no recipe for convolutions with batch norm suits."""
    return any(isinstance(module, nn.LayerNorm) for module in network.modules())


def blocks_of(network: nn.Module) -> list[str]:
    """Name the blocks of a network in order: the modules with two layer norms of their own, one for each of their branches."""
    return [
        name
        for name, module in network.named_modules()
        if sum(isinstance(child, nn.LayerNorm | nn.RMSNorm) for child in module.children()) >= 2
    ]


def depths(network: nn.Module) -> tuple[dict[str, int], int]:
    """Return the depth of every weight by name, and the depth of a head on top.

    What stands before the first block (patches, positions, class token) has depth 0, block i depth i + 1; what stands between
    two blocks has the depth of the one before, what stands after the last one that of a head. Without blocks all have depth 0.
    """
    blocks = blocks_of(network)
    found: dict[str, int] = {}
    current = 0
    for name, _ in network.named_parameters():
        inside = [i for i, block in enumerate(blocks) if name.startswith(f"{block}.")]
        current = inside[0] + 1 if inside else current
        found[name] = current if inside or current < len(blocks) or not blocks else len(blocks) + 1
    return found, len(blocks) + 1


def rate_groups(
    network: nn.Module, head: Iterable[nn.Module], lr: float, decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Group weights for an optimiser: a learning rate lr * decay^(depth of the head - own depth), kept in `rate` beside it.

    Weight decay spares biases, norms, positions and tokens: what has one dimension or is no layer's `weight`.
    """
    found, top = depths(network)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    named = [(name, weight, found[name]) for name, weight in network.named_parameters()]
    named += [(name, weight, top) for part in head for name, weight in part.named_parameters()]
    for name, weight, depth in named:
        decayed = weight.ndim > 1 and re.search(r"(^|[._])weight$", name) is not None
        groups.setdefault((depth, decayed), []).append(weight)
    return [
        {
            "params": weights,
            "lr": lr * decay ** (top - depth),
            "rate": lr * decay ** (top - depth),
            "weight_decay": weight_decay if decayed else 0.0,
        }
        for (depth, decayed), weights in sorted(groups.items(), key=lambda item: item[0])
    ]


def set_drop_path(network: nn.Module, rate: float) -> int:
    """Let branches be left out with a probability that rises from 0 to `rate` with depth; return how many there are.

    A network without such modules stays as it is.
    """
    drops = [
        (module, attribute)
        for module in network.modules()
        for ending, attribute in _PATH_DROPS.items()
        if type(module).__name__.endswith(ending)
    ]
    for i, (module, attribute) in enumerate(drops):
        setattr(module, attribute, rate * i / max(len(drops) - 1, 1))
    return len(drops)
