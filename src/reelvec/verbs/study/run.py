"""Running a study: every arm with every seed, several at a time, one thread each; what is done is not done again."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import yaml

from reelvec.backbones import load_encoder
from reelvec.core import ReelvecError, write_json
from reelvec.core.machine import usable_cores
from reelvec.core.spawning import process_pool
from reelvec.data.index import Index
from reelvec.data.shapes import make_shapes
from reelvec.engine.config import merge, parse_settings, read_yaml, validate
from reelvec.evals import Linear, evaluate
from reelvec.evals.features import untrained_encoder
from reelvec.methods import METHODS
from reelvec.verbs.measured import by_row
from reelvec.verbs.pretrain import pretrain, recipe_path
from reelvec.verbs.sides import index_sides
from reelvec.verbs.study.picture import draw_result
from reelvec.verbs.study.plan import UNTRAINED, Arm, Budget, Study, find_study, study_file
from reelvec.verbs.study.pretext import unseen_numbers
from reelvec.verbs.study.verdict import judge, paired_difference

FEWEST_SEEDS = 3
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
    settings: Sequence[str] = (),
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
        out: folder of the JSON and the picture; None: `work`.
        workers: arms trained at a time; None: one a core, or one on a GPU.
        settings: key=value words for every arm, such as fit=square where videos differ in shape; an arm's own come after.

    Returns what is written as NAME-BUDGET.json. Raises ReelvecError for an unknown study, budget or data.
    """
    study = find_study(name)
    if budget not in study.budgets:
        raise ReelvecError(f"run {name} with --budget {budget}", f"budgets {', '.join(study.budgets)}", "choose one of these")
    if seeds < FEWEST_SEEDS:
        raise ReelvecError(f"run {name} with seeds={seeds}", "too few for an interval", f"use --seeds {FEWEST_SEEDS} or more")
    if workers is not None and workers < 1:
        raise ReelvecError(f"run {name} with workers={workers}", "nobody to work", "use workers=1 or more")
    tell, work, spent = on_event or (lambda event: None), Path(work), study.budgets[budget]
    contents = {arm_name: run_content(name, arm, spent, settings) for arm_name, arm in study.arms.items()}
    label = Path(name).stem + (f"-{Path(data).name}" if data else "") + f"-{budget}"
    if data:
        sets = [_real(Path(data), work)] * seeds
    else:
        sets = [_generated(study, spent, FIRST_SEED + n, work, tell) for n in range(seeds)]
    fingerprints = {videos: _fingerprint(videos, work) for videos in sets}
    digest = hashlib.sha256(study_file(name).read_bytes()).hexdigest() if study.measure else ""
    at_once = workers or (1 if torch.cuda.is_available() else usable_cores())
    done: dict[str, list[dict[str, Any]]] = {arm: [{} for _ in range(seeds)] for arm in study.arms}
    with process_pool(at_once) as pool:
        running = {}
        for n, arm in product(range(seeds), study.arms):
            content = {**contents[arm], "seed": FIRST_SEED + n}
            key = {"run": content, "encoder": study.arms[arm].encoder, "videos": fingerprints[sets[n]], "file": digest}
            key |= {"probe": Linear().protocol} | ({"pretext": study.pretext} if study.pretext else {})
            future = pool.submit(_one, name, arm, key, str(sets[n]), str(work), bool(data))
            running[future] = (arm, n)
        for number, future in enumerate(as_completed(running), 1):
            arm, n = running[future]
            done[arm][n] = _result_of(future, arm, n)
            shown = ", ".join(f"{key} {value:.1%}" for key, value in done[arm][n]["numbers"].items() if key.endswith("linear"))
            tell({"kind": "message", "text": f"{number} of {len(running)}: {arm}, seed {n + 1}: {shown}"})
    each = [run for runs in done.values() for run in runs]
    result = {
        "study": Path(name).stem, "budget": budget, "data": Path(data).name if data else _set_words(study, spent),
        "question": study.question, "note": study.note, "source": study.source, "seeds": seeds, "samples": spent.samples,
        "command": " ".join([f"reelvec study {Path(name).stem} --seeds {seeds} --budget {budget}",
                             *([f"data={Path(data).name}"] if data else []), *settings]),
        "probe": Linear().protocol.replace("seed 0", "by the study's seed"),
        "arms": {name: {"method": arm.method, "settings": [*spent.settings, *settings, *arm.settings],
                        "encoder": arm.encoder,
                        "steps": contents[name]["steps"], "batch": contents[name]["batch"],
                        "numbers": [run["numbers"] for run in done[name]],
                        "untrained": [run["untrained"] for run in done[name]]} for name, arm in study.arms.items()},
        "claims": _judged(study, done, bool(data)),
        "seconds": round(sum(run["seconds"] for run in each), 1),
        "machines": sorted({f"{run['device']}, torch {run['torch']}" for run in each}),
    }  # fmt: skip
    folder = Path(out) if out is not None else work
    write_json(folder / f"{label}.json", result)
    draw_result(result, folder / f"{label}.png")
    result["file"] = str(folder / f"{label}.json")
    return result


def run_content(name: str, arm: Arm, spent: Budget, given: Sequence[str] = ()) -> dict[str, Any]:
    """Lay the budget's settings, those given and the arm's own over its method's CPU recipe.

    Raises ReelvecError for a method or a setting that does not exist.
    """
    if arm.method not in METHODS:
        raise ReelvecError(f"run {name}", f"an arm of the method '{arm.method}'", f"name one of {', '.join(METHODS)}")
    kind, recipe = METHODS[arm.method].Config, f"{arm.method}-cpu"
    settings = parse_settings([*spent.settings, *given, *arm.settings, "workers=0"])
    content = merge(read_yaml(recipe_path(recipe)), settings, kind)
    validate(kind, content["settings"], f"an arm of {name}")
    content["steps"] = max(1, round(spent.samples * arm.share / content["batch"]))
    return content


