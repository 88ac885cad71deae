"""Numbers out of what `evaluate` and the measures of maps return."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NUMBERS = ("J&F", "inside", "mAP", "grad-cam", "energy", "accuracy", "blank")
"""what the rows of `localisation`, `detection` and `class_maps` hold; `propagation` names its own in "numbers" """


def by_row(measured: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return {row: {"motion knn": accuracy ...}} of an evaluation: label column and task are one name."""
    rows: dict[str, dict[str, float]] = {}
    for table in measured["tables"]:
        for row in table["rows"]:
            for task in table["columns"]:
                rows.setdefault(row["name"], {})[f"{table['label_column']} {task}"] = row["values"][task]
    return rows


@dataclass(frozen=True)
class Share:
    """A share between 0 and 1 and the bounds of its 95 % interval; None where too little was drawn for an interval."""

    value: float
    low: float | None
    high: float | None


def row_numbers(measured: Mapping[str, Any]) -> list[str]:
    """Return the names of the numbers in the rows of a result that is a list of rows, the first of them with an interval."""
    rows = measured["rows"]
    return [name for name in measured.get("numbers", _NUMBERS) if any(row_share(row, name) for row in rows)]


def row_share(row: Mapping[str, Any], name: str, *, with_bounds: bool = True) -> Share | None:
    """Return one number of a row: beside its own bounds ("grad-cam"), or with those of the row; None where it has none."""
    found = row.get(name)
    if isinstance(found, Mapping):
        value, bounds = found.get("inside"), found
    else:
        value, bounds = found, row if with_bounds else {}
    if not isinstance(value, int | float):
        return None
    low, high = bounds.get("low"), bounds.get("high")
    return Share(value, low, high) if low is not None and high is not None else Share(value, None, None)
