"""A table of shares with their intervals, drawn small beside the numbers. Made for any rows: encoders, baselines, runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from reelvec.verbs.report.markup import Html, join, number, percent, short, table, tag

CKA = "CKA, 1: the same up to rotation and scale, 0: unrelated"

_WIDTH, _HEIGHT = 96, 12

Row = Mapping[str, Any]
"""{"name", "values", "low", "high"}, the last three by column, as the tables of `evaluate` have them"""


def interval_table(
    caption: Any,
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    ours: Sequence[str] = (),
    chance: Mapping[str, float] | None = None,
    shares: bool = True,
    absent: str = "left out",
) -> Html:
    """Write a table of values with 95 % intervals; bars of a column share one axis, on which chance is a tick.

    `ours` are names of rows to stand out. `shares` are written as percent, on an axis from 0 to 100.
    `absent` stands where a row has no value.
    """
    axes = {column: (0.0, 1.0) if shares else _axis(column, rows) for column in columns}
    body = []
    for row in rows:
        cells = [_cell(row, column, axes[column], (chance or {}).get(column), shares, absent) for column in columns]
        body.append((short(str(row["name"]), 60), *cells))
    classes = ["ours" if row["name"] in ours else None for row in rows]
    return table(caption, list(columns), body, class_="shares", row_class=classes)


def _axis(column: str, rows: Sequence[Row]) -> tuple[float, float]:
    known = [row[key][column] for row in rows for key in ("values", "low", "high") if column in row.get(key, {})]
    return (min(known), max(known)) if known and max(known) > min(known) else (0.0, 1.0)


def _cell(row: Row, column: str, axis: tuple[float, float], chance: float | None, shares: bool, absent: str) -> Html:
    if column not in row["values"]:
        return tag("td", tag("span", absent, class_="dim"))
    write = percent if shares else number
    value = row["values"][column]
    bounds = (row["low"][column], row["high"][column]) if column in row.get("low", {}) else None
    words = tag("span", f"{write(bounds[0])}–{write(bounds[1])}", class_="dim") if bounds else None
    return tag("td", tag("b", write(value)), join([" ", words]) if words else None, bar(value, bounds, axis, chance))


def bar(value: float, bounds: tuple[float, float] | None, axis: tuple[float, float], chance: float | None) -> Html:
    """Draw a value, its interval as a line and chance as a tick; what stands beside it says the same in numbers."""

    def x(at: float) -> str:
        share = (at - axis[0]) / max(axis[1] - axis[0], 1e-12)
        return f"{2 + min(1.0, max(0.0, share)) * (_WIDTH - 4):.1f}"

    middle = _HEIGHT / 2
    parts = [tag("line", x1=2, x2=_WIDTH - 2, y1=middle, y2=middle, class_="axis")]
    if chance is not None:
        parts.append(tag("line", x1=x(chance), x2=x(chance), y1=1, y2=_HEIGHT - 1, class_="chance"))
    if bounds:
        parts.append(tag("line", x1=x(bounds[0]), x2=x(bounds[1]), y1=middle, y2=middle, class_="range"))
    parts.append(tag("circle", cx=x(value), cy=middle, r=3, class_="value"))
    return tag("svg", *parts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", class_="bar", aria_hidden="true")


def heat_table(caption: Any, names: Sequence[str], values: Sequence[Sequence[float]]) -> Html:
    """Write a square table of shares in [0, 1], darker where they are larger."""
    rows = []
    for name, line in zip(names, values, strict=True):
        shades = [f"--share:{min(1.0, max(0.0, value)):.3f}" for value in line]
        cells = [tag("td", f"{v:.2f}", class_="heat like", style=shade) for v, shade in zip(line, shades, strict=True)]
        rows.append((name, *cells))
    return table(caption, [tag("span", name) for name in names], rows, class_="matrix")
