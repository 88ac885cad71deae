"""Numbers out of what `evaluate` returns."""

from typing import Any


def by_row(measured: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return {row: {"motion knn": accuracy ...}} of an evaluation: label column and task are one name."""
    rows: dict[str, dict[str, float]] = {}
    for table in measured["tables"]:
        for row in table["rows"]:
            for task in table["columns"]:
                rows.setdefault(row["name"], {})[f"{table['label_column']} {task}"] = row["values"][task]
    return rows
