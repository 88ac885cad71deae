"""Which times of a video are looked at: arithmetic on seconds, no video.

A clip covers `span_seconds`, from its first frame to the end of its last frame's step. In a video longer than that,
clips start in the *valid* part [0, M], M = duration - span, and lie inside the video. A video that is not longer is
looped: its frames repeat with the duration as the period, and clips start anywhere in it.
"""

from collections.abc import Callable

import numpy as np

from reelvec.core.errors import ReelvecError
from reelvec.core.needs import Times

_ROUNDING_SECONDS = 1e-6
"""Times are sums of floats: one that falls short of a frame by less than this means that frame."""


def clip_seconds(start: float, frames: int, step_seconds: float) -> np.ndarray:
    """Return the times of a clip's frames (frames,), in seconds."""
    return start + step_seconds * np.arange(frames)


def frames_at(frame_seconds: np.ndarray, duration_seconds: float, seconds: np.ndarray) -> np.ndarray:
    """Return the number of the frame on display at each time.

    `frame_seconds` (frames,) are the times at which frames appear, ascending from 0; each stays until the next one, the
    last until `duration_seconds`. Times past the end wrap around. The result has the shape of `seconds`, int64.
    """
    if duration_seconds <= 0:  # a still picture: no time passes
        return np.zeros(np.shape(seconds), np.int64)
    shown = (np.asarray(seconds, np.float64) + _ROUNDING_SECONDS) % duration_seconds
    return np.maximum(np.searchsorted(frame_seconds, shown, side="right") - 1, 0)


def even_starts(clips: int, duration_seconds: float, span_seconds: float) -> np.ndarray:
    """Return the starts (clips,) of clips spread evenly from the beginning to the end of a video, for evaluation.

    One clip stands in the middle. In a video that is too short every clip is the whole video from its beginning.
    """
    valid = max(duration_seconds - span_seconds, 0.0)
    return np.array([valid / 2]) if clips == 1 else np.linspace(0.0, valid, clips)


