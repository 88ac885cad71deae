"""How much of what a device can compute a run makes use of: model FLOPs utilisation (MFU)."""

import copy
import re
import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Encoder, EncoderCard, Method, Progress

_FEW = 2
"""videos that are counted: products and convolutions of a step grow with the videos, all but those of a loss that compares
each with each, which are small"""
_SIDE, _TIMES = 1024, 3
"""of the matrices that a device without an entry below is timed with"""

# dense products in bfloat16, summed in float32, without sparsity: from NVIDIA's data sheets; the first name that fits counts
_PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A40": 150e12,
    "A30": 165e12,
    "A10G": 70e12,
    "A10": 125e12,
}


_ATTENTION_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *_, **__: sdpa_flop_count(
        query, key, value
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda *shapes, **__: sdpa_backward_flop_count(
        *shapes[:4]
    ),
}
"""torch counts attention by its kernels, and has forgotten this one"""


@dataclass(frozen=True)
class Peak:
    """What a device can compute at most."""

    flops_per_second: float
    origin: str
    """where the number comes from, in words"""


def count_flops(method: Method, batch: Batch, at: Progress, precision: str) -> float:
    """Count the floating-point operations of a step, forward and backward, for each video; a product and its sum are two.

    Counted on a copy of the method, with two videos: nothing of the run changes. What `chunk` computes twice counts once.
    Products of matrices, convolutions and attention are counted, as is usual; views and norms are not.
    """
    counted = copy.deepcopy(method).train()
    for module in counted.modules():
        if isinstance(module, Encoder):
            module.chunk = None
    few, device = batch.part(slice(0, _FEW)), next(method.parameters()).device
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        FlopCounterMode(display=False, custom_mapping=_ATTENTION_ON_CPU) as counter,
    ):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = counted.step(few, at)["loss"]
        loss.backward()
    return counter.get_total_flops() / len(few)


def size_of(card: EncoderCard) -> tuple[int, float]:
    """Return the weights of an encoder, and what it computes for a clip as its card says; a product and its sum are two.

    By shapes alone: nothing is loaded and nothing computed. Raises ReelvecError for an architecture that is not known.
    """
    with torch.device("meta"):
        network = build_encoder(card.architecture, card.channels, **card.arguments).eval()
        clip = torch.empty(1, card.channels, card.needs.streams[0].frames, card.size, card.size)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(clip)
    return sum(weights.numel() for weights in network.parameters()), float(counter.get_total_flops())


def peak_of(device: torch.device, precision: str) -> Peak:
    """Return the peak of a device: of a known GPU as its maker states it for bfloat16, else a product of matrices is timed.

    The timing takes a fraction of a second, in the precision of the run and with the threads that torch has.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    is_whole = re.search(r"\bMIG\b", name) is None
    stated = next((peak for known, peak in _PEAKS.items() if is_whole and re.search(rf"\b{known}\b", name)), None)
    if stated is not None:
        return Peak(stated, f"what its maker states for bfloat16 on {name}")
    return Peak(_timed(device, torch.bfloat16 if precision == "bf16" else torch.float32), "measured with a product of matrices")


def utilisation_in_words(flops: float, step_seconds: float, peak: Peak) -> str:
    """Say how much a step of one process computes, how fast, and what share of the peak that is."""
    rate = flops / step_seconds
    return (
        f"One step computes {_words(flops)}FLOP, {_words(rate)}FLOP a second: {rate / peak.flops_per_second:.1%} of "
        f"{_words(peak.flops_per_second)}FLOP a second, {peak.origin} (MFU)"
    )


def _timed(device: torch.device, kind: torch.dtype) -> float:
    matrix = torch.ones(_SIDE, _SIDE, dtype=kind, device=device)  # not drawn: the run's generator stays as it is
    fastest = float("inf")
    for _ in range(_TIMES + 1):  # the first one is for the library to wake up
        began = time.perf_counter()
        with torch.inference_mode():
            float((matrix @ matrix)[0, 0])  # a look at a number waits for the device
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * _SIDE**3 / fastest


def _words(amount: float) -> str:
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G")):
        if amount >= factor:
            return f"{amount / factor:.3g} {prefix}"
    return f"{amount / 1e6:.3g} M"
