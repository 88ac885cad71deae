"""Where the time of a run goes, looked at over its first steps, and what to do about it."""

from collections.abc import Mapping
from contextlib import ExitStack

import torch

from reelvec.core.spans import Spans, looking

STEPS = 50
"""steps that are looked at"""
_WARM_UP = 3
"""steps before: first allocations, compilation, an empty read-ahead"""
_MUCH_WAITING = 0.1
"""share of the time that is worth a word even where something else takes more"""
_PARTS = {
    "clips": "waiting for clips",
    "views": "making views",
    "networks": "networks and losses",
    "optimiser": "optimiser",
    "rest": "the rest",
}


class TimeSpent:
    """Looks at the spans of some steps; call `step` after each, and it says once where the time went."""

    def __init__(self, device: torch.device) -> None:
        self._spans, self._stack, self._steps = Spans(device), ExitStack(), 0

    def step(self, last: bool) -> dict[str, float] | None:
        """Note the end of a step; return the shares of all parts when enough was seen (or at the `last` step), else None."""
        self._steps += 1
        if self._steps == _WARM_UP and not last:
            self._stack.enter_context(looking(self._spans))
        elif self._steps == _WARM_UP + STEPS or (last and _WARM_UP < self._steps < _WARM_UP + STEPS):
            self._stack.close()
            return {part: self._spans.shares().get(part, 0.0) for part in _PARTS}
        return None

    def close(self) -> None:
        """Stop looking."""
        self._stack.close()


def verdict(shares: Mapping[str, float], on_gpu: bool, workers: int) -> str:
    """Say in words where the time went, which part holds the run up, and what to do."""
    listed = ", ".join(f"{shares[part]:.0%} {words}" for part, words in _PARTS.items() if shares[part] >= 0.005)
    advice = {
        "clips": "run `reelvec prepare` on the videos once and train on its output, or give workers=N more decoding processes"
        if workers
        else "decode beside the training with workers=N, or keep all videos decoded with cache_gb=N if they fit in memory",
        "views": "lower short_side towards view.size, or the probabilities view.jitter and view.blur",
        "networks": "precision=bf16 and a larger batch" if on_gpu else "a smaller encoder, fewer frames, or a GPU",
    }
    most = max(advice, key=lambda part: shares[part])
    words = f"where time goes: {listed}. Most of it is {_PARTS[most]}; to go faster: {advice[most]}."
    if most != "clips" and shares["clips"] >= _MUCH_WAITING:
        words += f" The waiting can be had back: {advice['clips']}."
    return words
