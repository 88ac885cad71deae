"""`reelvec evaluate --suite`: everything that the data allows, one thing after another, and what was left out and why."""

import difflib
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reelvec import __version__
from reelvec.core import ReelvecError, RunFolder, write_json
from reelvec.data.index import index
from reelvec.engine.extract import OnProgress
from reelvec.evals import (
    class_maps,
    detection,
    diagnose,
    diagnose_masks,
    evaluate,
    health,
    localisation,
    pair_similarity,
    propagation,
)
from reelvec.evals.dense.box_table import read_boxes
from reelvec.evals.dense.given_masks import is_generated
from reelvec.evals.evaluate import TEST_SHARE, chosen_evals, load_encoders
from reelvec.evals.kept_steps import run_folder
from reelvec.evals.labels import read_labels
from reelvec.evals.pair_files import read_pairs

SUITES: dict[str, tuple[str, ...]] = {
    "quick": ("knn", "linear", "retrieval", "lowshot", "fewshot", "similarity"),
    "full": ("knn", "linear", "retrieval", "lowshot", "fewshot", "similarity", "linear_sgd", "attentive", "finetune"),
}
"""tasks of `evaluate`; beside them, both suites diagnose, look at health and, where masks or boxes are given, at maps"""

QUICK_SIZE = 240
"""short side of frames with masks in the quick suite; the full one takes each preset's own"""


