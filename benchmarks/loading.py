"""The loader of a training run: clips a second by workers, beside peers in torch's loader, and whether memory grows.

    python benchmarks/loading.py                     files that it writes itself
    python benchmarks/loading.py --out FILE.json     keeps the result

A sample is 2 clips of 8 frames, 4 apart, of one file, as in `reading.py`, at times drawn as in training; 8 videos to a batch.
A batch is dropped when the next one comes, as a training step does: whoever keeps them all pays for fresh memory every time.

- no worker: the loader reads in the process that asks.
- 1, 2 workers: processes of their own. With as many workers as cores, the process that asks has none for itself.
- beside the peers: the readers of `reading.py` in torch's DataLoader, with two workers that stay and read two batches ahead;
  they are given what frames to read, worked out before, and keep freed memory as our workers do. "yuv" is `pictures=yuv`:
  planes, which become RGB with the crop.
- memory: resident memory of a worker, less what it shares, after so many samples.
"""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lent_ffmpeg import lend_ffmpeg
from measuring import Row, arguments, finish, machine, moving_frames, one_thread, rate, ratio, table, take_turns, write_video
from reading import OURS, PEERS, Readers, Request, contenders, fastest_of, needs_of, requests_of
from torch.utils.data import DataLoader, Dataset

from reelvec.data.index import Index, index
from reelvec.data.loader import ClipLoader, TrainingPlan
from reelvec.verbs.prepare import prepare

BATCH = 8


def measure_workers(name: str, videos: Index, samples: int, rounds: int) -> Row:
    """Return a line: clips a second of the loader with none, one and two worker processes."""
    needs = needs_of()
    plan = TrainingPlan(videos, needs, seed=0)
    numbers = [range(first, first + BATCH) for first in range(0, samples, BATCH)]
    names = {0: "no worker", 1: "1 worker", 2: "2 workers"}
    with ExitStack() as stack:
        loaders = {
            word: stack.enter_context(ClipLoader(videos, needs, plan, BATCH, workers=workers))
            for workers, word in names.items()
        }
        work = {word: partial(lambda loader: deque(loader.batches(numbers), maxlen=0), one) for word, one in loaders.items()}
        seconds = take_turns(work, rounds)
    return {
        "files": name,
        **{who: rate(samples * needs.clips, taken) for who, taken in seconds.items()},
        "2 workers over 1": ratio(seconds["1 worker"], seconds["2 workers"]),
    }


class PeerClips(Dataset[torch.Tensor]):
    """Clips of each request, read by a peer."""

    def __init__(self, requests: Sequence[Request], read: Callable[[Request], Any]) -> None:
        self.requests, self.read = requests, read

    def __len__(self) -> int:
        return len(self.requests)

    def __getitem__(self, number: int) -> torch.Tensor:
        return torch.from_numpy(self.read(self.requests[number]))


def measure_beside_peers(name: str, videos: Index, samples: int, rounds: int, readers: Readers) -> Row:
    """Return a line: clips a second of our loader and of torch's with each peer, two workers each."""
    needs = needs_of()
    numbers = [range(first, first + BATCH) for first in range(0, samples, BATCH)]
    requests = requests_of(videos, needs, samples)
    with ExitStack() as stack:
        work: dict[str, Callable[[], Any]] = {}
        for word, ours in (("reelvec", needs), ("reelvec yuv", needs.in_planes())):
            loader = stack.enter_context(ClipLoader(videos, ours, TrainingPlan(videos, ours, seed=0), BATCH, workers=2))
            work[word] = partial(lambda loader: deque(loader.batches(numbers), maxlen=0), loader)
        peers = [who for who in readers if who not in OURS]
        for who in peers:
            theirs = DataLoader(
                PeerClips(requests, readers[who]), BATCH, num_workers=2, persistent_workers=True, multiprocessing_context="fork"
            )
            work[who] = partial(lambda loader: deque(loader, maxlen=0), theirs)
        seconds = take_turns(work, rounds)
    fastest = fastest_of(peers, seconds)
    return {
        "files": name,
        **{who: rate(samples * needs.clips, taken) for who, taken in seconds.items()},
        "reelvec over the fastest peer": ratio(seconds[fastest], seconds["reelvec"]) if fastest else None,
        "yuv over the fastest peer": ratio(seconds[fastest], seconds["reelvec yuv"]) if fastest else None,
        "fastest peer": fastest,
    }


def measure_memory(videos: Index, samples: int, marks: int) -> list[Row]:
    """Return lines: memory of one worker that has read more and more samples."""
    needs = needs_of()
    rows: list[Row] = []
    with ClipLoader(videos, needs, TrainingPlan(videos, needs, seed=0), BATCH, workers=1) as loader:
        numbers = [range(first, first + BATCH) for first in range(0, samples, BATCH)]
        for done, _ in enumerate(loader.batches(numbers), 1):
            if done % max(len(numbers) // marks, 1) == 0:
                rows.append({"samples": done * BATCH, "MiB of the worker's own": max(map(own_mebibytes, children()))})
    return rows


def children() -> list[int]:
    """Return the processes that this one has started, and theirs."""
    found, waiting = [], [os.getpid()]
    while waiting:
        process = waiting.pop()
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            started = [int(word) for word in task.read_text().split()]
            found += started
            waiting += started
    return found


def own_mebibytes(process: int) -> float:
    """Return the resident memory of a process that it shares with no file and nobody."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:  # it has just ended
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), 0.0)


def main(argv: Sequence[str] | None = None) -> None:
    given = arguments(__doc__).parse_args(argv)
    given.rounds = given.rounds or (2 if given.quick else 5)
    one_thread()
    described = machine("reelvec", "av", "torch", *dict.fromkeys(PEERS.values()))
    readers, left_out = contenders()
    frames, height = (40, 180) if given.quick else (300, 720)
    width = height * 16 // 9 // 2 * 2
    with tempfile.TemporaryDirectory() as folder:
        effort = {"preset": "ultrafast"} if given.quick else {}
        files = [
            write_video(Path(folder) / f"{seed}.mp4", moving_frames(width, height, frames, seed), 48, **effort)
            for seed in range(2 if given.quick else 4)
        ]
        prepared = Index.load(prepare(files, Path(folder) / "prepared", workers=0)["index"])
        raw = index(files, workers=0)
        name = f"{height}p, GOP 48"
        kinds = [(name, raw, BATCH * 2 if given.quick else 64), ("prepared", prepared, BATCH * 2 if given.quick else 512)]
        workers = [measure_workers(*kind, given.rounds) for kind in kinds]
        beside = [measure_beside_peers(*kind, given.rounds, readers) for kind in kinds]
        memory = measure_memory(prepared, 64 if given.quick else 10_240, 2 if given.quick else 8)
    note = f"Clips a second on {described['cores']} cores, in batches of {BATCH} videos."
    tables = [
        table("By workers", note, workers),
        table("Beside the peers", f"{note} Two workers each; the peers' in torch's DataLoader.", beside),
        table("Memory of a worker", "One worker on prepared files; anonymous resident memory (Linux).", memory),
    ]
    finish("loading", given, described, tables, left_out)


if __name__ == "__main__":
    lend_ffmpeg()
    main()
