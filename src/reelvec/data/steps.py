"""Rising numbers kept short: the first, the steps from one to the next until they repeat, and how many numbers there are.

    0 512 1024 1536 2048        first 0, steps 512, count 5: an even rate
    0 33 67 100 133 167 200     first 0, steps 33 34 33, count 7: 30 frames a second, rounded to milliseconds

It is exact for any numbers. Where no pattern repeats, every step is kept.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from reelvec.core.shapes import Int

_LONGEST = 128
"""steps of the longest pattern that is looked for; 119.88 frames a second in milliseconds repeat after 120"""


def steps_type(integer: pa.DataType) -> pa.StructType:
    """Return the type of a column of such numbers."""
    return pa.struct([("first", integer), ("steps", pa.list_(integer)), ("count", pa.int32())])


def to_steps(numbers: Int[np.ndarray, "count"]) -> dict[str, Any]:
    """Return {"first", "steps", "count"} of numbers; `first` of none is 0."""
    steps = np.diff(numbers)
    return {"first": int(numbers[0]) if len(numbers) else 0, "steps": steps[: _period(steps)], "count": len(numbers)}


def from_steps(first: int, steps: Int[np.ndarray, "period"], count: int) -> Int[np.ndarray, "count"]:
    """Return the numbers, in the type of `steps`."""
    numbers = np.empty(count, steps.dtype)
    numbers[:1] = first
    if count > 1:
        every = np.empty((-(-(count - 1) // len(steps)), len(steps)), steps.dtype)
        every[:] = steps  # by hand, because np.tile and np.resize take several times as long
        np.add.accumulate(every.reshape(-1)[: count - 1], out=numbers[1:])
        numbers[1:] += numbers[0]
    return numbers


def _period(steps: Int[np.ndarray, "all"]) -> int:
    """Return after how many steps they repeat; the number of all where they do not."""
    for period in np.flatnonzero(steps[1 : _LONGEST + 1] == steps[:1]) + 1:
        if (steps[period:] == steps[:-period]).all():
            return int(period)
    return len(steps)
