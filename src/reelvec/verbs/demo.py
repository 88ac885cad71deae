"""`reelvec demo`: the whole line on generated videos, where what an encoder knows of motion and of scene can be told apart."""

import csv
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reelvec.core import ReelvecError, write_json
from reelvec.data.index import index
from reelvec.data.shapes import make_shapes
from reelvec.embeddings import embed, search
from reelvec.evals import evaluate
from reelvec.verbs.pretrain import pretrain

METHODS_COMPARED = ("rho_moco", "modist")
COLUMNS = ("motion knn", "motion linear", "scene knn", "scene linear")


def demo(
    out: str | os.PathLike[str] = "demo",
    *,
    seeds: int = 2,
    steps: int = 240,
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
    index(shapes / "train", out / "train.parquet")
    if not (out / "shapes.parquet").exists():  # evaluate adds the test videos to it
        shutil.copyfile(out / "train.parquet", out / "shapes.parquet")
    accuracies: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        for method in METHODS_COMPARED:
            run = out / f"{method}-seed{seed}"
            tell({"kind": "message", "text": f"{method}, seed {seed + 1} of {seeds}: {steps} steps on videos without labels"})
            pretrain(
                out / "train.parquet",
                method,
                settings=[f"steps={steps}", f"seed={seed}", f"health_every={max(1, steps // 4)}"],
                out=run,
                on_event=on_event,
            )
            measured = evaluate(
                run,
                shapes / "labels.csv",
                label_column="motion,scene",
                tasks=("knn", "linear"),
                seed=seed,
                index_file=out / "shapes.parquet",
            )
            for name, row in _by_row(measured).items():
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


def _by_row(measured: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return {row: {"motion knn": accuracy ...}} of an evaluation."""
    rows: dict[str, dict[str, float]] = {}
    for table in measured["tables"]:
        for row in table["rows"]:
            for column in ("knn", "linear"):
                rows.setdefault(row["name"], {})[f"{table['label_column']} {column}"] = row["values"][column]
    return rows


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
