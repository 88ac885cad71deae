"""What this process may use of the machine it runs on."""

import ctypes
import math
import os
from functools import cache
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""names of settings in glibc's malloc.h"""
_KEPT_BYTES, _LARGEST_BLOCK = 256 << 20, 32 << 20
"""the second is as much as every glibc allows"""


def usable_cores() -> int:
    """Number of cores that this process may use: scheduler's mask and container's share."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = first_line("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        allowed = min(allowed, max(1, math.ceil(int(quota[0]) / int(quota[1]))))
    return allowed


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep what this process frees for the next who asks, from now on; return whether it does.

    Clips and feature maps of some megabytes come and go with every batch. By itself glibc hands each of them back, and gets
    pages anew that the system has to clear first (decision 017). It keeps up to 256 MiB at the end of its heap, and more
    where something that lives on lies above what was freed. Whoever has set glibc's malloc, by MALLOC_TRIM_THRESHOLD_,
    MALLOC_MMAP_THRESHOLD_ or GLIBC_TUNABLES, is left alone, and so is every other system.
    """
    is_set = any(f"MALLOC_{name}_THRESHOLD_" in os.environ for name in ("TRIM", "MMAP"))
    if is_set or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return False
    return all([set_option(_MMAP_THRESHOLD, _LARGEST_BLOCK), set_option(_TRIM_THRESHOLD, _KEPT_BYTES)])


def first_line(path: str) -> str:
    """Return the first line of one of the system's own files; nothing where it is absent."""
    try:
        return Path(path).read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return ""
