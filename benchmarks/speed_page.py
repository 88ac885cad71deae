"""Write docs/speed.md and docs/growth.svg from benchmarks/results and benchmarks/changes_kept.json, and from nothing else.

    python benchmarks/speed_page.py

`make bench` measures and then calls this. A result of `--quick` measures nothing and is refused.
"""

import json
from pathlib import Path
from typing import Any

from growth_picture import growth_picture
from measuring import markdown
from on_paper import on_paper

ROOT = Path(__file__).parents[1]
RESULTS, PAGE, PICTURE = ROOT / "benchmarks" / "results", ROOT / "docs" / "speed.md", ROOT / "docs" / "growth.svg"
CHANGES = ROOT / "benchmarks" / "changes_kept.json"
"""kept by hand: what a change was before and after it, as decisions/ and changes/ say; measured when it was made"""

SUBJECTS = {
    "reading": (
        "Reading clips",
        "2 clips of 8 frames, 4 apart, short side 128, from one file. Floor: libavcodec decodes the frames without which the\n"
        "wanted ones cannot be had, and nothing else is done. torchcodec: seek mode exact (it scans files), and approximate.\n",
    ),
    "loading": (
        "Loading batches",
        "The same clips through the loader of a training run: 8 videos to a batch, each dropped when the next comes. Peers\n"
        "read in torch's DataLoader.\n",
    ),
    "views": (
        "Random views",
        "Crop, flip, jitter, grey, blur, normalisation of uint8 clips; one draw for all frames of a clip, each clip its own.\n",
    ),
    "training_step": (
        "A training step",
        "The same clips, views, networks, heads, queue and optimiser for all. SlowFast-style: its released MoCo's order of\n"
        "work, written anew in the script. lightly: its MoCo example, once for each direction.\n",
    ),
    "scale": (
        "What grows with size",
        "The index with its rows, a worker with its samples, a step with its queue. Curves of these and of reading and\n"
        "loading above; axes are logarithmic, bars go from the lowest round to the highest:\n\n![curves](growth.svg)\n\n",
    ),
    "search": (
        "Search and embedding",
        "Exact search. Floor: a product of matrix and vector, and the choice of the ten largest, with the vectors in memory.\n",
    ),
    "motion_vectors": (
        "Motion from the codec",
        "Frames a second from a file's first frame to its last: decoding alone, with the decoder's vectors handed out, and as\n"
        "methods get them, beside optical flow by OpenCV's DIS.\n",
    ),
}
"""benchmark -> heading, and what is compared; how exactly stands at the top of its script"""

_HEAD = """# Speed

This page is made by `benchmarks/speed_page.py` from `benchmarks/results/*.json`, and its table of changes from
`benchmarks/changes_kept.json`, which is kept by hand; nothing else in it is typed. `make bench` installs the peers,
measures again and rewrites it; `make bench-quick` shows in a few minutes that the scripts run.

Ratios are what counts: contenders took turns in one run on one machine and are divided round by round. A figure is the median
of the rounds, with the lowest and the highest in brackets. "a over b" is how many times as fast a is where rates are given
(clips a second), and how many times as long it takes where times are (milliseconds).
"""


def speed_page(folder: Path) -> str:
    """Return the page that the results in a folder give."""
    results = stored_results(folder)
    parts = [_HEAD]
    for name, (heading, compared) in SUBJECTS.items():
        parts.append(f"## {heading}\n\n{compared}Script: `benchmarks/{name}.py`.\n")
        found = [result for result in results if result["benchmark"] == name]
        parts += [_section(result) for result in found] or ["Not measured yet.\n"]
    parts.append(_changes())
    parts.append(_on_paper(on_cpu(results)))
    return "\n".join(parts)


def stored_results(folder: Path) -> list[dict[str, Any]]:
    """Return the results in a folder; of one benchmark there may be several, such as one on a GPU."""
    files = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
    for path, result in files:
        if result.get("benchmark") in SUBJECTS and result["quick"]:
            raise SystemExit(f"{path.name} was made with --quick, which measures nothing: make it again without")
    return [result for _, result in files if result.get("benchmark") in SUBJECTS]


def on_cpu(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the results without a GPU by the benchmark's name."""
    return {result["benchmark"]: result for result in results if "device" not in result["machine"]}


def _section(result: dict[str, Any]) -> str:
    machine = dict(result["machine"])
    load = ", ".join(machine.pop("load_at_start", []))
    named = f"{machine.pop('device', None) or machine['cpu']}, {machine.pop('cores')} cores, load {load} before the run"
    versions = ", ".join(f"{name} {number}" for name, number in machine.items() if name not in ("cpu", "system"))
    lines = [f"{named}; {versions}.", ""]
    for made in result["tables"]:
        lines += [f"**{made['title']}.** {made['note']}", "", markdown(made["rows"]), ""]
    lines += [f"Left out: {name} ({why}).\n" for name, why in result["left_out"].items()]
    return "\n".join(lines)


_KEPT = """## Changes that were kept

Before and after, each as it was measured when the change was made, mostly on a loaded machine: the tables above give the
figures that count. What was tried and thrown away stands in `decisions/`.
"""
_ON_PAPER = """## On paper: 100 million clips on 64 GPUs

Nobody ran this. Every input is a stored measurement or an assumption, and says which; `benchmarks/on_paper.py` does the sums.
It is here for what holds a run up, not for its hours.
"""


def _changes() -> str:
    return f"{_KEPT}\n{markdown(json.loads(CHANGES.read_text(encoding='utf-8')))}\n"


def _on_paper(results: dict[str, dict[str, Any]]) -> str:
    rows = on_paper(results)
    return f"{_ON_PAPER}\n{markdown(rows) if rows else 'Needs the results of loading and training_step.'}\n"


if __name__ == "__main__":
    PAGE.write_text(speed_page(RESULTS), encoding="utf-8")
    PICTURE.write_text(growth_picture(on_cpu(stored_results(RESULTS))), encoding="utf-8")