def draw_starts(times: Times, clips: int, duration_seconds: float, span_seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the starts (clips,) of the clips of one video, in seconds.

    With M = duration - span, the starts lie in [0, M] and are drawn so:

    - anywhere: independent, uniform.
    - near: uniform over all starts of which any two are `min_seconds` to `max_seconds` apart. MoDist: 0.5 to 10.
    - apart: uniform over all starts of which any two are at least `min_seconds` apart.
    - decreasing: two clips at a distance d of density (p + 1) / (p M) (1 - (d / M)^p), then the first of them uniform
      over what is left, then in a random order (CVRL, arXiv 2008.03800, section 3.2; released with p = 1).
    - same: one uniform start for all.
    - sequence: one after the other with `min_seconds` between them, the first start uniform. Order is kept.
    - spread: one in the same place of each of `clips` equal parts, the place uniform. Order is kept.

    Where M does not hold what was asked: near and apart lower `min_seconds` until half of M is left to chance; a
    sequence shortens its gaps, then overlaps, evenly from the beginning to the end. In a looped video (duration <=
    span) a sequence and a spread go on around the loop, "same" is one start, and the other rules draw independent
    starts, all of them in [0, duration).
    Raises ReelvecError for a rule that no video can follow.
    """
    _check(times, clips)
    if duration_seconds <= span_seconds:
        return _draw_in_loop(times, clips, duration_seconds, span_seconds, rng)
    valid = duration_seconds - span_seconds
    starts: np.ndarray
    match times.rule:
        case "anywhere":
            starts = rng.uniform(0, valid, clips)
        case "near":
            starts = _draw_at_distance(clips, valid, times.min_seconds, times.max_seconds, rng)
        case "apart":
            starts = _draw_at_distance(clips, valid, times.min_seconds, None, rng)
        case "decreasing":
            distance = valid * decreasing_distance(rng.uniform(), times.power)
            first = rng.uniform(0, valid - distance)
            starts = rng.permutation([first, first + distance])
        case "same":
            starts = np.full(clips, rng.uniform(0, valid))
        case "sequence":
            step = min(span_seconds + times.min_seconds, valid / max(clips - 1, 1))
            room = max(valid - (clips - 1) * step, 0.0)  # shortened gaps fill the video, but for the last bit of a float
            starts = rng.uniform(0, room) + step * np.arange(clips)
        case "spread":
            starts = (np.arange(clips) + rng.uniform()) * (valid / clips)
    return np.clip(starts, 0, valid)  # sums of floats may pass the end by their last bit


def decreasing_distance(u: float, power: float) -> float:
    """Return the distance x = d / M at which CVRL's distribution function is u: F(x) = ((p + 1) x - x^(p + 1)) / p."""
    if power == 1:
        return 1 - np.sqrt(1 - u)
    return _invert(lambda x: ((power + 1) * x - x ** (power + 1)) / power, u, 1.0)


def _draw_at_distance(clips: int, valid: float, low: float, high: float | None, rng: np.random.Generator) -> np.ndarray:
    """Draw starts uniformly from all n-tuples in [0, valid] whose pairwise distances lie in [low, high].

    With the smallest gaps taken out, what is left are n points in [0, room] whose range is at most `reach`. The range r
    of n uniform points has a density in proportion to r^(n - 2) (room - r); given the range, the lowest point is
    uniform and the points between the two ends are independent and uniform.
    """
    if clips == 1:
        return rng.uniform(0, valid, 1)
    gaps = clips - 1
    if gaps * low > valid:
        low = valid / (2 * gaps)
    room, reach = valid - gaps * low, (valid if high is None else min(high, valid)) - gaps * low

    def volume(r: float) -> float:
        return room * r**gaps / gaps - r**clips / clips

    spread = _invert(volume, rng.uniform() * volume(reach), reach)
    first = rng.uniform(0, room - spread)
    between = rng.uniform(first, first + spread, clips - 2)
    ordered = np.sort([first, *between, first + spread]) + low * np.arange(clips)
    return rng.permutation(ordered)


def _draw_in_loop(times: Times, clips: int, duration: float, span: float, rng: np.random.Generator) -> np.ndarray:
    """Draw starts in a video that is repeated because it is not longer than a clip."""
    if duration <= 0:
        return np.zeros(clips)
    match times.rule:
        case "same":
            return np.full(clips, rng.uniform(0, duration))
        case "sequence":
            return (rng.uniform(0, duration) + (span + times.min_seconds) * np.arange(clips)) % duration
        case "spread":
            return (np.arange(clips) + rng.uniform()) * (duration / clips)
        case _:
            return rng.uniform(0, duration, clips)


def _invert(rising: Callable[[float], float], value: float, end: float) -> float:
    """Find x in [0, end] where a rising function has a value, by bisection to the last bit that matters."""
    low, high = 0.0, end
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return (low + high) / 2


def _check(times: Times, clips: int) -> None:
    """Refuse a rule that contradicts itself."""
    asked = f"draw {clips} clips of a video by the rule {times.rule!r}"
    if times.min_seconds < 0:
        raise ReelvecError(asked, f"min_seconds = {times.min_seconds}", "set times.min_seconds to 0 or more")
    longest = times.max_seconds
    if times.rule == "near" and longest is not None and (clips - 1) * times.min_seconds > longest:
        raise ReelvecError(
            asked,
            f"no {clips} starts are all at least {times.min_seconds} s and at most {longest} s apart",
            "lower times.min_seconds or raise times.max_seconds",
        )
    if times.rule == "decreasing" and clips != 2:
        raise ReelvecError(asked, "the rule says how far two clips are apart", "set clips to 2 or take another rule")
    if times.rule == "decreasing" and not times.power > 0:
        raise ReelvecError(asked, f"power = {times.power}", "set times.power above 0; 1 is the published value")
