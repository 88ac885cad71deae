"""The commands that make a run and its measurements again."""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reelvec.evals.dense.given_masks import is_generated
from reelvec.verbs.battery import SUITES
from reelvec.verbs.report.arguments import Kind, arguments_of, kind_of
from reelvec.verbs.report.battery import newest_first
from reelvec.verbs.report.markup import Html, Section, hint, join, section, tag
from reelvec.verbs.report.settings import command_line, compare_settings, flat_settings, written
from reelvec.verbs.report.story import Json, Measured, RunStory


def commands_section(story: RunStory) -> Section:
    """Show how to repeat everything: install, train, measure, report."""
    parts: list[Html] = []
    versions = story.environment.get("versions", {})
    if versions:
        # what follows + in torch's version is the build, which the package index does not know
        install = ["pip", "install", *(f"{name}=={str(version).split('+')[0]}" for name, version in sorted(versions.items()))]
        parts.append(command_block("The same versions", command_line(install)))
    if story.config is not None:
        parts.append(command_block("The training, in a folder of its own", _pretrain(story)))
        given = story.environment.get("command")
        if isinstance(given, list):
            words = [os.path.basename(str(given[0])), *map(str, given[1:])] if given else []
            parts.append(command_block("What was typed then", command_line(words)))
    lines = measuring_commands(story)
    parts += [command_block("The measurements", "\n".join(lines))] if lines else []
    if any("VIDEOS" in line.split() for line in lines):
        parts.append(hint("VIDEOS stands for the unlabelled videos that were looked at: the result does not say which."))
    parts.append(command_block("This page", command_line(["reelvec", "report", str(story.path)])))
    same = hint(
        "A training is repeated exactly on the same machine with the same versions; elsewhere sums are rounded otherwise, and "
        "numbers move within what other seeds give. The hashes of the weights above say whether it is the same."
    )
    return section("commands", "Do it again", *parts, same)


def command_block(title: str, code: str) -> Html:
    """Show a command under a heading, with a button that copies it."""
    button = tag("button", "Copy", type="button", class_="copy scripted", aria_label=f"Copy: {title}")
    return join([tag("h3", title), tag("div", tag("pre", tag("code", code), tabindex=0), button, class_="command")])


def _pretrain(story: RunStory) -> str:
    config = story.config or {}
    settings = compare_settings(config)
    videos = str(story.environment.get("videos") or "VIDEOS")
    out = f"out={story.path.name or 'run'}-again"
    words = ["reelvec", "pretrain", videos, "--method", str(config.get("method"))]
    if settings is None:
        return command_line([*words, out])
    recipe = ["--recipe", settings.recipe_name] if settings.recipe_name else []
    return command_line([*words, *recipe, *settings.words(), out])


def measuring_commands(story: RunStory) -> list[str]:
    """Return the commands that make every result of the evals/ folder again, newest first; what a suite does comes with it."""
    known = [
        (one, kind) for one in newest_first(story.measured) if (kind := kind_of(one.content)) and _tells(kind, one.content)
    ]
    by_file = {one.file.name: one for one, _ in known}
    run, lines, done = str(story.path), [], set[str]()
    for one, kind in known:
        if kind == "suite":
            parts = {p["name"]: by_file[n] for p in one.content["parts"] if (n := Path(p["file"]).name) in by_file}
            lines.append(_suite(one.content, parts, run))
            done |= {part.file.name for part in parts.values()}
    on_frames: dict[str, dict[Kind, Json]] = defaultdict(dict)
    for one, kind in known:
        if kind == "suite" or (one.file.name in done and not _is_more_than_a_suite(one.content)):
            continue
        if kind in ("propagation", "localisation", "detection"):
            on_frames[str(one.content.get("data", one.content.get("boxes")))][kind] = one.content
        else:
            lines.append(_ALONE[kind](one.content, run))
    for data, found in on_frames.items():
        flag = "--boxes" if "detection" in found else "--masks"
        words = [word for kind, content in found.items() for word in _of_part(kind, arguments_of(kind, content), {})]
        lines.append(command_line(["reelvec", "evaluate", run, flag, data, *words]))
    return list(dict.fromkeys(lines))


def _tells(kind: Kind, content: Json) -> bool:
    """Whether a result says how it was made; one of another version may not."""
    try:
        return kind == "suite" or arguments_of(kind, content) is not None
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, StopIteration):
        return False


def _is_more_than_a_suite(content: Json) -> bool:
    """Whether a result of `evaluate` was made again with other tasks after a suite had made it."""
    if kind_of(content) != "evaluate":
        return False
    return tuple(arguments_of("evaluate", content).get("tasks", ())) not in SUITES.values()


def _on_labels(content: Json, run: str) -> str:
    kind = kind_of(content)
    assert kind is not None  # others have no command
    given = arguments_of(kind, content)
    command = "evaluate" if kind == "evaluate" else "diagnose"
    return command_line(["reelvec", command, run, "--labels", str(content["labels"]), *_labels(content, given), *_words(given)])


def _labels(content: Json, given: dict[str, Any]) -> list[str]:
    """Take the columns and the masks out of the arguments; return them as flags."""
    words = []
    column, folder = given.pop("label_column", None), Path(content["labels"])
    if column and not (folder.is_dir() and not (folder / "settings.json").is_file()):  # folders of classes have one column
        words += ["--label-column", column]
    for name in ("path", "split", "group"):
        value = given.pop(f"{name}_column", None)
        words += [f"--{name}-column", str(value)] if value else []
    masks = given.pop("masks", None)
    return words + (["--masks", str(masks)] if masks else [])


