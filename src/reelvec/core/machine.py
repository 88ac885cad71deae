"""What this process may use of the machine it runs on."""

import math
import os
from pathlib import Path


def usable_cores() -> int:
    """Number of cores that this process may use: scheduler's mask and container's share."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = first_line("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        allowed = min(allowed, max(1, math.ceil(int(quota[0]) / int(quota[1]))))
    return allowed


def first_line(path: str) -> str:
    """Return the first line of one of the system's own files; nothing where it is absent."""
    try:
        return Path(path).read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return ""
