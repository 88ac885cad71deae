"""Losses in full precision: a softmax over a queue at temperature 0.1 does not survive bfloat16."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function outside autocast, with its half-precision tensors widened to float32; float64 stays float64."""

    @functools.wraps(function)
    def widened(*args: P.args, **kwargs: P.kwargs) -> R:
        kind = next((a.device.type for a in args if isinstance(a, Tensor)), "cpu")
        with torch.autocast(kind, enabled=False):
            return function(*map(_widen, args), **{name: _widen(value) for name, value in kwargs.items()})  # type: ignore[arg-type]

    return widened


def _widen(value: object) -> object:
    half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if half and isinstance(value, Tensor) else value
