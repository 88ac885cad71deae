"""The commands that make a run and its measurements again."""

import os
from collections.abc import Sequence
from pathlib import Path

from reelvec.evals import CLIP_EVALS, EVALS
from reelvec.verbs.report.battery import is_diagnosis, newest_first
from reelvec.verbs.report.markup import Html, Section, hint, join, section, tag
from reelvec.verbs.report.settings import command_line, compare_settings
from reelvec.verbs.report.story import Json, RunStory


def commands_section(story: RunStory) -> Section:
    """Show how to repeat everything: install, train, measure, report."""
    parts: list[Html] = []
    versions = story.environment.get("versions", {})
    if versions:
        # what follows + in torch's version is the build, which the package index does not know
        install = ["pip", "install", *(f"{name}=={str(version).split('+')[0]}" for name, version in sorted(versions.items()))]
        parts.append(_step("The same versions", command_line(install)))
    if story.config is not None:
        parts.append(_step("The training, in a folder of its own", _pretrain(story)))
        given = story.environment.get("command")
        if isinstance(given, list):
            words = [os.path.basename(str(given[0])), *map(str, given[1:])] if given else []
            parts.append(_step("What was typed then", command_line(words)))
    results = [one.result for one in newest_first(story.measured) if one.result is not None]
    lines = list(dict.fromkeys(_measure(result, str(story.path)) for result in results))
    parts += [_step("The measurements", "\n".join(lines))] if lines else []
    parts.append(_step("This page", command_line(["reelvec", "report", str(story.path)])))
    same = hint(
        "A training is repeated exactly on the same machine with the same versions; elsewhere sums are rounded otherwise, and "
        "numbers move within what other seeds give. The hashes of the weights above say whether it is the same."
    )
    return section("commands", "Do it again", *parts, same)


def _step(title: str, code: str) -> Html:
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


def _measure(result: Json, run: str) -> str:
    columns: Sequence[str] = list(dict.fromkeys(one["label_column"] for one in result["tables"] if "label_column" in one))
    words = ["reelvec", "diagnose" if is_diagnosis(result) else "evaluate", run, "--labels", str(result["labels"])]
    if columns and not Path(result["labels"]).is_dir():
        words += ["--label-column", ",".join(columns)]
    given = result.get("asked") or {}
    for name in ("path", "split", "group"):
        if given.get(f"{name}_column"):
            words += [f"--{name}-column", str(given[f"{name}_column"])]
    if not is_diagnosis(result):
        tasks = [name for name in result["protocol"] if name in EVALS or name in CLIP_EVALS]
        words += [f"tasks={','.join(tasks)}"] if tasks else []
    words += ["--masks", str(given["masks"])] if given.get("masks") else []
    words += [f"{name}={given[name]}" for name in ("clips", "videos") if given.get(name) is not None]
    words += [f"encoders={','.join(given['encoders'])}"] if given.get("encoders") else []
    words += [f"seed={given['seed']}"] if given.get("seed") else []
    return command_line(words)
