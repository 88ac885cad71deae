"""What the speed benchmarks share: taking turns, figures with their spread, the file of a result, videos to measure on."""

import argparse
import json
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import av
import cv2
import numpy as np
import torch

from reelvec.core.machine import first_line, usable_cores

Row = dict[str, Any]
"""a line of a table: column -> text, number, figure, or None for what was not measured"""

RATE = 30
"""frames a second of the videos that are made here"""


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="also write the result there")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: shows that it runs, measures nothing")
    parser.add_argument("--rounds", type=int, help="turns of each contender; the median of them counts")
    return parser


def one_thread() -> None:
    """Let torch and OpenCV of this process use one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def take_turns(work: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each, round by round, so that a machine that slows down slows all of them.

    Everyone works once before, which is not counted; the order is turned around after every round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for run in work.values():
        run()
    for number in range(rounds):
        for name in list(work)[:: -1 if number % 2 else 1]:
            began = perf_counter()
            work[name]()
            seconds[name].append(perf_counter() - began)
    return seconds


def figure(values: Iterable[float]) -> dict[str, float]:
    """Return median, lowest and highest of some rounds."""
    kept = list(values)
    return {"median": _short(median(kept)), "low": _short(min(kept)), "high": _short(max(kept))}


def rate(many: float, seconds: Sequence[float]) -> dict[str, float]:
    """Return how many a second."""
    return figure(many / s for s in seconds)


def ratio(over: Sequence[float], under: Sequence[float]) -> dict[str, float]:
    """Divide round by round: what slowed a whole round cancels out."""
    return figure(a / b for a, b in zip(over, under, strict=True))


def table(title: str, note: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Return a table of a result; `note` says how to read it."""
    return {"title": title, "note": note, "rows": list(rows)}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def machine(*packages: str, device: str = "cpu") -> dict[str, Any]:
    """Describe the machine and the versions of what is measured. Call it before the work: the load is then that of others."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "cpu": cpu,
        **({"device": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {}),
        "cores": usable_cores(),
        "load_at_start": first_line("/proc/loadavg").split()[:1],
        "system": platform.system(),
        "python": platform.python_version(),
        "libavcodec": ".".join(map(str, av.library_versions["libavcodec"])),
        **{name: found for name in packages if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def absent(packages: Iterable[str]) -> dict[str, str]:
    """Return a word on each peer that is not installed."""
    return {name: "not installed: pip install 'reelvec[bench]'" for name in packages if _version(name) is None}


def finish(
    benchmark: str,
    given: argparse.Namespace,
    described: dict[str, Any],
    tables: Sequence[dict[str, Any]],
    left_out: Mapping[str, str] | None = None,
) -> None:
    """Print the tables of a result, and write it as JSON where asked."""
    settings = {name: value for name, value in vars(given).items() if name not in ("out", "quick") and _plain(value)}
    result = {
        "benchmark": benchmark,
        "quick": given.quick,
        "settings": settings,
        "machine": described,
        "left_out": dict(left_out or {}),
        "tables": list(tables),
    }
    for made in result["tables"]:
        print(f"{made['title']}\n{markdown(made['rows'])}\n")
    for name, why in result["left_out"].items():
        print(f"left out: {name}, {why}")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def markdown(rows: Sequence[Row]) -> str:
    """Write rows as a table; columns stand in the order in which they first appear."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(shown(row.get(name)) for name in columns) + " |" for row in rows]
    return "\n".join(lines)


def shown(cell: Any) -> str:
    """Write a cell: a figure as its median and, where the rounds differ, its lowest and highest."""
    if cell is None:
        return "–"
    if isinstance(cell, Mapping):
        middle, low, high = (shown(cell[key]) for key in ("median", "low", "high"))
        return middle if low == high else f"{middle} ({low}–{high})"
    if isinstance(cell, float):
        return _digits(cell)
    return f"{cell:,}".replace(",", " ") if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def _digits(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def memory_mib(which: str, process: str = "self") -> float:
    """Return MiB of a process by a line of the kernel's status file: VmRSS now, VmHWM at its peak, RssAnon its own (Linux)."""
    found = re.search(rf"^{which}:\s+(\d+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else float("nan")


def moving_frames(width: int, height: int, frames: int, seed: int) -> Iterator[np.ndarray]:
    """Yield RGB pictures that cost a codec what a film does.

    A textured ground pans, turns and zooms like a camera held by hand; textured patches go their own ways in front of it; every
    frame has grain of its own.
    """
    rng = np.random.default_rng(seed)
    ground = _texture(rng, height * 3 // 2, width * 3 // 2)
    patches = [_texture(rng, height // part, width // part) for part in (2, 4, 4)]
    grain = rng.normal(0, 3, (height + 64, width + 64, 1)).astype(np.int16)
    for number in range(frames):
        t = number / RATE
        camera = cv2.getRotationMatrix2D((ground.shape[1] / 2, ground.shape[0] / 2), 3 * np.sin(t), 1 + 0.1 * np.sin(0.7 * t))
        camera[:, 2] -= width * (0.25 + 0.15 * np.sin(0.5 * t)), height * (0.25 + 0.1 * np.cos(0.9 * t))
        picture = cv2.warpAffine(ground, camera, (width, height), flags=cv2.INTER_LINEAR)
        for i, patch in enumerate(patches):
            left = round((width - patch.shape[1]) * (0.5 + 0.5 * np.sin((0.6 + 0.3 * i) * t + i)))
            top = round((height - patch.shape[0]) * (0.5 + 0.5 * np.cos((0.5 + 0.4 * i) * t + 2 * i)))
            picture[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
        y, x = rng.integers(0, 64, 2)
        yield np.clip(picture + grain[y : y + height, x : x + width], 0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Coarse and fine structure as in photographs: the amplitude falls with the frequency."""
    summed, cell = np.zeros((height, width, 3), np.float32), 2
    while cell < height:
        coarse = rng.normal(0, cell**0.8, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        summed += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cell *= 2
    return np.clip(128 + 50 * summed / summed.std(), 0, 255).astype(np.uint8)


def write_video(path: Path, pictures: Iterable[np.ndarray], gop: int, b_frames: int = 3, **options: str) -> Path:
    """Write RGB pictures with x264: its usual quality and effort unless options say otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        chosen = {"preset": "medium", "crf": "23", "bf": str(b_frames)} | options
        stream = container.add_stream("libx264", rate=RATE, options=chosen)
        stream.pix_fmt, stream.gop_size = "yuv420p", gop
        for number, picture in enumerate(pictures):
            if not number:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
