"""Where the time of a run goes, looked at over its first steps, and what to do about it."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch

from reelvec.core.spans import Spans, looking

STEPS = 50
"""steps that are looked at"""
WARM_UP = 3
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
        self.step_seconds = 0.0
        """mean time of a step, once the shares are known"""

    def step(self, last: bool) -> dict[str, float] | None:
        """Note the end of a step; return the shares of all parts when enough was seen (or at the `last` step), else None."""
        self._steps += 1
        if self._steps == WARM_UP and not last:
            self._stack.enter_context(looking(self._spans))
        elif self._steps == WARM_UP + STEPS or (last and WARM_UP < self._steps < WARM_UP + STEPS):
            self._stack.close()
            shares = self._spans.shares()
            self.step_seconds = sum(self._spans.seconds().values()) / (self._steps - WARM_UP)
            return {part: shares.get(part, 0.0) for part in _PARTS}
        return None

    def close(self) -> None:
        """Stop looking."""
        self._stack.close()


def verdict(
    shares: Mapping[str, float], on_gpu: bool, workers: int, *, in_rgb: bool = False, exact_views: str | None = None
) -> str:
    """Say in words where the time went, which part holds the run up, and what to do.

    `in_rgb`: pictures travel as RGB and could travel as planes. `exact_views`: the key of views that could be made by faster
    arithmetic.
    """
    listed = ", ".join(f"{shares[part]:.0%} {words}" for part, words in _PARTS.items() if shares[part] >= 0.005)
    planes = ", or let pictures travel as the codec has them with pictures=yuv" if in_rgb else ""
    fast = f"{exact_views}.arithmetic=fast, or " if exact_views and not on_gpu else ""
    advice = {
        "clips": (
            "run `reelvec prepare` on the videos once and train on its output, or give workers=N more decoding processes"
            if workers
            else "decode beside the training with workers=N, or keep all videos decoded with cache_gb=N if they fit in memory"
        )
        + planes,
        "views": f"{fast}lower short_side towards view.size, or the probabilities view.jitter and view.blur",
        "networks": "precision=bf16 and a larger batch" if on_gpu else "a smaller encoder, fewer frames, or a GPU",
    }
    most = max(advice, key=lambda part: shares[part])
    words = f"where time goes: {listed}. Most of it is {_PARTS[most]}; to go faster: {advice[most]}."
    if most != "clips" and shares["clips"] >= _MUCH_WAITING:
        words += f" The waiting can be had back: {advice['clips']}."
    return words


def exact_views(settings: Mapping[str, Any]) -> str | None:
    """Return the key of the first views among a method's settings that are made exactly; None where there are none."""
    views = (key for key, value in settings.items() if isinstance(value, Mapping) and value.get("arithmetic") == "exact")
    return next(views, None)
