"""`reelvec pretrain`: a folder of videos in, a run folder with encoders out."""

import json
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from reelvec.core import Batch, Method, Needs, ReelvecError, RunFolder, collectives, write_json, write_whole
from reelvec.core.machine import usable_cores
from reelvec.core.shipped import shipped_folder
from reelvec.data.held import HeldLoader
from reelvec.data.index import Index, index
from reelvec.data.loader import ClipLoader, TrainingPlan
from reelvec.data.streams import check_needs
from reelvec.engine.config import (
    RunConfig,
    merge,
    parse_settings,
    read_yaml,
    steps_of_run,
    to_yaml,
    validate,
)
from reelvec.engine.device import choose_device, leaving_cores_for
from reelvec.engine.distributed import join_group, launch, leave_group
from reelvec.engine.loop import check_batch, train
from reelvec.engine.memory import encoders_have_batch_norm, fit, measure_step, read_bytes
from reelvec.methods import METHODS
from reelvec.verbs.choose import choose_method

Event = dict[str, Any]

# what may change when a run goes on: nothing that the weights depend on
_RUNTIME = {"device", "workers", "cache_gb", "cache_on", "timeout_seconds", "log_every", "save_every", "keep", "health_every"}
_PROBE_VIDEOS = 64


def pretrain(
    videos: str | os.PathLike[str] | list[str],
    method: str | None = None,
    recipe: str | os.PathLike[str] | None = None,
    settings: list[str] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    devices: int = 1,
    memory: str | None = None,
    on_event: Callable[[Event], None] | None = None,
    **keywords: Any,
) -> dict[str, Any]:
    """Train an encoder on unlabelled videos; goes on where it stopped if the run folder exists.

    `videos` is a folder, a glob, a CSV, an index or a list of files. Without `method` and `recipe` a method is chosen by what
    the files offer, and `on_event` is told why. `settings` are "key=value" texts, `keywords` the same as
    Python values: keys of the run (steps, batch, seed, optimiser.lr ...) or of the method (encoder, frames, temperature ...).
    `memory`, such as "24GB", is what each process may use: a step is measured, and batch and chunk follow from it.
    `on_event` is told what happens: kinds start, progress, health, saved, message, end. Returns a summary of the run.

    Raises ReelvecError for anything that a person can put right.
    """
    tell = on_event or (lambda event: None)
    changes = {**parse_settings(settings or []), **keywords}
    asked_out = changes.pop("out", None) or out
    join_group(str(changes.get("device", "auto")))
    try:
        named = _named_method(method, recipe, changes)
        folder = RunFolder(asked_out or Path("runs") / (named or "auto"))
        if collectives.rank() == 0:
            found = None
            if named is None and not folder.exists():
                found = _index(videos, tell)
                method, why = choose_method(found)
                tell({"kind": "message", "text": f"no method named: {method}, since {why}; --method takes another"})
            config = _resolve(folder, method, recipe, changes, tell)
            processes = devices if collectives.world() == 1 else collectives.world()
            _prepare(folder, config, videos, found, processes, memory, tell)
        if collectives.world() > 1:
            torch.distributed.barrier()
        if devices > 1 and collectives.world() == 1:
            return launch(_train, devices, (str(folder.path),), tell)
        return _train(str(folder.path), tell if collectives.rank() == 0 else lambda event: None)
    finally:
        leave_group()


def _named_method(method: str | None, recipe: Any, changes: dict[str, Any]) -> str | None:
    name = method or changes.get("method") or (read_yaml(recipe_path(recipe)).get("method", "none") if recipe else None)
    if name is not None and name not in METHODS:
        raise ReelvecError(f"train with the method '{name}'", f"the methods {', '.join(METHODS)}", "choose one: --method NAME")
    return name


def _index(videos: Any, tell: Callable[[Event], None]) -> Index:
    return index(
        videos, on_progress=lambda done, total, path: tell({"kind": "index", "done": done, "total": total, "path": path})
    )


