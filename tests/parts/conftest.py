"""Two processes on gloo, for what holds over processes only."""

from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory, run_two_processes):
    """What the two processes of `two_processes.py` computed together, by job and name."""
    folder = tmp_path_factory.mktemp("two_processes")
    first, second = run_two_processes(Path(__file__).with_name("two_processes.py"), folder)
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
