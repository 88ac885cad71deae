"""Running a study: every arm with every seed, several at a time, one thread each; what is done is not done again."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import yaml

from reelvec.backbones import load_encoder
from reelvec.core import ReelvecError, write_json
from reelvec.core.machine import usable_cores
from reelvec.core.spawning import process_pool
from reelvec.data.index import Index
from reelvec.engine.config import merge, parse_settings, read_yaml, validate
from reelvec.evals import Linear, evaluate
from reelvec.evals.features import untrained_encoder
from reelvec.methods import METHODS
from reelvec.verbs.measured import by_row
from reelvec.verbs.pretrain import pretrain, recipe_path
from reelvec.verbs.study.picture import draw_result
from reelvec.verbs.study.plan import CHANCE, UNTRAINED, Arm, Budget, Claim, Study, find_study, study_file
from reelvec.verbs.study.pretext import unseen_numbers
from reelvec.verbs.study.verdict import judge, paired_difference
from reelvec.verbs.study.videos import VideoSet, digest, generated_set, real_set

FEWEST_SEEDS = 3
FIRST_SEED = 1000
"""tuning is done on seeds below it"""


def run_study(
    name: str,
    *,
    seeds: int = 3,
    first_seed: int = FIRST_SEED,
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
        first_seed: where these seeds begin, 1000 or more: others repeat a study on seeds that nobody has looked at, so they
            must not overlap those of a result in `out`. How many they are has to be settled before.
        budget: "cpu" or "gpu".
        data: real videos instead of the generated sets: a folder with train/CLASS/ and test/CLASS/, or a table of paths, of
            sides (train, test) and of labels in columns called motion and scene. Claims about motion are judged on the
            classes of a folder; claims about what the data has no labels for are left out.
        work: folder of data and runs; what is finished there is used again.
        out: folder of the JSON and the picture; None: `work`.
        workers: arms trained at a time; None: one a core, or one on a GPU.
        settings: key=value words for every arm, such as fit=square where videos differ in shape; an arm's own come after.

    Returns what is written as NAME-BUDGET.json, or NAME-fromSEED-BUDGET.json where the first seed is another. Raises
    ReelvecError for an unknown study, budget or data, and for seeds that a result stored there has.
    """
    study = find_study(name)
    if budget not in study.budgets:
        raise ReelvecError(f"run {name} with --budget {budget}", f"budgets {', '.join(study.budgets)}", "choose one of these")
    if seeds < FEWEST_SEEDS:
        raise ReelvecError(f"run {name} with seeds={seeds}", "too few for an interval", f"use --seeds {FEWEST_SEEDS} or more")
    if first_seed < FIRST_SEED:
        there = f"seeds below {FIRST_SEED} are those that settings were tuned on"
        raise ReelvecError(f"run {name} with first_seed={first_seed}", there, f"use first_seed={FIRST_SEED} or more")
    if workers is not None and workers < 1:
        raise ReelvecError(f"run {name} with workers={workers}", "nobody to work", "use workers=1 or more")
    tell, work, spent = on_event or (lambda event: None), Path(work), study.budgets[budget]
    contents = {arm_name: run_content(name, arm, spent, settings) for arm_name, arm in study.arms.items()}
    folder, fresh = Path(out) if out is not None else work, first_seed != FIRST_SEED
    subject = Path(name).stem + (f"-{Path(data).stem}" if data else "")
    file = folder / f"{subject}{f'-from{first_seed}' if fresh else ''}-{budget}.json"
    stored = [*folder.glob(f"{subject}-{budget}.json"), *folder.glob(f"{subject}-from*-{budget}.json")]
    _refuse_overlap(range(first_seed, first_seed + seeds), file, stored)
    cameras = {arm_name: study.camera if arm.camera is None else arm.camera for arm_name, arm in study.arms.items()}
    if data:
        real = real_set(Path(data), work)
        sets = {(n, camera): real for n in range(seeds) for camera in cameras.values()}
    else:
        sets = {
            (n, camera): generated_set(study, spent, first_seed + n, camera, work, tell)
            for n, camera in product(range(seeds), sorted(set(cameras.values())))
        }
    fingerprints = {place: videos.fingerprint() for place, videos in sets.items()}
    digest_of_file = hashlib.sha256(study_file(name).read_bytes()).hexdigest() if study.measure else ""
    at_once = workers or (1 if torch.cuda.is_available() else usable_cores())
    done: dict[str, list[dict[str, Any]]] = {arm: [{} for _ in range(seeds)] for arm in study.arms}
    began = perf_counter()
    with process_pool(at_once) as pool:
        running = {}
        for n, arm in product(range(seeds), study.arms):
            content, place = {**contents[arm], "seed": first_seed + n}, (n, cameras[arm])
            key = {"run": content, "encoder": study.arms[arm].encoder, "videos": fingerprints[place], "file": digest_of_file}
            key |= {"probe": Linear().protocol} | ({"pretext": study.pretext} if study.pretext else {})
            future = pool.submit(_one, name, arm, key, sets[place], str(work))
            running[future] = (arm, n)
        for number, future in enumerate(as_completed(running), 1):
            arm, n = running[future]
            done[arm][n] = _result_of(future, arm, n)
            shown = ", ".join(f"{key} {value:.1%}" for key, value in done[arm][n]["numbers"].items() if key.endswith("linear"))
            tell({"kind": "message", "text": f"{number} of {len(running)}: {arm}, seed {n + 1}: {shown}"})
    each = [run for runs in done.values() for run in runs]
    result = {
        "study": Path(name).stem, "budget": budget,
        "data": (Path(data).stem if data else _set_words(study, spent, set(cameras.values())))
        + (f", seeds {first_seed} to {first_seed + seeds - 1}" if fresh else ""),
        "question": study.question, "note": study.note, "source": study.source,
        "seeds": seeds, "first_seed": first_seed, "samples": spent.samples,
        "command": " ".join([f"reelvec study {Path(name).stem} --seeds {seeds} --budget {budget}",
                             *([f"data={Path(data).name}"] if data else []),
                             *([f"first_seed={first_seed}"] if fresh else []), *settings]),
        "probe": Linear().protocol.replace("seed 0", "by the study's seed"),
        "arms": {name: {"method": arm.method, "settings": [*spent.settings, *settings, *arm.settings],
                        "encoder": arm.encoder,
                        "steps": contents[name]["steps"], "batch": contents[name]["batch"],
                        "training_seconds": [run["training_seconds"] for run in done[name]],
                        "numbers": [run["numbers"] for run in done[name]],
                        "untrained": [run["untrained"] for run in done[name]]} for name, arm in study.arms.items()},
        "claims": _judged(study, done),
        "wall_seconds": round(perf_counter() - began, 1),
        "at_once": at_once,
        "machines": sorted({f"{run['device']}, torch {run['torch']}" for run in each}),
    }  # fmt: skip
    write_json(file, result)
    draw_result(result, file.with_suffix(".png"))
    result["file"] = str(file)
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