def recipe_path(name: str | os.PathLike[str]) -> Path:
    """Find a recipe by path or by name ("modist-cpu")."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path
    folder = shipped_folder("recipes")
    found = folder / f"{name}.yaml"
    if not found.exists():
        names = sorted(p.stem for p in folder.glob("*.yaml"))
        raise ReelvecError(f"use the recipe '{name}'", f"the recipes {', '.join(names)}", "choose one, or give a YAML file")
    return found


def _resolve(
    folder: RunFolder, method: str | None, recipe: Any, changes: dict[str, Any], tell: Callable[[Event], None]
) -> RunConfig:
    """Lay recipe, saved configuration and changes over one another, strictly."""
    name = _named_method(method, recipe, changes)
    changes = {key: value for key, value in changes.items() if key != "method"}
    if folder.exists():
        return _resolve_again(folder, name, changes, tell)
    assert name is not None
    if recipe is None:
        device = choose_device(str(changes.get("device", "auto")))
        recipe = f"{name}-{'gpu' if device.type == 'cuda' else 'cpu'}"
        tell({"kind": "message", "text": f"recipe {recipe}, by the device found ({device}); --recipe NAME takes another"})
    base = read_yaml(recipe_path(recipe))
    if base.get("method") != name:
        raise ReelvecError(f"train {name} with {recipe}", f"a recipe for {base.get('method')}", f"use a recipe of {name}")
    if "steps" in changes:
        base.pop("epochs", None)
    if "epochs" in changes:
        base.pop("steps", None)
    return _complete(merge(base, changes, METHODS[name].Config), str(recipe))


def _resolve_again(folder: RunFolder, name: str | None, changes: dict[str, Any], tell: Callable[[Event], None]) -> RunConfig:
    saved = read_yaml(folder.config)
    if saved.get("method") not in METHODS or (name and saved["method"] != name):
        raise ReelvecError(
            f"train {name} in {folder.path}",
            f"a run of {saved.get('method')}",
            "choose another out=FOLDER, or leave --method out",
        )
    before = _complete(saved, str(folder.config))
    after = _complete(merge(saved, changes, METHODS[before.method].Config), "the command line")
    old, new = before.model_dump(), after.model_dump()
    changed = [key for key in old if old[key] != new[key] and key not in _RUNTIME]
    if changed:
        differences = "; ".join(f"{key} is {old[key]!r}, asked for {new[key]!r}" for key in changed)
        raise ReelvecError(
            f"go on with {folder.path} under other settings",
            differences,
            "choose another out=FOLDER, or leave these settings out",
        )
    tell({"kind": "message", "text": f"{folder.path} exists: going on with it"})
    return after


def _complete(content: dict[str, Any], where: str) -> RunConfig:
    """Validate the run's and the method's settings and write every default of both out."""
    config = validate(RunConfig, content, where)
    settings = validate(METHODS[config.method].Config, config.settings, f"{where} (settings)")
    return config.model_copy(update={"settings": settings.model_dump(mode="json")})


def build_method(config: RunConfig) -> Method:
    """Make a method with its first weights, which are a function of the seed."""
    kind = METHODS[config.method]
    torch.manual_seed(config.seed)
    return kind(validate(kind.Config, config.settings, "the method"))


def _prepare(
    folder: RunFolder, config: RunConfig, videos: Any, found: Index | None, processes: int, memory: str | None,
    tell: Callable[[Event], None],
) -> None:  # fmt: skip
    """Check all that can be checked before anything starts, then write the run folder."""
    if folder.index.exists():
        _refuse_other_videos(folder, videos)
        found = Index.load(folder.index)
    else:
        found = found if found is not None else _index(videos, tell)
    usable = len(found.usable())
    method = build_method(config)
    check_needs(found, method.needs())
    if memory is not None:
        config = _within_memory(memory, folder, config, method, found, processes, tell)
    check_batch(config, method, usable, processes)
    steps = steps_of_run(config, usable)
    choose_device(config.device)
    folder.path.mkdir(parents=True, exist_ok=True)
    if not folder.index.exists():
        found.save(folder.index)
    write_whole(folder.config, lambda part: part.write_text(to_yaml(config)))
    write_json(folder.environment, _environment(videos))
    tell({
        "kind": "start", "method": config.method, "run": str(folder.path), "videos": usable, "left_out": len(found) - usable,
        "steps": steps, "batch": config.batch, "device": str(choose_device(config.device)), "processes": processes,
        "weights": sum(p.numel() for p in method.parameters() if p.requires_grad),
    })  # fmt: skip


def _within_memory(
    memory: str, folder: RunFolder, config: RunConfig, method: Method, found: Index, processes: int,
    tell: Callable[[Event], None],
) -> RunConfig:  # fmt: skip
    """Choose batch and chunk by what a step of this method takes, on this device; a run that goes on keeps its own."""
    budget = read_bytes(memory)
    if folder.exists():
        tell({"kind": "message", "text": f"batch and chunk stay as the run began: --memory {memory} is for new runs"})
        return config
    device = choose_device(config.device)
    method.to(device)

    def batch_of(videos: int) -> Batch:
        return _first_batch(found, config, method, min(videos, len(found.usable())), device)

    measured = measure_step(method, batch_of, config.optimiser, config.precision)
    parts = processes * config.accumulate  # a process has one part of a batch in memory at a time
    of_part = config.batch // parts
    fitting, chunk, why = fit(measured, of_part, budget, encoders_have_batch_norm(method))
    each = f" (numbers of videos are those of one part: a batch has {parts}, processes times accumulate)" if parts > 1 else ""
    tell({"kind": "message", "text": f"memory: {why}{each}"})
    return config.model_copy(update={"batch": fitting * parts if fitting != of_part else config.batch, "chunk": chunk})


def _refuse_other_videos(folder: RunFolder, videos: Any) -> None:
    """A run goes on with the videos that it began with: others would be left unread without a word."""
    try:
        before = json.loads(folder.environment.read_text())["videos"]
    except (OSError, ValueError, KeyError):
        return
    if before not in (_where(videos), str(videos)):
        raise ReelvecError(f"train on {videos} in {folder.path}", f"a run on {before}", "choose another out=FOLDER")


def _where(videos: Any) -> str:
    return str(Path(videos).resolve()) if isinstance(videos, str | os.PathLike) else str(videos)


def _environment(videos: Any) -> dict[str, Any]:
    return {
        "command": sys.argv,
        "videos": _where(videos),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        # torch's own word says for which GPUs it was built
        "versions": {n: version(n) for n in ("reelvec", "torchvision", "av", "numpy")} | {"torch": str(torch.__version__)},
    }


def _train(folder_path: str, tell: Callable[[Event], None]) -> dict[str, Any]:
    """Train in this process, as one of those that joined, from what the run folder holds."""
    folder = RunFolder(folder_path)
    config = _complete(read_yaml(folder.config), str(folder.config))
    join_group(config.device)
    device = choose_device(config.device)
    found = Index.load(folder.index, to_decode=True)
    method = build_method(config)
    needs, usable = _needs(config, method), len(found.usable())
    plan = TrainingPlan(found, needs, config.seed)
    workers, alone = _workers(config, device), device.type == "cpu" and collectives.world() == 1
    with (
        leaving_cores_for(workers if alone else 0),
        _loader(config, found, needs, plan, device, workers) as loader,
    ):
        probe = None
        if collectives.rank() == 0:  # the fixed batch of the health panel
            probe = _first_batch(found, config, method, min(_PROBE_VIDEOS, usable), device)
        ended = train(method, config, folder, loader, probe, usable, device, tell)
        quarantined = [{"path": q.path, "reason": q.reason, "times": q.times} for q in loader.quarantine]
    summary = {
        "run": str(folder.path), "method": config.method, "steps": ended.total, "verdict": ended.verdict,
        "losses": ended.losses, "clips_per_second": ended.clips_per_second, "waiting_share": ended.waiting_share,
        "encoders": sorted(method.encoders()), "quarantined": quarantined,
    }  # fmt: skip
    tell({"kind": "end", **summary})
    return summary


def _loader(
    config: RunConfig, found: Index, needs: Needs, plan: TrainingPlan, device: torch.device, workers: int
) -> ClipLoader | HeldLoader:
    budget = int(config.cache_gb * 2**30)
    if config.cache_on == "device":
        return HeldLoader(found, needs, plan, device, budget, workers=workers, timeout_seconds=config.timeout_seconds)
    return ClipLoader(
        found, needs, plan, config.batch, workers=workers, timeout_seconds=config.timeout_seconds, cache_bytes=budget,
        pin=device.type == "cuda",
    )  # fmt: skip


def _first_batch(found: Index, config: RunConfig, method: Method, videos: int, device: torch.device) -> Batch:
    """Decode some videos outside the run's order: with other draws than any step's."""
    needs = _needs(config, method)
    plan = TrainingPlan(found, needs, config.seed + 1)
    with ClipLoader(found, needs, plan, videos) as loader:
        return next(iter(loader.batches([range(videos)]))).to(device)


def _needs(config: RunConfig, method: Method) -> Needs:
    """Return what the method needs, in the form in which pictures travel."""
    return method.needs().in_planes() if config.pictures == "yuv" else method.needs()


def _workers(config: RunConfig, device: torch.device) -> int:
    """Decode beside a GPU with all cores but one; beside a CPU that trains, with one, or in the process itself from a cache."""
    if config.workers is not None:
        return config.workers
    if device.type == "cuda":
        return max(1, usable_cores() // collectives.world() - 1)
    return 0 if config.cache_gb > 0 else 1
