"""`reelvec demo`: the whole line on generated videos, where what an encoder knows of motion and of scene can be told apart."""

import csv
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from reelvec.core import ReelvecError, write_json
from reelvec.core.machine import usable_cores
from reelvec.core.spawning import process_pool
from reelvec.data.shapes import make_shapes
from reelvec.embeddings import embed, search
from reelvec.evals import evaluate
from reelvec.verbs.measured import by_row
from reelvec.verbs.pretrain import pretrain
from reelvec.verbs.sides import index_sides
from reelvec.verbs.study import COLUMNS

METHODS_COMPARED = ("rho_moco", "modist")


def demo(
    out: str | os.PathLike[str] = "demo",
    *,
    seeds: int = 2,
    steps: int = 300,
    train: int = 512,
    test: int = 256,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Make videos, train rho_moco and modist for equally many steps, compare what they know of motion and of scene, search.

    Every seed makes other first weights and other draws; the videos stay. Nothing is stored in advance: a number in the
    result was computed by this call, or by an earlier one in the same folder that it goes on from. Returns {"rows": [{"name",
    "motion knn", "motion linear", "scene knn", "scene linear"}, ...], "search", "sheet", ...}, accuracies being lists over the
    seeds.
    """
    if seeds < 1:
        raise ReelvecError(f"run the demo with seeds={seeds}", "no run at all", "use seeds=1 or more")
    tell = on_event or (lambda event: None)
    out, began = Path(out), time.perf_counter()
    tell({"kind": "message", "text": f"making {train + test} videos in {out / 'shapes'}: 8 motions x 8 scenes, independent"})
    shapes = make_shapes(out / "shapes", videos=(train, test), seed=0, truth=False, workers=os.cpu_count() or 1)
    index_sides(shapes, out / "train.parquet", out / "shapes.parquet")
    accuracies: dict[str, list[dict[str, float]]] = {}
    for (method, seed), measured in _train_and_measure(out, shapes, seeds, steps, tell).items():
        for name, row in by_row(measured).items():
            if name in ("visual", "motion"):
                accuracies.setdefault(method if name == "visual" else f"{method}'s motion pathway", []).append(row)
            elif method == METHODS_COMPARED[0] and (name != "chance" or seed == 0):
                accuracies.setdefault(name.replace("untrained visual", "untrained"), []).append(row)
    order = ["chance", "raw pixels", "colour histogram", "untrained", "rho_moco", "modist", "modist's motion pathway"]
    rows = [
        {"name": name, **{column: [seed[column] for seed in accuracies[name]] for column in COLUMNS}}
        for name in order
        if name in accuracies
    ]
    sheet, neighbours = _search(out, shapes)
    result = {
        "measure": "accuracy of kNN (k = 20, cosine) and of a linear probe, on test videos with unseen textures",
        "videos": {"train": train, "test": test}, "steps": steps, "seeds": seeds, "rows": rows,
        "search": neighbours, "sheet": str(sheet), "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip
    write_json(out / "demo.json", result)
    return result


def _train_and_measure(
    out: Path, shapes: Path, seeds: int, steps: int, tell: Callable[[dict[str, Any]], None]
) -> dict[tuple[str, int], dict[str, Any]]:
    """Train and evaluate every method with every seed; on a CPU two at a time, which is faster than one with all cores.

    Of runs side by side the last method's are shown live.
    """
    tasks = [(method, seed) for seed in range(seeds) for method in METHODS_COMPARED]
    at_once = 1 if torch.cuda.is_available() else min(len(METHODS_COMPARED), usable_cores())
    events = get_context("spawn").Queue()
    with process_pool(at_once, _show_on, events) as pool:
        running = {
            pool.submit(_one, method, seed, str(out), str(shapes), steps, usable_cores() // at_once): (method, seed)
            for method, seed in tasks
        }
        runs = f"{seeds} runs of {steps} steps each, {at_once} at a time"
        tell({"kind": "message", "text": f"{', '.join(METHODS_COMPARED)}: {runs}"})
        unfinished: set[Future[dict[str, Any]]] = set(running)
        while unfinished:
            finished, unfinished = wait(unfinished, timeout=0.2, return_when=FIRST_COMPLETED)
            while not events.empty():
                tell(events.get())
            for future in finished:
                future.result()  # an error in a run ends the demo
                tell({"kind": "message", "text": "{}, seed {}: trained and measured".format(*running[future])})
    measured = {running[future]: future.result() for future in running}
    return {task: measured[task] for task in tasks}


_events: Any = None
"""in a process of the pool: where events go that are shown"""


def _show_on(events: Any) -> None:
    global _events
    _events = events
    events.cancel_join_thread()  # a process that ends does not wait for somebody to read what is left


def _one(method: str, seed: int, out: str, shapes: str, steps: int, threads: int) -> dict[str, Any]:
    """Train and evaluate in a process of its own."""
    torch.set_num_threads(threads)
    run = Path(out) / f"{method}-seed{seed}"
    shown = _events.put if method == METHODS_COMPARED[-1] else None
    pretrain(Path(out) / "train.parquet", method, settings=[f"steps={steps}", f"seed={seed}"], out=run, on_event=shown)
    return evaluate(
        run,
        Path(shapes) / "labels.csv",
        label_column="motion,scene",
        tasks=("knn", "linear"),
        seed=seed,
        index_file=Path(out) / "shapes.parquet",
    )


def _search(out: Path, shapes: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Embed the test videos by the motion pathway of modist's first run, and look for neighbours of the first one."""
    run, sheet = out / "modist-seed0", out / "search.png"
    table = out / "test-motion.parquet"
    embed(run, shapes / "test", table, encoder="motion")
    query = sorted((shapes / "test").glob("*.mp4"))[0]
    found = search(query, table, top=5, sheet=sheet)
    with (shapes / "labels.csv").open() as file:
        labels = {str((shapes / row["path"]).resolve()): (row["motion"], row["scene"]) for row in csv.DictReader(file)}
    named = [{"path": str(query), "motion": labels[str(query.resolve())][0], "scene": labels[str(query.resolve())][1]}]
    for row in found:
        motion, scene = labels[str(Path(row["path"]).resolve())]
        named.append({"path": row["path"], "similarity": row["similarity"], "motion": motion, "scene": scene})
    return sheet, named