def _words(given: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Write arguments as key=value; settings of tasks as task.key=value."""
    words = [f"{name}={value}" for name, value in flat_settings(given.get("settings") or {})]
    for name, value in given.items():
        if name != "settings":
            plain = ",".join(map(str, value)) if isinstance(value, list) and all(isinstance(v, str) for v in value) else None
            words.append(f"{prefix}{name}={written(value) if plain is None else plain}")
    return words


def _health(content: Json, run: str) -> str:
    given = arguments_of("health", content)
    return command_line(["reelvec", "health", run, str(given.pop("videos", "VIDEOS")), *_words(given)])


def _on_pairs(content: Json, run: str) -> str:
    given = arguments_of("pair_similarity", content)
    return command_line(["reelvec", "evaluate", run, "--pairs", str(content["labels"]), *_words(given)])


def _in_python(content: Json, run: str) -> str:
    """Write the call of what has no command of its own."""
    kind = kind_of(content)
    assert kind is not None  # others have no command
    given = arguments_of(kind, content)
    values = [repr(run), repr(str(content.get("data", content.get("labels"))))]
    values += [f"{name}={tuple(value) if isinstance(value, list) else value!r}" for name, value in given.items()]
    return command_line(["python", "-c", f"from reelvec import {kind}; {kind}({', '.join(values)})"])


_ALONE: dict[Kind, Callable[[Json, str], str]] = {
    "evaluate": _on_labels, "diagnose": _on_labels, "diagnose_masks": _on_labels, "health": _health,
    "pair_similarity": _on_pairs, "class_maps": _in_python,
}  # fmt: skip
"""of results that are not of frames with masks or boxes, the command"""


def _suite(summary: Json, parts: Mapping[str, Measured], run: str) -> str:
    """Write the command of a suite: its data and settings are those of its parts."""
    found = {name: one.content for name, one in parts.items() if kind_of(one.content) == name}
    words = ["reelvec", "evaluate", run, "--suite", str(summary["suite"])]
    common: dict[str, Any] = {}
    if labels := next((found[name] for name in ("evaluate", "diagnose") if name in found), None):
        common = arguments_of("evaluate" if labels is found.get("evaluate") else "diagnose", labels)
        common = {name: value for name, value in common.items() if name not in ("tasks", "baselines")}
        tasks = SUITES.get(str(summary["suite"]), ())
        common["settings"] = {task: one for task, one in (common.get("settings") or {}).items() if task in tasks}
        shared = dict(common)
        words += ["--labels", str(labels["labels"]), *_labels(labels, shared), *_words(shared)]
    elif "pair_similarity" in found:
        common = arguments_of("pair_similarity", found["pair_similarity"])
        common.pop("baselines", None)
        words += _words(common)
    for kind, flag, key in (
        ("propagation", "--masks", "data"),
        ("localisation", "--masks", "data"),
        ("detection", "--boxes", "boxes"),
        ("pair_similarity", "--pairs", "labels"),
    ):
        if kind in found and flag not in words:
            words += [flag, str(found[kind][key])]
    for part in ("diagnose", "diagnose_masks", "class_maps", "localisation", "propagation", "detection", "pair_similarity"):
        if part in found:
            asked = arguments_of(part, found[part])
            handed = _PASSED[part]
            if (part in _MASKED and asked.get("masks")) or (part == "pair_similarity" and not labels):
                handed = (*handed, *_COLUMNS, "label_column")
            passed = {name: common[name] for name in handed if name in common}
            if part == "diagnose_masks" and labels and is_generated(Path(labels["labels"])):  # its masks are its own
                passed["masks"] = str(Path(labels["labels"]).parent / "truth")
            if part == "pair_similarity" and labels:  # it says its encoders in any case
                passed["encoders"] = list(labels["encoders"])
            words += _of_part(part, asked, passed)
    return command_line(words)


_COLUMNS = ("path_column", "label_column", "split_column", "group_column", "videos")
_PASSED: dict[Kind, tuple[str, ...]] = {
    "diagnose": (*_COLUMNS, "clips", "encoders", "seed"), "diagnose_masks": ("label_column", "seed"), "class_maps": ("seed",),
    "localisation": ("seed",), "propagation": ("seed",), "detection": ("seed",),
    "pair_similarity": ("clips", "encoders", "seed"),
}  # fmt: skip
"""arguments that a suite hands on to its parts"""
_MASKED: tuple[Kind, ...] = ("diagnose_masks", "class_maps")
"""parts that take masks of one's own beside the labels, and then the columns of these"""


def _of_part(part: Kind, given: Mapping[str, Any], passed: Mapping[str, Any]) -> list[str]:
    """Write what a part of a suite was asked for beside what the suite gives it."""
    own = {name: value for name, value in given.items() if passed.get(name) != value}
    if part in ("propagation", "localisation"):  # the quick suite makes frames small
        own["size"] = given.get("size", 240 if part == "localisation" else None)
    if part == "diagnose_masks":  # which of its columns stand in the labels is for the suite to say
        own = {name: value for name, value in own.items() if name not in ("path_column", "split_column")}
    return _words(own, f"{part}.")
