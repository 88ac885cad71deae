"""Processes of a pool do not outlive who started them."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from reelvec.core.spawning import process_pool


def test_a_pool_works_without_a_guarded_script():
    with process_pool(2) as pool:
        assert list(pool.map(abs, [-1, -2, -3])) == [1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_killed_parent_takes_its_workers_along(tmp_path):
    """A worker that sits in a task holds a pipe open; the pipe ends when the worker does."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = textwrap.dedent(f"""
        import subprocess
        from reelvec.core.spawning import process_pool
        with process_pool(1) as pool:
            pool.submit(subprocess.run, ["sh", "-c", "exec 3> {pipe}; echo at work >&3; read never"], stdin=subprocess.PIPE)
    """)
    parent = subprocess.Popen([sys.executable, "-c", script])
    with pipe.open() as worker:
        assert worker.readline() == "at work\n"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert worker.read() == ""
