"""What grows with size: the index with its rows, a worker of the loader with its samples, a step with its queue.

    python benchmarks/scale.py
    python benchmarks/scale.py --rows 10000000 --out FILE.json

- The index: rows of eight real files of 300 frames, repeated; every row has a hash and (by way of links) a path of its own.
  Each size is opened in a process of its own. "uneven" are the files with frames at a variable rate, of which every time is
  kept, in 8 bytes. "to open" is `Index.load(to_decode=True)`, "a row" is `index.row(i)` of random rows,
  "a request" is what a training plan does for a sample: order of the epoch, row, times of the clips. A worker is a process of
  ClipLoader that reads real clips with that index; its own memory is what it shares with nobody, so with more workers that
  part, and only that, is there again.
- The loader: memory of two workers over many samples of small videos, each reading two clips.
- The queue: a step of rho_moco (tiny, 8 videos) with queues of growing size.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import av
import numpy as np
import pyarrow as pa
import torch
from measuring import (
    Row,
    arguments,
    figure,
    finish,
    machine,
    memory_mib,
    moving_frames,
    one_thread,
    ratio,
    table,
    take_turns,
    write_video,
)

from reelvec.core import Batch, Clips, Needs, Progress, Stream, StreamNeed
from reelvec.data.cache import DecodedCache
from reelvec.data.index import Index, VideoRow, index
from reelvec.data.loader import ClipLoader, TrainingPlan
from reelvec.data.streams import read_clips

FILES = 8
NEEDS = Needs(streams=(StreamNeed(stream=Stream.RGB, frames=8, stride=1),), clips=2, short_side=32)
BATCH = 10


class WatchedReader:
    """Reads clips, and notes the memory of the worker that does so: every `every` reads a line in a file of its own."""

    def __init__(self, notes: Path, every: int) -> None:
        self.notes, self.every, self.reads = notes, every, 0

    def __call__(
        self, row: VideoRow, needs: Needs, start_seconds: Sequence[float], cache: DecodedCache | None = None
    ) -> dict[Stream, np.ndarray]:
        read = read_clips(row, needs, start_seconds, cache)
        self.reads += 1
        if self.reads % self.every == 0:
            with open(self.notes / f"{os.getpid()}.jsonl", "a") as file:
                file.write(json.dumps({"samples": self.reads, "own": own_mib(), "resident": memory_mib("VmRSS")}) + "\n")
        return read

    def noted(self) -> list[list[dict[str, float]]]:
        """Return the notes of each worker."""
        return [[json.loads(line) for line in file.read_text().splitlines()] for file in sorted(self.notes.glob("*.jsonl"))]


def own_mib() -> float:
    """Return MiB of this process that it shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)", lines, re.MULTILINE)) / 1024


def small_videos(folder: Path, frames: int, uneven: int = 0) -> Index:
    """Write videos, the first `uneven` of them at a variable rate, and index them.

    Each stands also at a million other paths, through folders that lead back here.
    """
    paths = [
        write_video(folder / f"{seed}.mp4", moving_frames(64, 48, frames, seed), gop=12, b_frames=0, preset="ultrafast")
        for seed in range(FILES)
    ]
    for path in paths[:uneven]:
        jitter(path)
    for name in range(1000):
        (folder / f"{name:03d}").symlink_to(folder)
    return index(paths, workers=0)