def battery(
    run: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None = None,
    *,
    suite: str = "quick",
    masks: str | os.PathLike[str] | None = None,
    boxes: str | os.PathLike[str] | None = None,
    pairs: str | os.PathLike[str] | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    videos: str | os.PathLike[str] | None = None,
    accept_shared_sources: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    clips: int | None = None,
    encoders: tuple[str, ...] | None = None,
    device: str | None = None,
    workers: int = 0,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Measure a run by all that its encoders and the data allow.

    Args:
        run: a run folder, or an encoder folder.
        labels: labelled videos, as `evaluate` takes them.
        suite: "quick" measures frozen features; "full" trains heads and fine-tunes as well, which takes minutes to hours.
        masks: a folder of frames with masks, as `propagation` takes it.
        boxes: a table of boxes, as `detection` takes it.
        pairs: pairs of videos in folds, as `pair_similarity` takes them; without labels, `videos` is the folder of these.
        settings: task -> its settings; beside those of `evaluate`, "diagnose", "diagnose_masks", "health", "propagation",
            "localisation", "detection", "class_maps" and "pair_similarity" are tasks.
        out: JSON file of the summary; None: evals/suite-<suite>-step<step>.json in the run folder. What each part found is
            written where it writes it when asked for alone.

    What was finished before with the same weights, data and settings is not done again. `evaluate`, `diagnose` and `health`
    share one index of the labelled videos, <labels>-suite.index.parquet beside `out`; frozen features of evaluate and diagnose
    are of one decoding. Returns the summary: {"run", "suite", "parts": [{"name", "file", "seconds", "kept", "failed"}],
    "left_out": [{"name", "reason"}], "seconds", "file"}; what failed inside a part stands in "left_out" too.
    Raises ReelvecError for an unknown suite or task, and where nothing could be measured.
    """
    given = {task: dict(values) for task, values in (settings or {}).items()}
    tasks = _tasks(suite, given)
    given |= {part: _fitting(part, values) for part, values in given.items() if part in _PARTS}
    chosen_evals(
        tasks, 0, {task: given[task] for task in tasks if task in given}
    )  # says before anything runs what does not fit
    if labels is None and masks is None and boxes is None and pairs is None:
        do = "add --labels FILE, --masks FOLDER, --boxes FILE or --pairs FILE, or several"
        raise ReelvecError(f"evaluate {run} with --suite {suite}", "no data", do)
    loaded = load_encoders(run, encoders)
    step = max(card.step for _, card in loaded.values())
    hashes = {name: card.weights_sha256 for name, (_, card) in loaded.items()}
    columns = {
        "path_column": path_column, "label_column": label_column, "split_column": split_column, "group_column": group_column,
        "videos": videos, "accept_shared_sources": accept_shared_sources,
    }  # fmt: skip
    common: dict[str, Any] = {"device": device, "seed": seed, "on_progress": on_progress}
    reading = {"clips": clips, "encoders": encoders, "workers": workers, **common}
    # without "visual" the dense measures say themselves what they lack
    visual = {"encoder": "visual" if "visual" in loaded else next(iter(loaded)), **common}
    small = {"size": QUICK_SIZE} if suite == "quick" else {}

    plan: list[tuple[str, Callable[..., dict[str, Any]], Any, dict[str, Any]]] = []
    file = Path(out) if out is not None else RunFolder(run_folder(run)).evals / f"suite-{suite}-step{step:06d}.json"
    seen: list[str] = []
    left_out: dict[str, str] = {}
    if labels is not None:
        chosen = {task: given[task] for task in tasks if task in given}
        labelled = read_labels(labels, **_words(columns))
        labelled.refuse_leak()
        seen = [video.path for video in labelled.videos]
        probed = file.parent / f"{Path(labels).absolute().stem}-suite.index.parquet"
        shared = {**columns, **reading, "index_file": probed}
        # diagnose comes first: what it decodes is all that evaluate reads of frozen features
        plan.append(("diagnose", diagnose, labels, shared))
        plan.append(("evaluate", evaluate, labels, {"tasks": tasks, "settings": chosen, **shared}))
        plan.append(("health", health, probed, reading))
        if is_generated(Path(labels)):
            of_shapes = {"label_column": label_column, "workers": workers, **visual}
            plan.append(("diagnose_masks", diagnose_masks, Path(labels).parent, of_shapes))
            plan.append(("class_maps", class_maps, Path(labels).parent, {"workers": workers, **visual}))
        else:
            named = {name: value for name, value in columns.items() if name != "videos"}
            first = label_column.partition(",")[0] if label_column else None
            for name, verb, column in (("diagnose_masks", diagnose_masks, label_column), ("class_maps", class_maps, first)):
                if given.get(name, {}).get("masks"):
                    plan.append((name, verb, labels, {**named, "label_column": column, "workers": workers, **visual}))
                else:
                    left_out[name] = _NO_TRUTH.format(part=name)
    else:
        left_out |= dict.fromkeys([*tasks, "diagnose", "health", "diagnose_masks", "class_maps"], "no labels: add --labels")
    if masks is not None:
        plan.append(("localisation", localisation, masks, {**small, **visual}))
        plan.append(("propagation", propagation, masks, {**small, **visual}))
    else:
        left_out |= dict.fromkeys(("localisation", "propagation"), "no frames with masks: add --masks FOLDER")
    if boxes is not None:
        plan.append(("detection", detection, boxes, {"workers": workers, **visual}))
    else:
        left_out["detection"] = "no boxes: add --boxes TABLE"
    if pairs is not None:
        plan.append(("pair_similarity", pair_similarity, pairs, {**({"videos": videos} if labels is None else {}), **reading}))
    else:
        left_out["pair_similarity"] = "no pairs of videos: add --pairs FILE"

    before = {part["name"]: part for part in _before(file)}
    parts: list[dict[str, Any]] = []
    summary: dict[str, Any] = {
        "run": str(run),
        "suite": suite,
        "parts": parts,
        "left_out": [],
        "seconds": 0.0,
        "file": str(file),
    }
    for name, verb, data, arguments in plan:
        arguments = {**arguments, **given.get(name, {})}
        of_labels = name in ("evaluate", "diagnose", "health")
        own_masks = [arguments["masks"]] if not of_labels and arguments.get("masks") else []
        reads = [labels, *seen, *own_masks] if of_labels or own_masks else _files(name, data, arguments)
        key = _key(name, hashes, reads, arguments)
        last = before.get(name, {})
        is_kept = last.get("key") == key and Path(last["file"]).is_file()
        began = perf_counter()
        if is_kept:
            parts.append({**last, "kept": True})
        else:
            try:
                if of_labels:  # what an earlier part has put into the file is not probed again
                    index(seen, probed, workers=workers or None)
                found = verb(run, data, **arguments)
            except ReelvecError as error:
                left_out[name] = str(error)
                continue
            failed = [
                (f"{one['task']} of {one['row']}, {one['label_column']}", one["reason"]) for one in found.get("failed", ())
            ]
            took = perf_counter() - began
            parts.append({
                "name": name, "file": found["file"], "seconds": took, "kept": False, "key": key, "failed": dict(failed),
            })  # fmt: skip
        left_out |= parts[-1].get("failed", {})  # before they are put in order
        parts.sort(key=lambda part: _ORDER.index(part["name"]))
        summary["left_out"] = [{"name": what, "reason": why} for what, why in left_out.items()]
        summary["seconds"] = sum(part["seconds"] for part in parts)
        write_json(file, summary)  # after every part: a stopped suite goes on from there
    if not parts:
        reasons = "; ".join(f"{what}: {why}" for what, why in left_out.items())
        raise ReelvecError(f"evaluate {run} with --suite {suite}", f"nothing could be measured ({reasons})", "see the reasons")
    summary["left_out"] = [{"name": what, "reason": why} for what, why in left_out.items()]
    write_json(file, summary)
    return summary


_PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "diagnose": diagnose,
    "health": health,
    "diagnose_masks": diagnose_masks,
    "class_maps": class_maps,
    "localisation": localisation,
    "propagation": propagation,
    "detection": detection,
    "pair_similarity": pair_similarity,
}
"""what is measured beside `evaluate`; the settings of a part are the arguments of its function"""

_ORDER = ("evaluate", *_PARTS)
"""in which parts stand in the summary"""

_NO_TRUTH = (
    "no truth of a set made by `reelvec shapes` beside these labels; with masks of your own, VIDEO.npz or VIDEO/*.png for "
    "VIDEO.mp4: {part}.masks=FOLDER"
)


def _tasks(suite: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    if suite not in SUITES:
        raise ReelvecError(f"evaluate with --suite {suite}", f"suites {', '.join(SUITES)}", "name one of these")
    known = (*SUITES[suite], *_PARTS)
    if unknown := [task for task in settings if task not in known]:
        raise ReelvecError(f"set {unknown[0]}. ... with --suite {suite}", f"tasks {', '.join(known)}", "name one of these")
    return SUITES[suite]


def _fitting(part: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a part in the types that it takes, a word alone as a list of one; ReelvecError for others."""
    known = {
        name: parameter.annotation
        for name, parameter in inspect.signature(_PARTS[part]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "on_progress"
    }
    fitting: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ReelvecError(
                f"set {part}.{name}={value}",
                f"the settings {', '.join(sorted(known))} of {part}",
                f"did you mean {part}.{near[0]}=...?" if near else "leave it out, or use one of these",
            )
        adapter: TypeAdapter[Any] = TypeAdapter(known[name])
        for tried in ([value], value):
            try:
                fitting[name] = adapter.validate_python(tried)
                break
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
        else:
            there = reason[0].lower() + reason[1:]
            raise ReelvecError(f"set {part}.{name}={value}", there, f"give {part}.{name} another value")
    return fitting


def _words(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if value is not None}


def _before(file: Path) -> Sequence[dict[str, Any]]:
    try:
        return list(json.loads(file.read_text(encoding="utf-8"))["parts"])
    except (OSError, ValueError, KeyError):
        return []


def _key(name: str, hashes: Mapping[str, str], data: Sequence[Any], arguments: Mapping[str, Any]) -> str:
    """Return a hash of all that a part hangs on: weights, settings, and names, sizes and times of its files."""
    kept = {key: value for key, value in arguments.items() if key not in ("on_progress", "device", "workers", "index_file")}
    content = json.dumps([__version__, name, dict(hashes), kept, _stamps(data)], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _files(name: str, data: Any, arguments: Mapping[str, Any]) -> list[Any]:
    """Return the files that a part without labels reads: a table's videos, and boxes that a detector found, beside it."""
    try:
        if name == "detection":
            videos = {frame.path for frame in read_boxes(data, TEST_SHARE, arguments.get("seed", 0)).frames}
            return [data, *sorted(videos), *([arguments["detected"]] if arguments.get("detected") else [])]
        if name == "pair_similarity":
            return [data, *read_pairs(data, arguments.get("videos")).paths]
    except ReelvecError:
        pass  # the part itself says what is wrong
    return [data]


def _stamps(data: Sequence[Any]) -> list[tuple[str, int, int]]:
    paths = [Path(path) for path in data]
    files = sorted(file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
    return [(str(file), stat.st_size, stat.st_mtime_ns) for file in files if (stat := file.stat())]
