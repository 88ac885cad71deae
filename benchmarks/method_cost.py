"""What a training step of each method costs beside rho_moco's: time and memory, all in one run on one machine.

    python benchmarks/method_cost.py                 prints a table
    python benchmarks/method_cost.py --store         and keeps it for `reelvec methods`

Every method takes its CPU recipe, 32 videos a step, on clips of generated videos that are decoded beforehand: views, networks,
loss, backward pass and optimiser count. Reading (decoding, key frames, vectors, flow by DIS) is timed apart, without a cache;
a second ratio has it in. Each runs in a process of its own with one thread; methods take
turns over the repeats, so that a machine that slows down slows all of them. Memory is what the process had at its peak over
what it had before the first step.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

BATCH, STEPS, REPEATS = 32, 5, 2


def one(name: str, index_file: str) -> None:
    """Time some steps of a method; prints JSON. Runs in a process of its own."""
    import torch

    from reelvec.core import Progress
    from reelvec.data.index import Index
    from reelvec.data.loader import ClipLoader, TrainingPlan
    from reelvec.engine.config import RunConfig, merge, parse_settings, read_yaml
    from reelvec.engine.optimisers import build_optimiser
    from reelvec.methods import METHODS
    from reelvec.verbs.pretrain import build_method, recipe_path

    torch.set_num_threads(1)
    content = merge(read_yaml(recipe_path(f"{name}-cpu")), parse_settings([f"batch={BATCH}"]), METHODS[name].Config)
    config = RunConfig.model_validate(content)
    method = build_method(config).train()
    found = Index.load(index_file)
    with ClipLoader(found, method.needs(), TrainingPlan(found, method.needs(), 0), BATCH) as loader:
        began = perf_counter()
        batches = list(loader.batches([range(i * BATCH, (i + 1) * BATCH) for i in range(STEPS)]))
        reading = (perf_counter() - began) / STEPS
    optimiser = build_optimiser(method, config.optimiser)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak that decoding had
    before, seconds = memory("VmRSS"), []
    for step, batch in enumerate(batches):
        began, at = perf_counter(), Progress(step, STEPS, 0.0, 0)
        optimiser.zero_grad()
        method.step(batch, at)["loss"].backward()
        optimiser.step()
        method.after_step(at)
        seconds.append(perf_counter() - began)
    times = {"milliseconds": 1000 * median(seconds[1:]), "reading_milliseconds": 1000 * reading}
    print(json.dumps({**times, "mebibytes": memory("VmHWM") - before}))


def memory(which: str) -> float:
    """MiB of this process, now (VmRSS) or at its peak (VmHWM); Linux."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) / 1024


def main() -> None:
    from reelvec.data.index import index
    from reelvec.data.shapes import make_shapes
    from reelvec.methods import METHODS
    from reelvec.verbs.methods_table import COST_FILE

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="store_true", help="keep the result for `reelvec methods`")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "INDEX"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return one(*arguments.one)
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        videos = make_shapes(Path(folder) / "shapes", videos=BATCH * STEPS, split="train", truth=False)
        index(videos / "train", Path(folder) / "index.parquet")
        for _ in range(REPEATS):
            for name in METHODS:
                command = [sys.executable, __file__, "--one", name, str(Path(folder) / "index.parquet")]
                measured[name].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    rows = {name: {key: median(run[key] for run in runs) for key in runs[0]} for name, runs in measured.items()}
    step, reading = (rows["rho_moco"][key] for key in ("milliseconds", "reading_milliseconds"))
    print(f"{'method':<12} {'ms a step':>10} {'x rho_moco':>11} {'ms reading':>11} {'x with it':>10} {'MiB':>7}")
    for name, row in rows.items():
        row["relative"] = row["milliseconds"] / step
        row["relative_with_reading"] = (row["milliseconds"] + row["reading_milliseconds"]) / (step + reading)
        print(f"{name:<12} {row['milliseconds']:>10.0f} {row['relative']:>11.2f} {row['reading_milliseconds']:>11.0f} "
              f"{row['relative_with_reading']:>10.2f} {row['mebibytes']:>7.0f}")  # fmt: skip
    if arguments.store:
        content = {
            "batch": BATCH,
            "processor": platform.processor() or platform.machine(),
            "versions": {name: version(name) for name in ("torch", "reelvec")},
            "methods": {name: {key: round(value, 3) for key, value in row.items()} for name, row in rows.items()},
        }
        COST_FILE.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
