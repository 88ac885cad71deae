"""The curves of docs/growth.svg: what grows with workers, with clips, with files, with the index and with the queue.

All points are medians in benchmarks/results; `benchmarks/speed_page.py` writes the picture beside the page.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

Points = list[tuple[float, float, float, float]]
"""where across, then median, lowest and highest of the rounds"""

_WIDTH, _HEIGHT, _COLUMNS = 300, 230, 3
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 44, 36
"""what a panel keeps free around its curves"""
_COLOURS = ("#1f6fb4", "#c8551b", "#3b8a3e", "#7a4fa3")
_CHARACTER = 6
"""pixels across, of the letters used"""


@dataclass(frozen=True)
class Panel:
    """Curves over one quantity, on logarithmic axes."""

    title: str
    across: str
    curves: dict[str, Points]


def growth_picture(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return an SVG of the panels whose results are there; `results` are by the benchmark's name."""
    panels = [panel for panel in _panels(results) if any(panel.curves.values())]
    rows = -(-len(panels) // _COLUMNS)
    size = f'width="{_COLUMNS * _WIDTH}" height="{rows * _HEIGHT}"'
    drawn = [_draw(panel, i % _COLUMNS * _WIDTH, i // _COLUMNS * _HEIGHT) for i, panel in enumerate(panels)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11" fill="#222">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *drawn, "</svg>", ""])


def _panels(results: Mapping[str, Mapping[str, Any]]) -> list[Panel]:
    loading, reading, scale = (results.get(name, {"tables": []}) for name in ("loading", "reading", "scale"))
    workers = {row["files"]: [_point(1, row["1 worker"]), _point(2, row["2 workers"])] for row in _rows(loading, "By workers")}
    by_length: dict[str, Points] = {}
    for row in _rows(reading, "By length of the clips"):
        files, frames = re.fullmatch(r"(.+), (\d+) frames", row["files"]).groups()  # type: ignore[union-attr]
        by_length.setdefault(files, []).append(_point(frames, row["reelvec"]))
    lines = {re.match(r"(\d+)p, GOP 48", row["files"]): row for row in _rows(reading, "By kind of file and resolution")}
    by_lines = {
        who: sorted(_point(found[1], row[who]) for found, row in lines.items() if found)
        for who in ("floor", "reelvec", "reelvec yuv")
    }
    queue = [_point(row["queue"], row["step, ms"]) for row in _rows(scale, "A step by the size of its queue")]
    return [
        Panel("Clips a second by workers", "workers", workers),
        Panel("Clips a second by length of the clips", "frames", by_length),
        Panel("Clips a second by resolution", "lines, GOP 48", by_lines),
        Panel("To open an index, seconds", "rows", _by_rates(scale, "to open, s")),
        Panel("A worker's own memory, MiB", "rows of the index", _by_rates(scale, "a worker's own, MiB")),
        Panel("A step of rho_moco, ms", "keys in the queue", {"": queue}),
    ]


def _rows(result: Mapping[str, Any], title: str) -> list[dict[str, Any]]:
    return next((table["rows"] for table in result["tables"] if table["title"] == title), [])


def _by_rates(scale: Mapping[str, Any], name: str) -> dict[str, Points]:
    """Return the curve of indexes of files of even frame rates, and that of indexes where some are not."""
    curves: dict[str, Points] = {}
    for row in _rows(scale, "The index by its rows"):
        rates = "even frame rates" if row["uneven"] == "none" else f"uneven: {row['uneven']}"
        curves.setdefault(rates, []).append(_point(row["rows"], row[name]))
    return curves


def _point(across: float | str, measured: Mapping[str, float]) -> tuple[float, float, float, float]:
    return float(across), measured["median"], measured["low"], measured["high"]


def _draw(panel: Panel, left: int, top: int) -> str:
    points = [point for curve in panel.curves.values() for point in curve]
    xs = sorted({x for x, *_ in points})
    x_of = _axis(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT)
    low, high = _decades(min(lowest for *_, lowest, _ in points), max(highest for *_, highest in points))
    y_of = _axis(low, high, _HEIGHT - _BOTTOM, _TOP)
    parts = [f'<g transform="translate({left},{top})">', _text(_LEFT, 16, panel.title, "start", weight="bold")]
    for y in _marks(low, high):
        parts.append(f'<path d="M{_LEFT} {y_of(y):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 5, y_of(y) + 4, _number(y), "end"))
    free_up_to = float("inf")
    for x in reversed(xs):  # the largest is always marked, others where there is room
        half = _CHARACTER * (len(_number(x)) + 1) / 2
        place = min(x_of(x), _WIDTH - half)
        if place + half <= free_up_to:
            parts.append(_text(place, _HEIGHT - _BOTTOM + 15, _number(x), "middle"))
            free_up_to = place - half
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, panel.across, "middle"))
    names = 0
    for number, (name, curve) in enumerate(panel.curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = "L".join(f"{x_of(x):.1f} {y_of(y):.1f}" for x, y, *_ in curve)
        bars = "".join(f"M{x_of(x):.1f} {y_of(lowest):.1f}V{y_of(highest):.1f}" for x, _, lowest, highest in curve)
        parts.append(f'<path d="{bars}" stroke="{colour}"/>')
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>' for x, y, *_ in curve]
        if name:
            parts.append(_text(_LEFT + names, 32, name, "start", colour))
            names += 12 + _CHARACTER * len(name)
    return "\n".join([*parts, "</g>"])


def _axis(low: float, high: float, first: float, last: float) -> Any:
    """Return the function from a number to its place on a logarithmic axis."""
    return lambda value: first + (last - first) * math.log(value / low) / max(math.log(high / low), 1e-9)


def _decades(low: float, high: float) -> tuple[float, float]:
    """Return bounds that are 1, 2 or 5 times a power of ten."""
    steps = [factor * 10.0**power for power in range(-6, 9) for factor in (1, 2, 5)]
    return max(step for step in steps if step <= low), min(step for step in steps if step > high)


def _marks(low: float, high: float) -> list[float]:
    """Return powers of ten between the bounds, and 2 and 5 times these where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high / low > 1000 else (1, 2, 5)
    marks = {factor * 10.0**power for power in powers for factor in factors}
    return sorted(mark for mark in marks if low * 0.999 <= mark <= high * 1.001)


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 1 else f"{value:g}"


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#222", weight: str = "normal") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}"'
    return f"<text {place}>{escape(words)}</text>"
