"""The page of all results, made from their JSON files and from nothing else."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_HEAD = """# What the studies show

This page is made from the JSON files in `studies/results/` by `reelvec study --page docs/studies.md`; nothing in it is typed
by hand. A study trains arms that differ in one thing with equal budgets. Each seed has a generated set, first weights and draws
of its own, the same for all arms. The difference is paired seed by seed; a claim **holds** when the 95 % interval of the mean
difference (Student) lies on the claimed side of zero, **does not hold** when it lies on the other, **undecided** where it
holds zero. Networks are tiny and budgets are minutes: a verdict is about this scale and says nothing about the paper's.
"""


def results_page(folder: str | os.PathLike[str]) -> str:
    """Write every result of a folder as Markdown, in the order of their names."""
    results = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    return "\n".join([_HEAD, *[_section(result) for result in results]])


def _section(result: Mapping[str, Any]) -> str:
    columns = sorted({column for arm in result["arms"].values() for seed in arm["numbers"] for column in seed})
    lines = [
        f"## {result['study']}, {result['data']}",
        "",
        f"{result['question']} Source: {result['source']}.",
        f"`reelvec study {result['study']} --seeds {result['seeds']} --budget {result['budget']}`: "
        f"{result['samples']} videos drawn for training each arm, {result['seconds'] / 60:.0f} min on {_machine(result)}, "
        f"torch {result['versions']['torch']}.",
        "",
        "| claim | measure | difference, points | verdict |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {c['words']} | {c['measure']}: {c['arm']} − {c['than']} | {100 * c['difference']:+.1f} "
        f"({100 * c['low']:+.1f} to {100 * c['high']:+.1f}) | **{c['verdict']}** |"
        for c in result["claims"]
    ]
    lines += ["", f"| arm, mean of {result['seeds']} seeds (lowest to highest), % | {' | '.join(columns)} |"]
    lines += ["|" + "---|" * (len(columns) + 1)]
    lines += [
        f"| {name} | {' | '.join(_cell([seed.get(column) for seed in arm['numbers']]) for column in columns)} |"
        for name, arm in result["arms"].items()
    ]
    return "\n".join([*lines, ""])


def _machine(result: Mapping[str, Any]) -> str:
    return f"{result['cores']} CPU cores" if result["device"] == "cpu" else str(result["device"])


def _cell(values: list[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    return f"{sum(known) / len(known):.1f} ({min(known):.1f} to {max(known):.1f})" if known else ""
