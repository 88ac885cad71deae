"""How much memory a step takes, measured on a few videos; and which batch and which chunk fit into a budget."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reelvec.core import Batch, Encoder, Method, Progress, ReelvecError
from reelvec.engine.config import OptimiserConfig

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SLACK = 1.3
"""over what is counted: gradients on their way, workspaces of convolutions, what an allocator cannot reuse"""
_STATES = {"sgd": 1, "lars": 1, "adamw": 2}
"""numbers that an optimiser keeps for each weight"""
_FEW, _MORE = 2, 4
"""videos of the two batches that are measured"""


@dataclass(frozen=True)
class StepMemory:
    """Bytes of a training step."""

    fixed: float
    """weights, their gradients, the optimiser's numbers, queues"""
    outside: float
    """of each video: clips as decoded, views, what heads and losses keep"""
    inside: float
    """of each video: what encoders keep between their layers, all clips and all encoders together"""
    clip_inside: float
    """of one clip: the same, in the encoder that keeps most"""

    def needed(self, batch: int, chunk: int | None) -> float:
        """Return the bytes of a step, slack included; with a chunk, one chunk is in one encoder at a time."""
        inside = self.inside * batch
        return _SLACK * (self.fixed + self.outside * batch + (min(inside, self.clip_inside * chunk) if chunk else inside))

    def largest_batch(self, budget: float, chunk: int | None = None) -> int:
        """Return the most videos that fit."""
        room = budget / _SLACK - self.fixed
        if chunk:
            return max(0, math.floor((room - self.clip_inside * chunk) / self.outside))
        return max(0, math.floor(room / (self.outside + self.inside)))

    def largest_chunk(self, budget: float, batch: int) -> int:
        """Return the most clips in an encoder at a time with which a batch fits; 0 where none does."""
        room = budget / _SLACK - self.fixed - self.outside * batch
        return max(0, math.floor(room / max(self.clip_inside, 1.0)))


def read_bytes(text: str) -> int:
    """Turn "24GB", "24 GiB" or "500M" into bytes; a thousand is 1024 here, as GPUs count."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if found is None or float(found[1]) == 0:
        raise ReelvecError(f"plan for memory={text}", "not an amount of memory", "write it as 24GB or 500MB")
    return round(float(found[1]) * _UNITS[found[2].upper()])


def measure_step(method: Method, batch_of: Callable[[int], Batch], optimiser: OptimiserConfig, precision: str) -> StepMemory:
    """Count what a step of the method keeps for its gradient, with few videos and with more.

    `batch_of` gives a batch of that many videos, on the method's device. The steps push queues and move running
    statistics: give a method that is thrown away.
    """
    few, more = (_Kept(method, batch_of(videos), precision) for videos in (_FEW, _MORE))
    added = _MORE - _FEW
    weights = sum(p.numel() * p.element_size() for p in method.parameters() if p.requires_grad)
    held = sum(t.numel() * t.element_size() for t in (*method.parameters(), *method.buffers()))
    states = (1 + _STATES[optimiser.name]) * weights  # the gradient, and the optimiser's
    each = (more.bytes - few.bytes) / added
    inside = sum(more.inside.values()) / _MORE
    return StepMemory(
        fixed=held + states + max(0.0, few.bytes - _FEW * each),
        outside=max(1.0, each - inside),
        inside=inside,
        clip_inside=max((more.inside[encoder] / more.clips[encoder] for encoder in more.inside), default=0.0),
    )


def fit(memory: StepMemory, batch: int, budget: int, batch_norm: bool) -> tuple[int, int | None, str]:
    """Choose the batch and the chunk that fit into a budget of bytes, and say why.

    The batch stays as it is if it fits whole, or in chunks; only then it shrinks. Raises ReelvecError where nothing fits.
    """
    whole = memory.needed(batch, None)
    said = f"a step of {batch} videos takes about {_words(whole)} of {_words(budget)}"
    if whole <= budget:
        return batch, None, f"{said}; up to batch={memory.largest_batch(budget)} would fit"
    smallest = 8 if batch_norm else 1  # a batch norm needs some clips to normalise by
    norms = " (batch norms of the encoders then see that many at a time)" if batch_norm else ""
    chunk = memory.largest_chunk(budget, batch)
    if chunk >= smallest:
        return batch, chunk, f"{said}: encoders take {chunk} clips at a time, chunk={chunk}{norms}; slower, the same gradient"
    for fits, chunk_then in ((memory.largest_batch(budget, smallest), smallest), (memory.largest_batch(budget), None)):
        if fits >= max(2, chunk_then or 0):
            how = f"batch={fits}" + (f" and chunk={chunk_then}{norms}" if chunk_then else "")
            return fits, chunk_then, f"{said}: {how}. The recipe's learning rate is for {batch}"
    raise ReelvecError(
        f"train within {_words(budget)}",
        f"{_words(memory.needed(2, None))} that 2 videos take",
        "give more memory, a smaller encoder, fewer frames or a smaller view.size",
    )


def encoders_have_batch_norm(method: Method) -> bool:
    """Whether any encoder of a method normalises by its batch."""
    encoders = [module for module in method.modules() if isinstance(module, Encoder)]
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for encoder in encoders for part in encoder.modules())


class _Kept:
    """What autograd keeps for the gradient of one step, with the decoded batch; weights and buffers apart."""

    def __init__(self, method: Method, batch: Batch, precision: str) -> None:
        self.inside: dict[Encoder, int] = {}
        """bytes that each encoder adds between its input and its output"""
        self.clips: dict[Encoder, int] = {}
        """clips that went through each encoder, with a gradient"""
        self._own = {t.untyped_storage().data_ptr() for t in (*method.parameters(), *method.buffers())}
        self._held: dict[int, Tensor] = {}  # a storage that is let go may give its address to the next
        self._within: Encoder | None = None
        handles = []
        for module in method.modules():
            if isinstance(module, Encoder):
                handles += [module.body.register_forward_pre_hook(self._enters(module))]
                handles += [module.body.register_forward_hook(self._leaves)]
        device = batch.numbers.device.type
        with (
            torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor),
            torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"),
        ):
            method.train().step(batch, Progress(0, 1, 0.0, 0))
        for handle in handles:
            handle.remove()
        decoded = sum(clips.decoded_bytes for clips in batch.streams.values())
        self.bytes = decoded + sum(tensor.untyped_storage().nbytes() for tensor in self._held.values())

    def _enters(self, encoder: Encoder) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def enter(body: nn.Module, inputs: tuple[Tensor]) -> None:
            if torch.is_grad_enabled():
                self._pack(inputs[0])  # the input is there with chunks too: it does not count as inside
                self.clips[encoder] = self.clips.get(encoder, 0) + len(inputs[0])
                self.inside.setdefault(encoder, 0)
                self._within = encoder

        return enter

    def _leaves(self, body: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        self._within = None

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._own and storage.data_ptr() not in self._held:
            self._held[storage.data_ptr()] = tensor
            if self._within is not None:
                self.inside[self._within] += storage.nbytes()
        return tensor


def _words(amount: float) -> str:
    return f"{amount / 2**30:.1f} GiB" if amount >= 2**29 else f"{amount / 2**20:.0f} MiB"
