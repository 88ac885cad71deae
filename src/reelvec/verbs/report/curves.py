"""Curves as SVG that the page draws by itself: axes, a reading on hover and by arrow keys, and the numbers as a table."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reelvec.verbs.report.markup import Html, details, number, short, table, tag

MOST_POINTS = 300
"""of a curve; a longer one is averaged in equal parts"""

_MOST_ROWS = 30
"""of the table beside a curve"""

_WIDTH, _HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 16, 10, 28

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Line:
    """A level that means something: below or above it a run is in trouble."""

    value: float
    words: str


def curve(name: str, points: Points, *, explained: str = "", level: Line | None = None) -> Html:
    """Draw a number over the steps of a run; steps where it was not finite are left out and said."""
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    missing = len(points) - len(finite)
    note = f"{missing} of {len(points)} logged values are not finite. " if missing else ""
    caption = tag("figcaption", tag("strong", name), tag("span", f" {note}{explained}", class_="dim"))
    if not finite:
        return tag("figure", caption, tag("p", "No finite value was logged.", class_="hint"), class_="curve")
    drawn, each = _thinned(finite)
    scale = _Scale(drawn, level)
    if each > 1:
        caption = tag(
            "figcaption", tag("strong", name), tag("span", f" {note}{explained} Mean of {each} values a point.", class_="dim")
        )
    picture = tag(
        "svg",
        *scale.axes(),
        *scale.level_line(level),
        tag("path", d=scale.path(drawn), class_="line"),
        *([scale.dot(drawn[0])] if len(drawn) == 1 else []),
        tag("line", x1=0, x2=0, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="hair"),
        tag("circle", r=4, cx=-20, cy=0, class_="dot"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=in_words(name, finite),
    )
    data = json.dumps(
        [[step, float(f"{value:.5g}"), *(round(z, 1) for z in scale.place(step, value))] for step, value in drawn]
    )
    plot = tag("div", picture, class_="plot", data_points=data, data_name=name)
    return tag(
        "figure", caption, plot, tag("output", _reading(finite[-1]), class_="reading"), _numbers(name, finite), class_="curve"
    )


def curves_of_runs(
    name: str, lines: Mapping[str, Points], runs: Sequence[str], *, explained: str = "", level: Line | None = None
) -> Html:
    """Draw one number of several runs on one axis; `runs` are all runs of the page, which gives each its colour and dashes."""
    finite = {run: [(step, v) for step, v in points if math.isfinite(v)] for run, points in lines.items()}
    finite = {run: points for run, points in finite.items() if points}
    lost = sum(len(points) for points in lines.values()) - sum(len(points) for points in finite.values())
    note = f"{lost} logged values are not finite. " if lost else ""
    caption = tag("figcaption", tag("strong", name), tag("span", f" {note}{explained}", class_="dim"))
    if not finite:
        return tag("figure", caption, tag("p", "No finite value was logged.", class_="hint"), class_="curve")
    drawn = {run: _thinned(points)[0] for run, points in finite.items()}
    scale = _Scale(sorted((point for points in drawn.values() for point in points), key=lambda point: point[0]), level)
    kinds = {run: f"r{runs.index(run)}" for run in drawn}
    paths = [tag("path", d=scale.path(points), class_=f"line {kinds[run]}") for run, points in drawn.items()]
    dots = [tag("circle", r=4, cx=-20, cy=0, class_=f"dot {kinds[run]}") for run in drawn]
    single = [scale.dot(points[0]) for points in drawn.values() if len(points) == 1]
    hair = tag("line", x1=0, x2=0, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="hair")
    picture = tag(
        "svg", *scale.axes(), *scale.level_line(level), *paths, *single, hair, *dots, viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img", aria_label="; ".join(f"{run}: {in_words(name, points)}" for run, points in finite.items()),
    )  # fmt: skip
    rows = _side_by_side(drawn)
    data = json.dumps(
        [
            [step, round(scale.x(step), 1), [None if v is None else [float(f"{v:.5g}"), round(scale.y(v), 1)] for v in values]]
            for step, values in rows
        ]
    )
    plot = tag("div", picture, class_="plot", data_points=data, data_name=name, data_lines=json.dumps(list(drawn)))
    keys = [tag("li", _key(kinds[run]), short(run, 40)) for run in drawn]
    every = max(1, -(-len(rows) // _MOST_ROWS))
    some = [*rows[:-1:every], rows[-1]]
    cells = [(number(step), *("" if v is None else number(v) for v in values)) for step, values in some]
    numbers = details("numbers", table(f"{name} by step", [short(run, 40) for run in drawn], cells, corner="step"))
    reading = tag("output", "", class_="reading")
    return tag("figure", caption, plot, tag("ul", *keys, class_="keys"), reading, numbers, class_="curve")


def _key(kind: str) -> Html:
    line = tag("line", x1=0, x2=28, y1=6, y2=6, class_=f"line {kind}")
    return tag("svg", line, viewBox="0 0 28 12", class_="key", aria_hidden="true")


def _side_by_side(lines: Mapping[str, Points]) -> list[tuple[int, list[float | None]]]:
    """Return every step that some line has, with the value that each line has there; None where it has none."""
    known = {run: dict(points) for run, points in lines.items()}
    steps = sorted({step for points in lines.values() for step, _ in points})
    return [(step, [of_run.get(step) for of_run in known.values()]) for step in steps]


def in_words(name: str, points: Points) -> str:
    """Say what a curve shows to who does not see it."""
    (first, begin), (last, end) = points[0], points[-1]
    lowest, highest = min(points, key=lambda p: p[1]), max(points, key=lambda p: p[1])
    return (
        f"Curve of {name} over {len(points)} values: {number(begin)} at step {first}, {number(end)} at step {last}; "
        f"lowest {number(lowest[1])} at step {lowest[0]}, highest {number(highest[1])} at step {highest[0]}"
    )


def _reading(point: tuple[int, float]) -> str:
    return f"step {number(point[0])}: {number(point[1])}"


def _numbers(name: str, points: Points) -> Html:
    every = max(1, -(-len(points) // _MOST_ROWS))
    some = [*points[:-1:every], points[-1]]
    part = f", {len(some)} of {len(points)} values" if len(some) < len(points) else ""
    rows = [(number(step), number(value)) for step, value in some]
    return details("numbers", table(f"{name} by step{part}", [name], rows, corner="step"))


def _thinned(points: Points) -> tuple[list[tuple[int, float]], int]:
    """Return at most `MOST_POINTS`, means of equally many neighbours each, and of how many."""
    each = -(-len(points) // MOST_POINTS)
    parts = [points[i : i + each] for i in range(0, len(points), each)]
    return [(round(sum(s for s, _ in part) / len(part)), sum(v for _, v in part) / len(part)) for part in parts], each


class _Scale:
    """From steps and values to the units of the picture."""

    def __init__(self, points: Points, level: Line | None) -> None:
        values = [value for _, value in points]
        low, high = min(values), max(values)
        if level is not None and (low - (high - low or abs(high) or 1) <= level.value <= high + (high - low or abs(high) or 1)):
            low, high = min(low, level.value), max(high, level.value)
        if high - low < 1e-9 * max(abs(low), abs(high), 1e-12):
            low, high = low - (abs(low) * 0.1 or 1), high + (abs(high) * 0.1 or 1)
        self.y_ticks = ticks(low, high, 3)
        self.low, self.high = min(low, self.y_ticks[0]), max(high, self.y_ticks[-1])
        self.first, self.last = points[0][0], max(points[-1][0], points[0][0] + 1)
        self.x_ticks = [t for t in ticks(self.first, self.last, 3) if t == int(t)]

    def x(self, step: float) -> float:
        return _LEFT + (step - self.first) / (self.last - self.first) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - self.low) / (self.high - self.low) * (_HEIGHT - _TOP - _BOTTOM)

    def place(self, step: float, value: float) -> tuple[float, float]:
        return self.x(step), self.y(value)

    def path(self, points: Points) -> str:
        return "M" + "L".join(f"{self.x(step):.1f} {self.y(value):.1f}" for step, value in points)

    def dot(self, point: tuple[int, float]) -> Html:
        return tag("circle", r=3, cx=f"{self.x(point[0]):.1f}", cy=f"{self.y(point[1]):.1f}", class_="single")

    def axes(self) -> list[Html]:
        parts = []
        for value, words in zip(self.y_ticks, tick_words(self.y_ticks), strict=True):
            y = f"{self.y(value):.1f}"
            parts.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
            parts.append(tag("text", words, x=_LEFT - 6, y=y, class_="tick left"))
        for step in self.x_ticks:
            parts.append(tag("text", number(int(step)), x=f"{self.x(step):.1f}", y=_HEIGHT - 10, class_="tick below"))
        return parts

    def level_line(self, level: Line | None) -> list[Html]:
        if level is None or not self.low <= level.value <= self.high:
            return []
        y = self.y(level.value)
        place = y - 5 if y > _TOP + 16 else y + 12
        words = tag("text", level.words, x=_WIDTH - _RIGHT, y=f"{place:.1f}", class_="level-words")
        return [tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="level"), words]


def ticks(low: float, high: float, many: int) -> list[float]:
    """Return `many` or a few more round numbers within [low, high], 1, 2 or 5 times a power of ten apart."""
    size = 10.0 ** math.ceil(math.log10((high - low) / many))
    found: list[float] = []
    for step in (size * factor for factor in (1, 0.5, 0.2, 0.1)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        found = [float(f"{n * step:.12g}") for n in range(first, last + 1)]
        if len(found) >= many:
            break
    return found


def tick_words(values: Sequence[float]) -> list[str]:
    """Write round numbers with equally many digits after the point; with a power of ten where they are tiny or huge."""
    largest = max(map(abs, values), default=0.0)
    if largest and (largest < 1e-3 or largest >= 1e6):
        return ["0" if not value else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e") for value in values]
    digits = max((len(f"{value:.6f}".rstrip("0").partition(".")[2]) for value in values), default=0)
    return [f"{value:.{digits}f}" for value in values]