def jitter(path: Path) -> None:
    """Show every frame of a file without B frames somewhat late."""
    even, rng = path.with_suffix(".even.mp4"), np.random.default_rng(0)
    path.rename(even)
    with av.open(str(even)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.pts is not None:
                packet.pts = packet.dts = packet.pts + int(rng.integers(0, packet.duration // 2))
                packet.stream = stream
                copy.mux(packet)


def grow(small: Index, rows: int) -> Index:
    """Repeat the rows of an index; every row gets a path and a hash of its own, as in a real one."""
    folders, names = zip(*(os.path.split(path) for path in small.table.column("path").to_pylist()), strict=True)
    hashes = np.random.default_rng(0).bytes(32 * rows).hex()
    unique = {
        "path": [f"{folders[i % FILES]}/{i // 1000 % 1000:03d}/{i % 1000:03d}/{names[i % FILES]}" for i in range(rows)],
        "content_hash": [f"sha256:{hashes[64 * i : 64 * i + 64]}" for i in range(rows)],
    }
    table = small.table.take(pa.array(np.arange(rows) % FILES))
    for name, cells in unique.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(cells, pa.string()))
    return Index(table.cast(small.table.schema))


def one_index(file: Path) -> None:
    """Open an index and use it; prints JSON. Runs in a process of its own."""
    one_thread()
    before = memory_mib("VmRSS")
    began = perf_counter()
    found = Index.load(file, to_decode=True)
    opened = perf_counter() - began
    held, peak = memory_mib("VmRSS") - before, memory_mib("VmHWM") - before
    numbers = np.random.default_rng(0).integers(0, len(found), 1000).tolist()
    began = perf_counter()
    for number in numbers:
        found.row(number)
    row = (perf_counter() - began) / len(numbers)
    plan = TrainingPlan(found, NEEDS, seed=0)
    began = perf_counter()
    plan.request(0, 0)
    first = perf_counter() - began
    began = perf_counter()
    for number in numbers:
        plan.request(number, 0)
    request = (perf_counter() - began) / len(numbers)
    with tempfile.TemporaryDirectory() as notes:
        reader = WatchedReader(Path(notes), every=BATCH)
        began = perf_counter()
        with ClipLoader(found, NEEDS, plan, BATCH, workers=2, reader=reader) as loader:
            batches = loader.batches([range(i * BATCH, (i + 1) * BATCH) for i in range(8)])
            next(batches)
            until_first = perf_counter() - began
            list(batches)
        workers = [notes[-1] for notes in reader.noted()]
    print(json.dumps({
        "rows": len(found),
        "file, MiB": file.stat().st_size / 2**20,
        "to open, s": opened,
        "held, MiB": held,
        "at most while opening, MiB": peak,
        "a row, µs": row * 1e6,
        "first request, ms": first * 1e3,
        "a request, µs": request * 1e6,
        "to the first batch of 2 workers, s": until_first,
        "a worker's own, MiB": max(noted["own"] for noted in workers),
        "parent at most with workers, MiB": memory_mib("VmHWM") - before,
    }))  # fmt: skip


def measure_index(small: Index, uneven: str, rows: int, folder: Path, rounds: int) -> Row:
    file = folder / f"{rows}.parquet"
    grow(small, rows).save(file)
    command = [sys.executable, __file__, "--one-index", str(file)]
    runs = [json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout) for _ in range(rounds)]
    file.unlink()
    return {"rows": rows, "uneven": uneven} | {key: figure(run[key] for run in runs) for key in runs[0] if key != "rows"}


def measure_loader(small: Index, samples: int) -> list[Row]:
    """Return a line for each stage: the memory of both workers."""
    every = max(samples // 10, 1)
    plan = TrainingPlan(small, NEEDS, seed=0)
    with tempfile.TemporaryDirectory() as notes:
        reader = WatchedReader(Path(notes), every)
        with ClipLoader(small, NEEDS, plan, BATCH, workers=2, reader=reader) as loader:
            for batch in loader.batches(range(i, i + BATCH) for i in range(0, 2 * samples + 4 * BATCH, BATCH)):
                del batch
        workers = [{noted["samples"]: noted["own"] for noted in notes} for notes in reader.noted()]
    stages = [stage for stage in sorted(set.intersection(*map(set, workers))) if stage <= samples]
    return [{"samples of each worker": stage, "own memory, MiB": figure(noted[stage] for noted in workers)} for stage in stages]


def measure_queue(sizes: Sequence[int], rounds: int) -> list[Row]:
    from reelvec.engine.config import RunConfig, merge, parse_settings, read_yaml
    from reelvec.methods import METHODS
    from reelvec.verbs.pretrain import build_method, recipe_path

    videos = 8
    frames = torch.randint(0, 256, (videos, 2, 3, 8, 72, 72), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clips = Clips(frames, torch.tensor([[72, 72]] * videos))
    batch = Batch({Stream.RGB: clips}, torch.arange(videos), torch.arange(videos), torch.zeros(videos, 2), torch.ones(videos))
    at = Progress(step=0, total=1000, epoch=0.0, seed=0)

    def step_of(queue: int) -> Any:
        recipe = read_yaml(recipe_path("rho_moco-cpu"))
        content = merge(recipe, parse_settings([f"queue={queue}", "dim=128"]), METHODS["rho_moco"].Config)
        method = build_method(RunConfig.model_validate(content)).train()
        optimiser = torch.optim.AdamW((p for p in method.parameters() if p.requires_grad), lr=1e-3)

        def step() -> None:
            optimiser.zero_grad()
            method.step(batch, at)["loss"].backward()
            optimiser.step()
            method.after_step(at)

        return step

    seconds = take_turns({str(size): step_of(size) for size in sizes}, rounds)
    first = seconds[str(sizes[0])]
    return [
        {"queue": size, "step, ms": figure(1000 * s for s in taken), "over the first": ratio(taken, first)}
        for size, taken in zip(sizes, seconds.values(), strict=True)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, help="rows of the largest index (default: 1000000)")
    parser.add_argument("--samples", type=int, help="samples of each worker (default: 10000)")
    parser.add_argument("--one-index", type=Path, help="what this script calls itself for")
    given = parser.parse_args(argv)
    if given.one_index:
        return one_index(given.one_index)
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.rows = given.rows or (1000 if given.quick else 1_000_000)
    given.samples = given.samples or (50 if given.quick else 10_000)
    one_thread()
    described = machine("reelvec", "pyarrow", "torch", "numpy")
    sizes = [10**power for power in range(2, 9) if 10**power <= given.rows]
    queues = (1000, 10_000) if given.quick else (1000, 10_000, 50_000, 100_000, 200_000)
    with tempfile.TemporaryDirectory() as folder:
        frames = 30 if given.quick else 300
        small, with_uneven = (small_videos(Path(folder, str(uneven)), frames, uneven) for uneven in (0, 1))
        indexes = [measure_index(small, "none", rows, Path(folder), given.rounds) for rows in sizes]
        indexes.append(measure_index(with_uneven, f"1 in {FILES}", sizes[-1], Path(folder), given.rounds))
        loader = measure_loader(small, given.samples)
    tables = [
        table("The index by its rows", f"{frames} frames a row; median and range of runs.", indexes),
        table("Memory of the loader's workers", "Of two workers: their mean, lowest and highest; videos of 64x48.", loader),
        table(
            "A step by the size of its queue",
            "rho_moco, tiny, 8 videos, keys of 128 numbers, one core.",
            measure_queue(queues, 3 * given.rounds),
        ),
    ]
    finish("scale", given, described, tables)


if __name__ == "__main__":
    main()
