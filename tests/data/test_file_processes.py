import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from reelvec.data import file_processes
from reelvec.data.file_processes import Lost, in_processes

WORK = """
import os, signal, time

def work(task, alive):
    if task == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "hang":
        signal.pause()
    if task == "long":
        for _ in range(30):
            time.sleep(0.1)
            alive()
    return task.upper(), os.getpid()
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch):
    """Work that crashes, hangs or takes long where its task says so: in a module that a new process imports in no time."""
    (tmp_path / "odd_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_work", raising=False)
    return import_module("odd_work").work


def test_every_task_gets_its_answer(work):
    answers = dict(in_processes(work, ["a", "b", "c", "d", "e"], 2))
    assert {task: answer[0] for task, answer in answers.items()} == {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"}
    assert len({process for _, process in answers.values()}) <= 2
    assert list(in_processes(work, [], 2)) == []


def test_a_task_that_kills_its_process_is_named_and_the_rest_goes_on(work):
    answers = dict(in_processes(work, ["a", "crash", "b", "crash", "c"], 1))
    assert isinstance(answers["crash"], Lost)
    assert answers["crash"].exit_code == -11
    assert "exit code -11" in answers["crash"].reason
    assert [answers[task][0] for task in "abc"] == ["A", "B", "C"]


def test_silence_is_given_up_and_long_work_is_not(work, monkeypatch):
    began = time.monotonic()
    answers = dict(in_processes(work, ["hang", "long", "a"], 3, patience=lambda task: 2.5))
    assert answers["hang"] == Lost("nothing came of it for 2.5 s")
    assert (answers["long"][0], answers["a"][0]) == ("LONG", "A")
    assert 2.5 < time.monotonic() - began < 30


def test_leaving_early_ends_the_processes(work):
    answers = in_processes(work, ["a", "hang", "hang"], 2)
    assert next(answers)[0] == "a"
    answers.close()
    assert not [p for p in file_processes.multiprocessing.active_children() if p.is_alive()]
