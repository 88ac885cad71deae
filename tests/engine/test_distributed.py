"""Two processes that are started here, and what comes back from them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reelvec.core import ReelvecError
from reelvec.engine.distributed import join_group, launch

sys.path.insert(0, str(Path(__file__).parent))
import launched


def ignore(event):
    pass


def test_the_first_process_brings_back_its_events_and_its_result():
    events = []
    result = launch(launched.meet, 2, (), events.append)
    assert result == {"from": 0, "total": 3.0}
    assert [event["from"] for event in events] == [0]
    assert 1 <= events[0]["threads"] <= torch.get_num_threads()


def test_gradients_are_averaged_and_buffers_left_alone():
    result = {name: torch.tensor(rows) for name, rows in launch(launched.train_a_little, 2, (), ignore).items()}
    for gradient in result["gradients"]:
        torch.testing.assert_close(gradient, result["gradients_alone"].mean(0))
    assert torch.equal(result["means"], result["means_alone"])
    assert not torch.equal(result["means"][0], result["means"][1])


@pytest.mark.parametrize("rank", [0, 1])
def test_a_message_for_people_comes_back_from_any_process(rank, capfd):
    with pytest.raises(ReelvecError, match=f"full on process {rank}") as caught:
        launch(launched.refuse, 2, (rank,), ignore)
    assert caught.value.do == "free some space"
    assert "Traceback" not in capfd.readouterr().err


def test_another_error_comes_back_with_its_place():
    with pytest.raises(RuntimeError, match=r"(?s)in process 1 of 2.*launched\.py.*nothing of that name"):
        launch(launched.fail, 2, (), ignore)


@pytest.mark.parametrize("code", [0, 7, -signal.SIGKILL])
def test_a_process_that_dies_without_a_word_is_told(code):
    with pytest.raises(ReelvecError, match=f"ended with code {int(code)} and no word"):
        launch(launched.die, 2, (code,), ignore)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_wish_to_stop_reaches_the_processes_and_they_finish_what_they_do(tmp_path, number):
    with pytest.raises(KeyboardInterrupt):
        launch(launched.work_until_stopped, 2, (tmp_path,), lambda event: os.kill(os.getpid(), number))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["kept-by-0", "kept-by-1"]


def test_processes_end_with_a_parent_that_is_killed_and_a_script_needs_no_guard(tmp_path):
    script = tmp_path / "script.py"  # run as a user would, without `if __name__ == "__main__":`
    script.write_text(f"""
import os, pathlib, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import launched
from reelvec.engine.distributed import launch
folder = pathlib.Path({str(tmp_path)!r})
launch(launched.work_until_stopped, 2, (folder,), lambda event: os.kill(os.getpid(), signal.SIGKILL))
""")
    # the processes hold its output open: this returns only when all of them are gone
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert sorted(file.name for file in tmp_path.glob("kept*")) == ["kept-by-0", "kept-by-1"]


def test_one_process_joins_nothing():
    join_group("cpu")
    assert not torch.distributed.is_initialized()
