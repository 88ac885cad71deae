"""Finer maps from a convolutional network: its last strides taken out, as CRW and DUL-VOS do for label propagation."""

import copy

import torch
from torch import Tensor, nn

from reelvec.core import Encoder, EncoderCard, ReelvecError

_Striding = nn.Conv3d | nn.MaxPool3d | nn.AvgPool3d

_PROBE = 128
"""pixels of the side of the clip that shows where a network strides"""


def with_map_stride(encoder: Encoder, card: EncoderCard, stride: int | None) -> Encoder:
    """Return the encoder with a cell of its map every `stride` pixels: every later stride over space becomes 1.

    The weights stay as they are, and so does the reach of kernels in cells: nothing is dilated. None: the encoder itself.
    Raises ReelvecError where the network's strides are not those of convolutions and poolings, or are not of that size.
    """
    if stride is None:
        return encoder
    finer = copy.deepcopy(encoder).eval()
    asked = f"maps with a cell every {stride} pixels from {card.architecture}"
    try:
        own = _side(finer, card)
    except (RuntimeError, ValueError, AssertionError) as error:
        there = f"a network that cannot read {_PROBE} pixels: {' '.join(str(error).split())[:200]}"
        raise ReelvecError(asked, there, "leave map_stride as it is") from error
    if stride < 1 or _PROBE % stride or _PROBE // stride < own:
        least = _PROBE // own
        raise ReelvecError(asked, f"a network with a cell every {least} pixels", f"use map_stride={least}, or a half of it")
    inputs: dict[_Striding, int] = {}

    def note(module: _Striding, given: tuple[Tensor, ...]) -> None:
        inputs[module] = given[0].shape[-1]

    striding = [m for m in finer.modules() if isinstance(m, _Striding) and _strides(m)[-1] > 1]
    handles = [module.register_forward_pre_hook(note) for module in striding]
    _side(finer, card)
    for handle in handles:
        handle.remove()
    for module, side in inputs.items():
        if side <= _PROBE // stride:
            module.stride = (_strides(module)[0], 1, 1)
    if _side(finer, card) != _PROBE // stride:
        raise ReelvecError(
            asked,
            f"a network that comes to {_side(finer, card)} cells on {_PROBE} pixels when its strides are taken out",
            "leave map_stride as it is",
        )
    return finer


def _strides(module: _Striding) -> tuple[int, ...]:
    return (module.stride,) * 3 if isinstance(module.stride, int) else module.stride


def _side(encoder: Encoder, card: EncoderCard) -> int:
    """Return how many cells the map of a picture of `_PROBE` pixels has along a side."""
    clip = torch.zeros(1, card.channels, card.needs.streams[0].frames, _PROBE, _PROBE)
    with torch.inference_mode():
        return encoder.cpu()(clip).shape[-1]