def _refuse_overlap(seeds: range, file: Path, stored: Sequence[Path]) -> None:
    """Raise ReelvecError where another result than `file` has some of these seeds: the two would not be independent."""
    for other in stored:
        there = json.loads(other.read_text())
        first = there.get("first_seed", FIRST_SEED)
        taken = range(first, first + there["seeds"])
        if other != file and max(taken.start, seeds.start) < min(taken.stop, seeds.stop):
            asked = f"run {there['study']} with the seeds {seeds.start} to {seeds.stop - 1}"
            held = f"{other}, with the seeds {taken.start} to {taken.stop - 1}"
            raise ReelvecError(asked, held, f"take others, such as first_seed={taken.stop}")


def _result_of(future: Future[dict[str, Any]], arm: str, n: int) -> dict[str, Any]:
    """Hand on what a task returned, or its error with the arm's name."""
    task = f"arm '{arm}', seed {n + 1}"
    try:
        return future.result()
    except ReelvecError as error:
        raise ReelvecError(f"{error.asked} ({task})", error.there, error.do) from error
    except BrokenProcessPool as error:
        raise ReelvecError(f"train {task}", "its process died, most often of too little memory", "use workers=1") from error


def _set_words(study: Study, budget: Budget, cameras: set[float]) -> str:
    named = {0.0: "still camera", 1.0: "moving camera"}
    seen = [named.get(camera, f"camera at {camera:g} of its speed") for camera in sorted(cameras)]
    words = ", ".join([*seen, f"a key frame every {study.gop}"])
    return f"generated, {words}, {budget.train_videos} / {budget.test_videos} videos"


