"""Several processes: started here (`--devices N`) or by torchrun; one process needs none of this."""

import inspect
import os
import queue
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import parent_process
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from reelvec.core import ReelvecError
from reelvec.core.machine import usable_cores
from reelvec.core.spawning import main_module_unseen
from reelvec.engine.device import choose_device
from reelvec.engine.stop_signals import StopSignals

Event = dict[str, Any]

_LAST_WORDS_SECONDS = 30.0
"""how long a process that was asked to end may take, which is to save the step it is in"""


def join_group(device: str) -> None:
    """Join the processes that torchrun or `launch` started, if any did."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        chosen = choose_device(device)
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)  # NCCL's barrier goes to the current device, which is otherwise the first for all
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")


def leave_group() -> None:
    """Leave the group of processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def exchange_gradients(module: nn.Module, device: torch.device) -> DistributedDataParallel:
    """Let the gradients of a module be averaged over the processes. Buffers are left to the methods and norms that own them."""
    known = inspect.signature(DistributedDataParallel).parameters
    # torch 2.13 gave the argument a new name, under which buffers are still made equal once, at the start
    arguments: dict[str, Any] = {"forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False}
    if device.type == "cuda":
        arguments["device_ids"] = [device.index]
    return DistributedDataParallel(module, **arguments)


def launch(work: Callable[..., Any], devices: int, arguments: tuple[Any, ...], on_event: Callable[[Event], None]) -> Any:
    """Run `work(*arguments, on_event)` in `devices` processes of one group; `work` is importable by name and gives no tensors.

    Events and the result of the first process come back here, and so does what ended them: a ReelvecError of any process, a
    RuntimeError with the traceback of another error, a ReelvecError that tells of a process that died without a word, or the
    KeyboardInterrupt of Ctrl-C and SIGTERM, which are passed on for the processes to save the step they are in.
    """
    context = multiprocessing.get_context("spawn")
    messages: Any = context.Queue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes: list[Any] = []

    def end() -> None:
        for process in processes:
            process.terminate()

    try:
        with main_module_unseen():
            for rank in range(devices):
                process = context.Process(target=_process, args=(rank, devices, port, work, arguments, messages), daemon=False)
                process.start()
                processes.append(process)
        with StopSignals(on_ask=end) as stop:
            return _listen(dict(enumerate(processes)), messages, on_event, stop)
    except BaseException:
        end()
        raise
    finally:
        for process in processes:
            process.join(_LAST_WORDS_SECONDS)
            process.kill()
            process.join()


def _listen(silent: dict[int, Any], messages: Any, on_event: Callable[[Event], None], stop: StopSignals) -> Any:
    """Pass events on until every process has had its last word; `silent` are those that have not."""
    result: Any = None
    error: Exception | None = None
    stopped = False
    while silent:
        try:
            kind, rank, content = messages.get(timeout=1.0)
        except queue.Empty:
            dead = [process.exitcode for process in silent.values() if process.exitcode is not None]
            if dead and messages.empty():
                if stop.asked:
                    raise KeyboardInterrupt from None
                raise ReelvecError(
                    "train with several processes",
                    f"one of them ended with code {dead[0]} and no word",
                    "look for 'out of memory' in the system's log; run again to go on from the last saved step",
                ) from None
            if error:
                raise error from None
            continue
        if kind == "event":
            on_event(content)
            continue
        del silent[rank]
        if isinstance(content, ReelvecError):
            raise content
        if kind == "error":
            error = error or content  # often the loss of a partner, who is about to say what really happened
        elif kind == "stopped":
            stopped = True
        elif rank == 0:
            result = content
    if error:
        raise error
    if stopped:
        raise KeyboardInterrupt
    return result


def _process(rank: int, world: int, port: int, work: Callable[..., Any], arguments: tuple[Any, ...], messages: Any) -> None:
    """Be one of the processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which passes it on as SIGTERM
    threading.Thread(target=_stop_with_parent, args=(messages,), daemon=True).start()
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(min(torch.get_num_threads(), max(1, usable_cores() // world)))

    def say(kind: str, content: Any) -> None:
        messages.put((kind, rank, content))

    try:
        result = work(*arguments, lambda event: say("event", event) if rank == 0 else None)
        say("done", result if rank == 0 else None)
    except KeyboardInterrupt:
        say("stopped", None)
    except ReelvecError as error:
        say("error", error)
    except Exception as error:
        say("error", RuntimeError(f"in process {rank} of {world}:\n{''.join(traceback.format_exception(error))}"))
    finally:
        leave_group()


def _stop_with_parent(messages: Any) -> None:
    """Do not go on alone when the parent is killed: nobody could stop this process but by its number."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        messages.cancel_join_thread()  # nobody reads them any more
        os.kill(os.getpid(), signal.SIGTERM)
