"""Randomness as a function: a draw depends on (seed, sample number, name) and on nothing else.

No generator is carried along, so a draw does not depend on what was drawn before, on the batch a sample stands in, on the
process that holds it or on the device. Resuming is exact without saving a state, and two processes of 16 draw what one of 32
draws. Numbers come from a hash with the mixing constants of splitmix64 (Steele, Lea & Flood 2014).
"""

import hashlib

import numpy as np
import torch
from torch import Tensor

from reelvec.core.shapes import Bool, Float, Int


def _signed(word: int) -> int:
    """Write a 64-bit word as the int64 that torch understands."""
    return word - (1 << 64) if word >= 1 << 63 else word


_GOLDEN, _MIX1, _MIX2 = (_signed(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def name_key(seed: int, name: str) -> int:
    """Hash a seed and a name into an int64, the same on every machine."""
    return _signed(int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "little"))


def _mix(x: Tensor) -> Tensor:
    """Mix the bits of int64 words (splitmix64's finaliser); products wrap around, as they should."""
    # torch has no logical shift to the right: mask the copies of the sign away
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _MIX1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _MIX2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def sample_generator(seed: int, number: int, name: str) -> np.random.Generator:
    """A NumPy generator of its own for one sample of the run, for draws in the data workers."""
    return np.random.Generator(np.random.Philox(key=[np.uint64(name_key(seed, name) & (2**64 - 1)), np.uint64(number)]))


class Draws:
    """Draws for each sample of a batch. Names keep draws apart: the same name gives the same numbers again."""

    def __init__(
        self, seed: int, numbers: Int[Tensor, "b"], scope: str = "", host_numbers: Int[Tensor, "b"] | None = None
    ) -> None:
        """`host_numbers` are the same numbers on the CPU, where somebody has them."""
        self.seed, self.numbers, self.scope, self._host_numbers = seed, numbers, scope, host_numbers

    def within(self, scope: str) -> "Draws":
        """Draws under a longer name: one scope for each view of a sample."""
        return Draws(self.seed, self.numbers, f"{self.scope}/{scope}", self._host_numbers)

    def on_host(self) -> "Draws":
        """The same draws on the CPU, for what steers the work: without a wait for the device where the numbers are there."""
        host = self.numbers.cpu() if self._host_numbers is None else self._host_numbers
        return Draws(self.seed, host, self.scope, host)

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0, many: int | None = None) -> Float[Tensor, "b *many"]:
        """Uniform in [low, high); with `many`, that many columns for each sample."""
        key = name_key(self.seed, f"{self.scope}/{name}")
        columns = torch.arange(many or 1, device=self.numbers.device)
        word = _mix(_mix(self.numbers[:, None] * _GOLDEN + key) + (columns + 1) * _GOLDEN)
        unit = ((word >> 40) & 0xFFFFFF).to(torch.float32) / (1 << 24)  # 24 bits: exact in float32, never 1
        drawn = low + (high - low) * unit
        return drawn if many else drawn[:, 0]

    def chance(self, name: str, probability: float) -> Bool[Tensor, "b"]:
        """True with that probability."""
        return self.uniform(name) < probability

    def normal(self, name: str, many: int) -> Float[Tensor, "b many"]:
        """Standard normal numbers (Box-Muller)."""
        radius = (-2 * (1 - self.uniform(f"{name}/radius", many=many)).log()).sqrt()
        return radius * (2 * torch.pi * self.uniform(f"{name}/angle", many=many)).cos()

    def order(self, name: str, many: int) -> Int[Tensor, "b many"]:
        """A random order of 0..many-1 for each sample."""
        return self.uniform(name, many=many).argsort(dim=1)