def _one(name: str, arm_name: str, key: dict[str, Any], videos: VideoSet, work: str) -> dict[str, Any]:
    """Train and measure one arm with one seed, in a process of its own; or return what an earlier call did.

    `key` is all that the numbers hang on, and the run folder is named by it: equal arms of several studies share a run, and
    a setting that has changed makes another.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # another arm has the other core
    study = find_study(name)
    arm, content = study.arms[arm_name], key["run"]
    trained = {name: key[name] for name in ("run", "encoder", "videos")}  # the rest is about measuring
    run = Path(work) / "runs" / f"{arm.method}-seed{content['seed']}-{digest(trained)}"
    kept = run / f"measured-{digest(key)}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    recipe = run.with_name(f"{run.name}.yaml")
    recipe.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_text(yaml.safe_dump(content, sort_keys=False))
    with _timed(run / "training_seconds.json"):
        pretrain(videos.training, arm.method, recipe=recipe, out=run)
    encoder, card = load_encoder(run, arm.encoder)
    # arms of one network have the same baseline: it is measured once
    network = card.model_dump(mode="json", exclude={"method", "step", "weights_sha256"})
    fresh = Path(work) / "untrained" / f"{digest([network, content['seed'], key['videos'], key['probe']])}.json"
    # three untrained networks are averaged: tenfold seeds keep those of one study seed from being another's
    measured = evaluate(
        run, videos.labels, label_column=videos.columns, tasks=("knn", "linear"), encoders=(arm.encoder,),
        seed=10 * content["seed"], index_file=videos.everything, baselines=not fresh.exists(),
    )  # fmt: skip
    rows = by_row(measured)
    if not fresh.exists():
        fresh.parent.mkdir(parents=True, exist_ok=True)
        write_json(fresh, rows[f"untrained {arm.encoder}"])
    numbers, untrained = rows[arm.encoder], json.loads(fresh.read_text())
    if study.measure is not None and videos.generated is not None:
        found = Index.load(videos.everything)
        numbers |= study.measure(encoder, card, found, videos.generated)
        untrained |= study.measure(untrained_encoder(card, content["seed"]), card, found, videos.generated)
    if study.pretext:
        found, test = videos.test_rows()
        numbers |= unseen_numbers(run, study.pretext, found, test, trained=True)
        untrained |= unseen_numbers(run, study.pretext, found, test, trained=False)
    result = {
        "key": key, "numbers": numbers, "untrained": untrained, "torch": str(torch.__version__),
        "training_seconds": json.loads((run / "training_seconds.json").read_text()),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "one CPU thread",
    }  # fmt: skip
    write_json(kept, result)
    return result


@contextmanager
def _timed(file: Path) -> Iterator[None]:
    """Add the time that something takes to the seconds in a file: a run that was stopped goes on later."""
    began = perf_counter()
    try:
        yield
    finally:
        before = json.loads(file.read_text()) if file.exists() else 0.0
        if file.parent.exists():
            write_json(file, round(before + perf_counter() - began, 1))


def _judged(study: Study, done: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Compare pairs of arms. In a folder of classes these stand for the motion; claims without labels are left out."""
    judged = []
    for claim in study.claims:
        measured = set.intersection(*(set(run["numbers"]) for run in done[claim.arm]))
        measure = claim.measure if claim.measure in measured else claim.measure.replace("motion ", "class ")
        if measure not in measured:
            continue
        ours, theirs = _sides(study, claim, measure, done)
        difference = paired_difference(ours, theirs)
        beyond = list(claim.beyond) if claim.beyond else None
        judged.append({
            **asdict(claim), "beyond": beyond, "measure": measure, "ours": ours, "theirs": theirs,
            "difference": difference.mean, "low": difference.low, "high": difference.high,
            "verdict": judge(difference, claim.lower),
        })  # fmt: skip
    return judged


def _sides(study: Study, claim: Claim, measure: str, done: dict[str, list[dict[str, Any]]]) -> tuple[list[float], list[float]]:
    """Return what a claim sets against one another, seed by seed: two measures, or two differences of measures."""

    def values(arm: str) -> list[float]:
        if arm == CHANCE:
            return [study.chance[claim.measure]] * len(done[claim.arm])
        return [run["untrained"][measure] for run in done[claim.arm]] if arm == UNTRAINED else [
            run["numbers"][measure] for run in done[arm]
        ]  # fmt: skip

    if claim.beyond is None:
        return values(claim.arm), values(claim.than)
    pairs = [(claim.arm, claim.than), claim.beyond]
    ours, theirs = ([a - b for a, b in zip(values(one), values(other), strict=True)] for one, other in pairs)
    return ours, theirs
