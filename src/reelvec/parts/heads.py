"""Projection and prediction heads."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp(dims: Sequence[int], batch_norm: bool, last_batch_norm: bool = False) -> nn.Sequential:
    """Chain linear layers of sizes dims[0] -> dims[1] -> ... with ReLU between them.

    A layer that batch normalisation follows has no bias: the norm would subtract it.
    """
    layers: list[nn.Module] = []
    last = len(dims) - 2
    for number, (inputs, outputs) in enumerate(pairwise(dims)):
        normed = batch_norm if number < last else last_batch_norm
        layers.append(nn.Linear(inputs, outputs, bias=not normed))
        if normed:
            layers.append(nn.BatchNorm1d(outputs))
        if number < last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
