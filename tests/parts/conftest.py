"""Two processes on gloo, for what holds over processes only."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture
def two_processes(tmp_path):
    """Run one job of `two_processes.py` in two processes; return what they stacked."""

    def run(job, dtype):
        script = Path(__file__).with_name("two_processes.py")
        arguments = [[sys.executable, script, job, dtype, str(rank), tmp_path] for rank in range(2)]
        processes = [subprocess.Popen(a, stderr=subprocess.PIPE, text=True) for a in arguments]
        errors = [process.communicate(timeout=120)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], errors
        parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
        return merge(parts)

    return run


def merge(parts):
    first, second = parts
    merged = {}
    for name in first:
        kind, key = name.split("/")
        if kind == "equal":
            assert torch.equal(first[name], second[name]), name
            merged[key] = first[name]
        else:
            merged[key] = {"stack": torch.cat, "sum": sum, "mean": lambda p: sum(p) / 2}[kind]([first[name], second[name]])
    return merged
