"""Two processes on gloo, for what holds over processes only."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory):
    """What the two processes of `two_processes.py` computed together, by job and name."""
    folder = tmp_path_factory.mktemp("two_processes")
    script = Path(__file__).with_name("two_processes.py")
    arguments = [[sys.executable, script, str(rank), folder] for rank in range(2)]
    processes = [subprocess.Popen(a, stderr=subprocess.PIPE, text=True) for a in arguments]
    try:
        errors = [process.communicate(timeout=240)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors
    first, second = (torch.load(folder / f"{rank}.pt") for rank in range(2))
    return {job: merge(first[job], second[job]) for job in first}


def merge(first, second):
    merged = {}
    for name in first:
        kind, key = name.split("/")
        if kind == "equal":
            assert torch.equal(first[name], second[name]), name
            merged[key] = first[name]
        else:
            merged[key] = {"stack": torch.cat, "sum": sum, "mean": lambda p: sum(p) / 2}[kind]([first[name], second[name]])
    return merged
