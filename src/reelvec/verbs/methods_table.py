"""`reelvec methods`: what each method learns from and what it needs, read from the methods themselves."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch

from reelvec.core import Method
from reelvec.core.shipped import shipped_folder
from reelvec.methods import METHODS

COST_FILE = Path(__file__).with_name("method_cost.json")
"""written by benchmarks/method_cost.py"""

_PATENTS = {"modist": "US 11,971,956 (granted 2024) covers the idea of MoDist"}
_NOTES = {
    "v3s": "a reconstruction from the paper's abstract, not a reproduction",
    "cmd": "the paper's own files are under Alibaba's copyright; nothing of them is in here",
}
"""what else a user should know of where a method comes from"""

_SMALLEST = {
    "queue": (8, 100, "negatives wait in a queue, so a batch may be small"),
    "bank": (8, 100, "negatives wait in a queue or bank, so a batch may be small"),
    "batch": (32, 200, "negatives are the rest of the batch: too few of them teach little"),
    "prototypes": (64, 500, "codes are made over the batch, which should not be much smaller than the prototypes"),
    "nodes": (16, 100, "negatives are other nodes of the same graph; batch norm wants some videos"),
    "none": (16, 100, "no negatives; batch norm wants some videos"),
}
"""smallest batch and number of videos that we would try, and why"""
_NEGATIVES = {
    "modist": "queue", "rho_moco": "queue", "dsm": "queue", "vtdl": "bank", "cvrl": "batch", "rho_simclr": "batch",
    "tcgl": "nodes", "cmd": "batch", "rho_swav": "prototypes", "rho_byol": "none", "v3s": "none",
}  # fmt: skip


def list_methods() -> list[dict[str, Any]]:
    """One row a method, with the numbers of its default settings, which are the paper's.

    Keys: name, summary, paper (arXiv number), encoder, streams (names), clips, frames, stride, size, accumulates, encoders
    (names of what is kept), patent and note (empty where there is none that we know of), cost (time of a step over rho_moco's),
    cost_with_reading (the same with decoding and the computation of flow) and mebibytes as measured by
    benchmarks/method_cost.py (None where not measured), smallest_batch, smallest_videos, because, studies (which claims about
    it were tested: [{"study", "data", "claim", "measure", "verdict", "own"}]; own: about the method as its CPU recipe has it,
    not about a variant of it).
    """
    costs = json.loads(COST_FILE.read_text())["methods"] if COST_FILE.exists() else {}
    tested = _tested()
    return [{**_row(name, kind), **_cost(costs.get(name)), "studies": tested.get(name, [])} for name, kind in METHODS.items()]


def _cost(measured: dict[str, float] | None) -> dict[str, float | None]:
    keys = {"cost": "relative", "cost_with_reading": "relative_with_reading", "mebibytes": "mebibytes"}
    return {key: measured.get(name) if measured else None for key, name in keys.items()}


def _tested() -> dict[str, list[dict[str, Any]]]:
    """Return the claims about each method that the stored results of studies judged: those whose first arm is the method."""
    tested: dict[str, list[dict[str, Any]]] = {}
    for file in sorted((shipped_folder("studies") / "results").glob("*.json")):
        result = json.loads(file.read_text())
        for claim in result["claims"]:
            arm = result["arms"][claim["arm"]]
            entry = {"study": result["study"], "data": result["data"], "claim": claim["words"]}
            entry |= {key: claim[key] for key in ("measure", "verdict")}
            tested.setdefault(arm["method"], []).append(entry | {"own": not set(arm["settings"]) - _of_all(result)})
    return tested


def _of_all(result: dict[str, Any]) -> set[str]:
    """Return the settings that all arms of a result share, such as fit=square for real videos."""
    return set.intersection(*(set(arm["settings"]) for arm in result["arms"].values()))


def _row(name: str, kind: type[Method]) -> dict[str, Any]:
    with torch.device("meta"):  # the networks by shape alone: no memory, no time
        method = kind(kind.Config())
    needs, kept = method.needs(), method.encoders()
    encoder, card = kept["visual"]
    text = sys.modules[kind.__module__].__doc__ or ""
    batch, videos, because = _SMALLEST[_NEGATIVES[name]]
    paper = re.search(r"arXiv\s+(\d{4}\.\d{4,5})", text)
    return {
        "name": name,
        "summary": text.strip().splitlines()[0],
        "paper": f"arXiv {paper[1]}" if paper else "",
        "encoder": encoder.architecture,
        "streams": [need.stream.value for need in needs.streams],
        "clips": needs.clips,
        "frames": card.needs.streams[0].frames,
        "stride": card.needs.streams[0].stride,
        "size": card.size,
        "accumulates": kind.accumulates,
        "encoders": sorted(kept, key=lambda key: (key != "visual", key)),
        "patent": _PATENTS.get(name, ""),
        "note": _NOTES.get(name, ""),
        "smallest_batch": batch,
        "smallest_videos": videos,
        "because": because,
    }
