"""The settings of a run: recipe < run folder < key=value, checked key by key before anything starts."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError

from reelvec.core import Config, ReelvecError

AnyConfig = TypeVar("AnyConfig", bound=Config)


class OptimiserConfig(Config):
    """SGD, AdamW or LARS. The learning rate is for the whole batch; nothing rescales it in silence."""

    name: Literal["sgd", "adamw", "lars"] = "sgd"
    lr: float = 0.05
    momentum: float = 0.9
    """sgd, lars"""
    nesterov: bool = False
    """sgd"""
    betas: tuple[float, float] = (0.9, 0.999)
    """adamw"""
    weight_decay: float = 1e-4
    exclude_1d: bool = True
    """biases and norm weights: no weight decay and, under LARS, no trust ratio"""
    trust: float = 0.02
    """lars: trust coefficient; the ratio only ever shrinks the step (clip mode), as in the rho study"""


class RunConfig(Config):
    """Everything about a run but the method's own settings, which stand under `settings`."""

    method: str
    seed: int = 0
    steps: int | None = None
    """optimiser steps; or give epochs"""
    epochs: float | None = None
    """passes over the videos; or give steps"""
    batch: int = 64
    """videos in one step, over all processes and accumulated parts together"""
    accumulate: int = 1
    """parts a batch is computed in, one after the other"""
    chunk: Annotated[int, Field(ge=1)] | None = None
    """clips that go through an encoder at a time, to save memory; the gradient is that of the whole batch, the loss sees all
    of it, and the encoder is computed twice. Batch norms of the encoder then see a chunk at a time"""
    optimiser: OptimiserConfig = OptimiserConfig()
    warmup_steps: int = 0
    warmup_epochs: float | None = None
    warmup_lr: float = 0.0
    """learning rate at the first step of the warm-up"""
    clip_grad: float | None = None
    """largest norm of the gradient of all weights together"""
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    """compile the encoders with torch.compile: a minute at the start, for faster steps on a GPU (on a CPU none were seen);
    the names of weights stay"""
    sync_batch_norm: bool = True
    """several processes: batch statistics over all of them"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1"""
    workers: int | None = None
    """decoding processes; none: a choice by cores and cache"""
    cache_gb: float = 0.0
    """memory for decoded videos of this process (several `--devices` take it each); enough for all of a small set makes
    decoding nearly free. Meant for workers=0, which is the default with it on a CPU: of several decoding processes each has
    its share of the memory and copies of its own, so a set then takes as many times the room and epochs to fill it"""
    cache_on: Literal["host", "device"] = "host"
    """device: all videos are decoded whole before the first step and held on the device that trains, up to cache_gb of them
    (a set that needs more is refused); clips are cut there, and no step waits for a decoder. The clips are the same"""
    pictures: Literal["rgb", "yuv"] = "rgb"
    """how pictures travel from the decoder: as RGB, or as the planes of the codec, which is half the bytes and less work
    while decoding; they become RGB on the device, with the crop. Views differ by roundings"""
    timeout_seconds: float = 60.0
    """a file that gives no clip within this time is put into quarantine"""
    log_every: int = 10
    save_every: int = 500
    keep: int = 2
    """saved steps that are kept"""
    health_every: int | None = None
    """steps between health checks; none: ten in a run"""
    settings: dict[str, Any] = {}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a recipe; ReelvecError where it is not there or not a mapping."""
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ReelvecError(
            f"read {path}", "no such file", "give the path of a recipe, or one of the names in recipes/"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ReelvecError(f"read {path}", f"not a YAML file: {error}", "correct the place named above") from None
    if not isinstance(content, dict):
        raise ReelvecError(f"read {path}", "no `key: value` lines", "look at a file in recipes/ for the form")
    return content


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Turn ["steps=10", "optimiser.lr=0.1"] into {"steps": 10, "optimiser.lr": 0.1}; values are read as YAML."""
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ReelvecError(f"read the setting '{pair}'", "no key=value", "write settings as key=value, such as steps=150")
        try:
            parsed[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            parsed[key.strip()] = value
    return parsed


def merge(base: dict[str, Any], changes: dict[str, Any], settings_type: type[Config]) -> dict[str, Any]:
    """Lay changes over a configuration.

    Mappings merge key by key. A dotted key reaches inside (`optimiser.lr`); a plain key that is no key of the run but one of
    the method goes to `settings` (`encoder` is `settings.encoder`). An unknown key is an error that names the nearest one.
    """
    merged = _copy(base)
    for key, value in changes.items():
        parts = key.split(".")
        if parts[0] not in RunConfig.model_fields and parts[0] in settings_type.model_fields:
            parts = ["settings", *parts]
        _check_path(key, parts, settings_type)
        inner = merged
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
        if isinstance(value, dict) and isinstance(inner.get(parts[-1]), dict):
            inner[parts[-1]] = merge_mappings(inner[parts[-1]], value)
        else:
            inner[parts[-1]] = _copy(value)
    return merged


def merge_mappings(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; the changes win."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_mappings(merged[key], value) if both else _copy(value)
    return merged


def _copy(value: Any) -> Any:
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, dict) else value


def _check_path(key: str, parts: list[str], settings_type: type[Config]) -> None:
    known: dict[str, Any] = dict(RunConfig.model_fields)
    if parts[0] == "settings" and len(parts) > 1:
        known, parts = dict(settings_type.model_fields), parts[1:]
    if parts[0] in known:
        return  # what lies deeper is checked by the model itself
    names = sorted({*RunConfig.model_fields, *settings_type.model_fields})
    near = difflib.get_close_matches(key, names, n=3, cutoff=0.5)
    raise ReelvecError(
        f"set {key}",
        f"no such setting{'; near it: ' + ', '.join(near) if near else ''}",
        f"choose one of: {', '.join(names)}",
    )


def validate(kind: type[AnyConfig], content: dict[str, Any], where: str) -> AnyConfig:
    """Build a config; every wrong key or value is named with its path in one ReelvecError."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        wrong = []
        for problem in error.errors():
            path = ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "extra_forbidden":
                near = difflib.get_close_matches(str(problem["loc"][-1]), _fields_at(kind, problem["loc"][:-1]), n=1)
                wrong.append(f"{path}: no such setting{f' (did you mean {near[0]}?)' if near else ''}")
            else:
                wrong.append(f"{path} = {problem['input']!r}: {problem['msg'].lower()}")
        raise ReelvecError(f"read the settings of {where}", "; ".join(wrong), "correct them and run again") from None


def _fields_at(kind: type[Config], place: tuple[int | str, ...]) -> list[str]:
    """Return the names of the settings at a path inside a configuration."""
    inner: Any = kind
    for part in place:
        field = getattr(inner, "model_fields", {}).get(part)
        inner = field.annotation if field else None
    return list(getattr(inner, "model_fields", {}))


def to_yaml(config: RunConfig) -> str:
    """Write a configuration out with every default."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def steps_of_run(config: RunConfig, videos: int) -> int:
    """Number of optimiser steps that a configuration asks for."""
    if (config.steps is None) == (config.epochs is None):
        raise ReelvecError(
            "know how long to train",
            "neither steps nor epochs" if config.steps is None else "both steps and epochs",
            "give one of them: steps=500 or epochs=20",
        )
    return config.steps if config.steps is not None else max(1, round((config.epochs or 0) * videos / config.batch))


def warmup_of_run(config: RunConfig, videos: int) -> int:
    """Number of warm-up steps."""
    return config.warmup_steps if config.warmup_epochs is None else round(config.warmup_epochs * videos / config.batch)