def _result_of(future: Future[dict[str, Any]], arm: str, n: int) -> dict[str, Any]:
    """Hand on what a task returned, or its error with the arm's name."""
    task = f"arm '{arm}', seed {n + 1}"
    try:
        return future.result()
    except ReelvecError as error:
        raise ReelvecError(f"{error.asked} ({task})", error.there, error.do) from error
    except BrokenProcessPool as error:
        raise ReelvecError(f"train {task}", "its process died, most often of too little memory", "use workers=1") from error


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
    index_sides(folder, *_index_files(folder, work))
    return folder


def _real(data: Path, work: Path) -> Path:
    """Refuse a folder without train/ and test/, and index it once."""
    if not all((data / side).is_dir() for side in ("train", "test")):
        raise ReelvecError(
            f"run a study on {data}", "no train/ and test/ in it", "give a folder with train/CLASS/, test/CLASS/"
        )
    (work / "sets").mkdir(parents=True, exist_ok=True)
    index_sides(data, *_index_files(data, work))
    return data


def _index_files(videos: Path, work: Path) -> tuple[Path, Path]:
    """Name the index of a set's training videos, and that of all."""
    beside = work / "sets" / videos.name
    return beside.with_name(f"{videos.name}-train.parquet"), beside.with_name(f"{videos.name}-all.parquet")


def _fingerprint(videos: Path, work: Path) -> str:
    """Say which videos these are: where, how many, and when they were written."""
    rows = Index.load(_index_files(videos, work)[0]).table.select(["path", "size_bytes", "modified_ns"]).to_pylist()
    return _digest([str(videos.resolve()), rows])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _one(name: str, arm_name: str, key: dict[str, Any], videos: str, work: str, real: bool) -> dict[str, Any]:
    """Train and measure one arm with one seed, in a process of its own; or return what an earlier call did.

    `key` is all that the numbers hang on, and the run folder is named by it: equal arms of several studies share a run, and
    a setting that has changed makes another.
    """
    torch.set_num_threads(1)
    study, began = find_study(name), perf_counter()
    arm, content, folder = study.arms[arm_name], key["run"], Path(videos)
    trained = {name: key[name] for name in ("run", "encoder", "videos")}  # the rest is about measuring
    run = Path(work) / "runs" / f"{arm.method}-seed{content['seed']}-{_digest(trained)}"
    kept = run / f"measured-{_digest(key)}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    training, everything = _index_files(folder, Path(work))
    recipe = run.with_name(f"{run.name}.yaml")
    recipe.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_text(yaml.safe_dump(content, sort_keys=False))
    pretrain(training, arm.method, recipe=recipe, out=run)
    labels: dict[str, Any] = {"labels": folder} if real else {"labels": folder / "labels.csv", "label_column": "motion,scene"}
    encoder, card = load_encoder(run, arm.encoder)
    # arms of one network have the same baseline: it is measured once
    network = card.model_dump(mode="json", exclude={"method", "step", "weights_sha256"})
    fresh = Path(work) / "untrained" / f"{_digest([network, content['seed'], key['videos'], key['probe']])}.json"
    # three untrained networks are averaged: tenfold seeds keep those of one study seed from being another's
    measured = evaluate(
        run, tasks=("knn", "linear"), encoders=(arm.encoder,), seed=10 * content["seed"], index_file=everything,
        baselines=not fresh.exists(), **labels,
    )  # fmt: skip
    rows = by_row(measured)
    if not fresh.exists():
        fresh.parent.mkdir(parents=True, exist_ok=True)
        write_json(fresh, rows[f"untrained {arm.encoder}"])
    numbers, untrained = rows[arm.encoder], json.loads(fresh.read_text())
    if study.measure is not None and not real:
        found = Index.load(everything)
        numbers |= study.measure(encoder, card, found, folder)
        untrained |= study.measure(untrained_encoder(card, content["seed"]), card, found, folder)
    if study.pretext:
        found = Index.load(everything)
        test = np.array([row for row in found.usable() if _is_test(found, row, folder)])
        numbers |= unseen_numbers(run, study.pretext, found, test, trained=True)
        untrained |= unseen_numbers(run, study.pretext, found, test, trained=False)
    result = {
        "key": key, "numbers": numbers, "untrained": untrained, "seconds": perf_counter() - began,
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "one CPU thread",
    }  # fmt: skip
    write_json(kept, result)
    return result


def _is_test(found: Index, row: int, videos: Path) -> bool:
    return (videos / "test").resolve() in Path(found.row(row).path).resolve().parents


def _judged(study: Study, done: dict[str, list[dict[str, Any]]], real: bool) -> list[dict[str, Any]]:
    """Compare pairs of arms; on real videos, claims about motion on its classes and those about a method's own task."""
    judged = []
    for claim in study.claims:
        if real and not (claim.measure.startswith("motion ") or claim.measure.endswith(" unseen")):
            continue
        measure = claim.measure.replace("motion ", "class ") if real else claim.measure
        ours = [run["numbers"][measure] for run in done[claim.arm]]
        if claim.than == UNTRAINED:
            theirs = [run["untrained"][measure] for run in done[claim.arm]]
        else:
            theirs = [run["numbers"][measure] for run in done[claim.than]]
        difference = paired_difference(ours, theirs)
        judged.append({
            **asdict(claim), "measure": measure, "ours": ours, "theirs": theirs, "difference": difference.mean,
            "low": difference.low, "high": difference.high, "verdict": judge(difference, claim.lower),
        })  # fmt: skip
    return judged
