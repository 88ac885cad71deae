"""The page of all results, made from their JSON files and from nothing else."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_HEAD = """# What the studies show

This page is made from the JSON files in `studies/results/` by `reelvec study --page docs/studies.md`; nothing in it is
typed by hand. A study trains arms that differ in one thing, on equally many videos unless it says otherwise. On generated
videos each seed has a set, first weights and draws of its own, the same for all arms. The difference is paired seed by
seed; a claim **holds** when the 95 % interval of the mean difference (Student) lies on the claimed side of zero, **does not
hold** when it lies on the other, and is **undecided** where it holds zero.

Read it with care. Networks are tiny and budgets are minutes: a verdict is about this scale and says nothing about the
paper's. Every claim has its own interval: of twenty that are not so, one is found to hold or to fail by chance. Adding
seeds until a verdict pleases voids the interval; a study that was repeated is repeated on seeds of its own, as many as were
settled before, and stands beside the first. On real videos the test videos stay the same, so the interval speaks of
training alone. The generated set, two recipes and the speed of the slow camera were settled with scores on other seeds in
view: [decision 007](../decisions/007-several-sprites.md) and [modist](methods/modist.md) say how. "Untrained" is the arm's
own network with fresh weights, the mean of three. Seconds are those of a thread beside another that does the same: a
measure of effort, not of speed.
"""


def results_page(folder: str | os.PathLike[str]) -> str:
    """Write every result of a folder as Markdown, in the order of their names."""
    results = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    return "\n".join([_HEAD, *[_section(result) for result in results]])


def shown(measure: str, value: float, sign: str = "") -> str:
    """Write a measure: accuracies as percent, other numbers as they are."""
    accuracy = measure.endswith((" knn", " linear", " accuracy unseen"))
    return format(100 * value, f"{sign}.1f") if accuracy else format(value, f"{sign}.2f")


def difference(claim: Mapping[str, Any]) -> str:
    """Write a claim's mean difference and its interval."""
    mean, low, high = (shown(claim["measure"], claim[key], "+") for key in ("difference", "low", "high"))
    return f"{mean} ({low} to {high})"


def _section(result: Mapping[str, Any]) -> str:
    columns = sorted({column for arm in result["arms"].values() for seed in arm["numbers"] for column in seed})
    lines = [
        f"## {result['study']}, {result['data']}",
        "",
        " ".join(filter(None, [result["question"], result.get("note", ""), f"Source: {result['source']}."])),
        f"`{result['command']}`: {result['samples']} videos drawn for training an arm; {'; '.join(result['machines'])}"
        f"{_effort(result)}.",
        f"Linear probe: {result['probe']}.",
        "",
        "| claim | measure | difference, points | verdict |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {c['words']} | {c['measure']}: {compared(c)} | {difference(c)} | **{c['verdict']}** |" for c in result["claims"]
    ]
    head = f"arm, mean of {result['seeds']} seeds (lowest to highest) | steps x batch | seconds of training"
    lines += ["", f"| {head} | {' | '.join(columns)} |", "|" + "---|" * (len(columns) + 3)]
    for name, arm in result["arms"].items():
        for which, numbers, effort in (
            (name, arm["numbers"], f"{arm['steps']} x {arm['batch']} | {_seconds(arm)}"),
            (f"{name}, untrained", arm["untrained"], "0 | 0"),
        ):
            lines.append(f"| {which} | {effort} | {' | '.join(_cell(column, numbers) for column in columns)} |")
    return "\n".join([*lines, ""])


def compared(claim: Mapping[str, Any]) -> str:
    """Write which arms a claim sets against one another."""
    ours = f"{claim['arm']} − {claim['than']}"
    return f"({ours}) − ({' − '.join(claim['beyond'])})" if claim.get("beyond") else ours


def _effort(result: Mapping[str, Any]) -> str:
    """Say how long all arms with all seeds were trained, one after the other; evaluation comes to it."""
    seconds = [second for arm in result["arms"].values() for second in arm.get("training_seconds", [])]
    return f"; {sum(seconds) / 60:.0f} minutes of training on one thread in all" if seconds else ""


def _seconds(arm: Mapping[str, Any]) -> str:
    seconds = arm.get("training_seconds")  # results before 29 November 2026 have none
    return f"{sum(seconds) / len(seconds):.0f}" if seconds else ""


def _cell(column: str, numbers: list[dict[str, float]]) -> str:
    values = [seed[column] for seed in numbers if column in seed]
    if not values:  # a number of a task that this arm does not train on
        return ""
    mean, low, high = (shown(column, value) for value in (sum(values) / len(values), min(values), max(values)))
    return f"{mean} ({low} to {high})"
