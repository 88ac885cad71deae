import os
import platform
import subprocess
import sys

import pytest

from reelvec.core import machine


def test_a_containers_share_of_cores_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(machine, "first_line", lambda _: "250000 100000")
    assert machine.usable_cores() == 3
    monkeypatch.setattr(machine, "first_line", lambda _: "max 100000")
    assert machine.usable_cores() == 16


FAULTS = """
import resource, sys
import numpy as np
from reelvec.core.machine import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
    assert keep_freed_memory()
for _ in range(3):
    blocks = [np.ones(3 << 20, np.uint8) for _ in range(16)]
    del blocks
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    blocks = [np.ones(3 << 20, np.uint8) for _ in range(16)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again_without_asking_for_pages() -> None:
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    commands = {way: [sys.executable, "-c", FAULTS, way] for way in ("keep", "leave")}
    faults = {
        way: int(subprocess.run(command, check=True, capture_output=True, text=True, env=unset).stdout)
        for way, command in commands.items()
    }
    assert faults["leave"] > 10 * faults["keep"]  # 20 times 48 MiB are 245 760 pages of 4 KiB


@pytest.mark.parametrize(
    "setting",
    ["MALLOC_TRIM_THRESHOLD_=131072", "MALLOC_MMAP_THRESHOLD_=131072", "GLIBC_TUNABLES=glibc.malloc.mmap_threshold=131072"],
)
def test_who_sets_mallocs_thresholds_is_left_alone(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*setting.split("=", 1))
    assert not machine.keep_freed_memory.__wrapped__()


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: object())
    assert not machine.keep_freed_memory.__wrapped__()
