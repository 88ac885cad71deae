"""Several processes: started here (`--devices N`) or by torchrun; one process needs none of this."""

import os
import queue
import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing

from reelvec.core import ReelvecError

Event = dict[str, Any]


def join_group(device: str) -> None:
    """Join the processes that torchrun or `launch` started, if any did."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")


def leave_group() -> None:
    """Leave the group of processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def choose_device(name: str) -> torch.device:
    """Turn "auto", "cpu", "cuda", "cuda:1" into a device of this process; ReelvecError if it is not there."""
    gpus = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    if name == "cuda":
        name = f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ReelvecError(f"compute on '{name}'", "no such kind of device", "use device=auto, cpu, cuda or cuda:1") from None
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise ReelvecError(f"compute on {name}", f"{gpus} CUDA devices", "use device=cpu or fewer --devices")
    return device


def launch(work: Callable[..., Any], devices: int, arguments: tuple[Any, ...], on_event: Callable[[Event], None]) -> Any:
    """Run `work(*arguments, on_event)` in `devices` processes of one group.

    Events and the result of the first process come back here, and so does the first error.
    """
    context = multiprocessing.get_context("spawn")
    messages: Any = context.Queue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        context.Process(target=_process, args=(rank, devices, port, work, arguments, messages), daemon=False)
        for rank in range(devices)
    ]
    for process in processes:
        process.start()
    try:
        return _listen(processes, messages, on_event)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
            process.join()


def _listen(processes: list[Any], messages: Any, on_event: Callable[[Event], None]) -> Any:
    running = len(processes)
    result = None
    while running:
        try:
            kind, content = messages.get(timeout=1.0)
        except queue.Empty:
            dead = [p for p in processes if p.exitcode not in (None, 0)]
            if dead and messages.empty():
                raise ReelvecError(
                    "train with several processes",
                    f"one of them ended with code {dead[0].exitcode} and no word",
                    "look for 'out of memory' in the system's log; run again to go on from the last saved step",
                ) from None
            continue
        if kind == "event":
            on_event(content)
        elif kind == "error":
            raise content
        else:
            running -= 1
            result = content if content is not None else result
    return result


def _process(rank: int, world: int, port: int, work: Callable[..., Any], arguments: tuple[Any, ...], messages: Any) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // world))
    try:
        result = work(*arguments, lambda event: messages.put(("event", event)) if rank == 0 else None)
        messages.put(("done", result if rank == 0 else None))
    except KeyboardInterrupt:
        pass
    except ReelvecError as error:
        messages.put(("error", error))
    except Exception as error:
        messages.put(("error", RuntimeError(f"process {rank}: {type(error).__name__}: {error}")))
        raise
    finally:
        leave_group()
