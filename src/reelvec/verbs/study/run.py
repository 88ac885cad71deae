"""Running a study: every arm with every seed, several at a time, one thread each; what is done is not done again."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from reelvec.core import ReelvecError, write_json
from reelvec.core.machine import usable_cores
from reelvec.core.spawning import main_module_unseen
from reelvec.data.index import index
from reelvec.data.shapes import make_shapes
from reelvec.engine.config import merge, parse_settings, read_yaml
from reelvec.evals import evaluate
from reelvec.methods import METHODS
from reelvec.verbs.pretrain import pretrain, recipe_path
from reelvec.verbs.study.picture import draw_result
from reelvec.verbs.study.plan import Budget, Study, find_study, list_studies
from reelvec.verbs.study.verdict import judge, paired_difference

FIRST_SEED = 1000
"""data, first weights and draws of a study's n-th seed come from FIRST_SEED + n: tuning is done below"""


def run_study(
    name: str,
    *,
    seeds: int = 3,
    budget: str = "cpu",
    data: str | os.PathLike[str] | None = None,
    work: str | os.PathLike[str] = "runs/studies",
    out: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train every arm with every seed, measure, compare pairs of arms seed by seed, and say which claims hold.

    Args:
        name: a study's name, or the path of its file.
        seeds: how often; each has a generated set, first weights and draws of its own, the same for all arms.
        budget: "cpu" or "gpu".
        data: a folder of real videos with train/CLASS/ and test/CLASS/ instead of the generated sets; claims about
            motion are then judged on its classes.
        work: folder of data and runs; what is finished there is used again.
        out: folder of the JSON and the picture; None: studies/results in a checkout, else `work`.
        workers: arms trained at a time; None: one a core, or one on a GPU.

    Returns what is written as NAME-BUDGET.json. Raises ReelvecError for an unknown study, budget or data.
    """
    study = find_study(name)
    if budget not in study.budgets:
        raise ReelvecError(f"run {name} with --budget {budget}", f"budgets {', '.join(study.budgets)}", "choose one of these")
    if seeds < 2:
        raise ReelvecError(f"run {name} with seeds={seeds}", "no interval without a second seed", "use --seeds 3 or more")
    tell, began, work = on_event or (lambda event: None), perf_counter(), Path(work)
    spent = study.budgets[budget]
    label = Path(name).stem + (f"-{Path(data).name}" if data else "") + f"-{budget}"
    sets = [_real(Path(data), work) if data else _generated(study, spent, FIRST_SEED + n, work, tell) for n in range(seeds)]
    tasks = [(arm, n) for n in range(seeds) for arm in study.arms]
    numbers: dict[str, list[dict[str, float]]] = {arm: [{} for _ in range(seeds)] for arm in study.arms}
    at_once = workers or (1 if torch.cuda.is_available() else usable_cores())
    with main_module_unseen(), ProcessPoolExecutor(at_once, get_context("spawn")) as pool:
        running = {
            pool.submit(_one, name, budget, arm, FIRST_SEED + n, str(sets[n]), str(work / label), bool(data)): (arm, n)
            for arm, n in tasks
        }
        for done, future in enumerate(as_completed(running), 1):
            arm, n = running[future]
            numbers[arm][n] = future.result()
            shown = ", ".join(f"{key} {value:.1%}" for key, value in numbers[arm][n].items() if "linear" in key)
            tell({"kind": "message", "text": f"{done} of {len(tasks)}: {arm}, seed {n + 1}: {shown}"})
    result = {
        "study": Path(name).stem, "budget": budget, "data": Path(data).name if data else _set_words(study, spent),
        "question": study.question, "source": study.source, "seeds": seeds, "samples": spent.samples,
        "arms": {key: {"method": arm.method, "settings": [*spent.settings, *arm.settings], "encoder": arm.encoder,
                       "numbers": numbers[key]} for key, arm in study.arms.items()},
        "claims": _judged(study, numbers, bool(data)),
        "seconds": round(perf_counter() - began, 1), "versions": {"torch": str(torch.__version__)}, "cores": usable_cores(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }  # fmt: skip
    folder = Path(out) if out is not None else _results_folder(name, work)
    write_json(folder / f"{label}.json", result)
    draw_result(result, folder / f"{label}.png")
    result["file"] = str(folder / f"{label}.json")
    return result


def _results_folder(name: str, work: Path) -> Path:
    """Keep results of the project's own studies beside them, where that is a checkout that can be written to."""
    known = list_studies().get(name)
    beside = known.parent / "results" if known is not None else work
    return beside if beside.is_dir() and os.access(beside, os.W_OK) else work


def _set_words(study: Study, budget: Budget) -> str:
    camera = "moving" if study.camera else "still"
    return f"generated, {camera} camera, {budget.train_videos} / {budget.test_videos} videos"


def _generated(study: Study, budget: Budget, seed: int, work: Path, tell: Callable[[dict[str, Any]], None]) -> Path:
    """Make the set of one seed, or find it; all studies with such a set share it."""
    camera = "-camera" if study.camera else ""
    folder = work / "sets" / f"shapes{camera}-{budget.train_videos}-{budget.test_videos}-seed{seed}"
    tell({"kind": "message", "text": f"videos of seed {seed} in {folder}"})
    videos = (budget.train_videos, budget.test_videos)
    make_shapes(folder, videos=videos, seed=seed, camera=study.camera, workers=usable_cores())
    _index(folder / "train", folder)
    return folder


def _real(data: Path, work: Path) -> Path:
    """Refuse a folder without train/ and test/, and index it once."""
    if not all((data / side).is_dir() for side in ("train", "test")):
        raise ReelvecError(
            f"run a study on {data}", "no train/ and test/ in it", "give a folder with train/CLASS/, test/CLASS/"
        )
    (work / "sets").mkdir(parents=True, exist_ok=True)
    _index(data / "train", work / "sets" / data.name)
    return data


def _index(train: Path, beside: Path) -> None:
    """Index the training videos in one file, and begin with its rows another that `evaluate` adds the test videos to."""
    training, everything = (beside.with_name(f"{beside.name}-{which}.parquet") for which in ("train", "all"))
    index(train, training)
    if not everything.exists():
        shutil.copyfile(training, everything)


def _one(name: str, budget: str, arm_name: str, seed: int, videos: str, work: str, real: bool) -> dict[str, float]:
    """Train and measure one arm with one seed, in a process of its own."""
    torch.set_num_threads(1)
    study = find_study(name)
    arm, spent = study.arms[arm_name], study.budgets[budget]
    run, folder = Path(work) / f"{arm_name.replace(' ', '_')}-seed{seed}", Path(videos)
    kept = run / "study.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    indexed = Path(work).parent / "sets" / folder.name
    settings, recipe = [*spent.settings, *arm.settings], f"{arm.method}-cpu"
    batch = merge(read_yaml(recipe_path(recipe)), parse_settings(settings), METHODS[arm.method].Config)["batch"]
    steps = max(1, round(spent.samples * arm.share / batch))
    pretrain(
        indexed.with_name(f"{indexed.name}-train.parquet"), arm.method, recipe=recipe, out=run,
        settings=[*settings, f"steps={steps}", f"seed={seed}", "workers=0"],
    )  # fmt: skip
    everything = _own_copy(indexed.with_name(f"{indexed.name}-all.parquet"), run)
    labels: dict[str, Any] = {"labels": folder} if real else {"labels": folder / "labels.csv", "label_column": "motion,scene"}
    measured = evaluate(run, tasks=("knn", "linear"), encoders=(arm.encoder,), seed=seed, index_file=everything, **labels)
    row_name = f"untrained {arm.encoder}" if arm.share == 0 else arm.encoder  # evaluate always measures both
    numbers = {
        f"{table['label_column']} {task}": float(row["values"][task])
        for table in measured["tables"] for row in table["rows"] if row["name"] == row_name for task in ("knn", "linear")
    }  # fmt: skip
    if study.measure is not None and not real:
        numbers |= study.measure(run, folder, arm)
    write_json(kept, numbers)
    return numbers


def _own_copy(indexed: Path, run: Path) -> Path:
    """Copy an index file, since several processes would add the test videos to it at once."""
    copy = run / "all.parquet"
    shutil.copyfile(indexed, copy)
    return copy


def _judged(study: Study, numbers: dict[str, list[dict[str, float]]], real: bool) -> list[dict[str, Any]]:
    """Compare pairs of arms; on real videos, claims about motion on its classes and no other."""
    judged = []
    for claim in study.claims:
        if real and not claim.measure.startswith("motion "):
            continue
        measure = claim.measure.replace("motion ", "class ") if real else claim.measure
        ours, theirs = ([seed[measure] for seed in numbers[arm]] for arm in (claim.arm, claim.than))
        difference = paired_difference(ours, theirs)
        judged.append({
            **asdict(claim), "measure": measure, "ours": ours, "theirs": theirs, "difference": difference.mean,
            "low": difference.low, "high": difference.high, "verdict": judge(difference, claim.lower),
        })  # fmt: skip
    return judged
