"""Schedules as functions of where a run stands."""

import math


def cosine(share: float, start: float, end: float) -> float:
    """Go from `start` (share 0) to `end` (share 1) along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2


def warmup_cosine(step: int, total: int, peak: float, warmup_steps: int = 0, start: float = 0.0, end: float = 0.0) -> float:
    """Rise linearly from `start` to `peak` in `warmup_steps` steps, then fall to `end` along half a cosine."""
    if step < warmup_steps:
        return start + (peak - start) * step / warmup_steps
    return cosine((step - warmup_steps) / max(total - warmup_steps, 1), peak, end)


def momentum_schedule(share: float, base: float) -> float:
    """Momentum of a slow network: 1 - (1 - base)(1 + cos(pi share))/2, from `base` to 1 (BYOL, section 3.2)."""
    return cosine(share, base, 1.0)
