"""What the stored results mean for a run that nobody here could make: 100 million clips on 64 GPUs, worked out on paper."""

from collections.abc import Mapping
from typing import Any

from measuring import Row

CLIPS, GPUS = 100_000_000, 64
CORES_OF_GPU = 16
"""cores beside each GPU; all but one decode"""
GPU_OVER_CORE = 1000
"""assumed: how many times as fast a GPU takes a step as the one core that was measured. No GPU was there"""
KEPT_ON_64 = 0.9
"""assumed: share of the speed that is left when 64 GPUs exchange keys and gradients"""
PASSES = 200
"""assumed: epochs of a run"""


def on_paper(results: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return the table of inputs and what follows from them; empty where a result that it needs is absent."""
    if not {"loading", "training_step"} <= results.keys():
        return []
    by_files = {row["files"]: row for row in _rows(results["loading"], "By workers")}
    step = next(row for row in _rows(results["training_step"], "One step of MoCo") if row["network"] == "r3d_18")
    core = 2 * step["videos"] / (step["rho_moco, ms"]["median"] / 1000)
    network = core * GPU_OVER_CORE
    rows: list[Row] = [
        _row("clips of one pass", CLIPS, "the question"),
        _row("GPUs", GPUS, "the question"),
        _row("cores beside each GPU, one of which does not decode", CORES_OF_GPU, "assumed"),
        _row("r3d_18: clips a second that one core trains on", core, "measured: training_step.json, rho_moco, 2 clips a video"),
        _row("a GPU over that core", GPU_OVER_CORE, "assumed; not measured"),
        _row("r3d_18: clips a second that a GPU trains on", network, "the two multiplied"),
        _row("share of speed kept on 64 GPUs", KEPT_ON_64, "assumed; not measured"),
    ]
    for files, row in by_files.items():
        worker, second = row["1 worker"]["median"], row["2 workers over 1"]["median"]
        decoded = worker * (CORES_OF_GPU - 1) * second / 2
        pace = min(decoded, network)
        hours = CLIPS / (GPUS * KEPT_ON_64 * pace) / 3600
        holds = "decoding holds" if decoded < network else "the networks hold"
        rows += [
            _row(f"{files}: clips a second of one worker", worker, "measured: loading.json"),
            _row(f"{files}: two workers over one", second, "measured: loading.json; the share kept is assumed for all workers"),
            _row(f"{files}: clips a second for each GPU", decoded, f"worker x {CORES_OF_GPU - 1} x half of two over one"),
            _row(f"{files}: hours of one pass", hours, f"clips / (GPUs x share kept x the slower of both); {holds} it up"),
            _row(f"{files}: days of {PASSES} passes", hours * PASSES / 24, "assumed number of passes"),
        ]
    return rows


def _row(what: str, value: float, origin: str) -> Row:
    return {"": what, "value": value, "from": origin}


def _rows(result: Mapping[str, Any], title: str) -> list[Row]:
    return next(table["rows"] for table in result["tables"] if table["title"] == title)
