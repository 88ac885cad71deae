"""Results that are a list of rows: health of features, and what is measured on frames with masks and boxes."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from reelvec.verbs.report.intervals import CKA, heat_table, interval_table
from reelvec.verbs.report.markup import Html, details, facts, join, number, short, table, tag
from reelvec.verbs.report.story import Json

_VALUES = ("J&F", "inside", "mAP", "PCK", "mIoU")
"""the number of a row, by the names that measures on frames give it; a share"""

_WIDEST = 1000
_MOST_DIRECTIONS = 12
_PICTURE_BYTES = 300_000


def is_rows(content: Any) -> bool:
    """Whether a result is one list of named rows with a number that this page knows."""
    rows = content.get("rows") if isinstance(content, Mapping) else None
    return isinstance(rows, list) and bool(rows) and all(isinstance(row, Mapping) and _is_row(row) for row in rows)


def _is_row(row: Mapping[str, Any]) -> bool:
    return "name" in row and (_value(row) is not None or isinstance(row.get("values"), Mapping))


def rows_title(content: Json, stem: str) -> str:
    """Name a result by what it was measured on."""
    if _is_health(content):
        return f"Health of the features: {number(content['videos'])} videos"
    return f"Measured: {short(stem.rpartition('-step')[0] or stem, 80)}"


def rows_block(content: Json, file: Path) -> Html:
    """Show the rows of a result with their intervals, the picture beside it, and how it was measured."""
    return _health(content) if _is_health(content) else _on_frames(content, file)


def _is_health(content: Json) -> bool:
    return "meaning" in content and all(isinstance(row.get("values"), Mapping) for row in content["rows"])


def _value(row: Mapping[str, Any]) -> str | None:
    return next((name for name in _VALUES if isinstance(row.get(name), int | float)), None)


def _on_frames(content: Json, file: Path) -> Html:
    column = next(name for row in content["rows"] if (name := _value(row)))
    rows = []
    for row in content["rows"]:
        name = f"{row['name']}, {row['preset']}" if "preset" in row else str(row["name"])
        known = {"values": {column: row[column]} if column in row else {}}
        bounds = {key: {column: row[key]} for key in ("low", "high") if isinstance(row.get(key), int | float)}
        rows.append({"name": name, **known, **(bounds if len(bounds) == 2 else {})})
    ours = [str(made["name"]) for row, made in zip(content["rows"], rows, strict=True) if row.get("over")]
    sentences = [
        tag("li", f"{short(str(row['name']), 60)} against {short(str(other), 60)}: {_points(one)}")
        for row in content["rows"]
        for other, one in (row.get("over") or {}).items()
        if isinstance(one, Mapping) and {"mean", "low", "high"} <= set(one)
    ]
    parts: list[Html | None] = [interval_table("Percent, with the 95 % interval", [column], rows, ours=ours)]
    parts += [tag("ul", *sentences, class_="verdicts")] if sentences else []
    picture = file.with_suffix(".png")
    if picture.is_file():
        parts.append(_picture(picture))
    return join([*parts, _how(content)])


def _points(one: Mapping[str, float]) -> str:
    mean, low, high = (100 * one[key] for key in ("mean", "low", "high"))
    shown = "above" if low > 0 else "below" if high < 0 else "no difference shown"
    return f"{mean:+.1f} points ({low:.1f} to {high:.1f}), {shown}"


def _health(content: Json) -> Html:
    meaning = content["meaning"]
    columns = [name for name in meaning if any(name in row["values"] for row in content["rows"])]
    rows, verdicts = [], []
    for row in content["rows"]:
        rows.append((short(row["name"], 60), *(number(row["values"].get(name)) for name in columns)))
        verdicts += [tag("li", tag("strong", f"{row['name']}: "), row["verdict"], ".")] if row.get("verdict") else []
    parts = [
        table("Features of unlabelled videos", [name.replace("_", " ") for name in columns], rows),
        tag("ul", *verdicts, class_="verdicts") if verdicts else None,
        details("What the numbers mean", facts({name.replace("_", " "): meaning[name] for name in columns})),
    ]
    spectra = [row for row in content["rows"] if row.get("spectrum")]
    if spectra:
        many = min(_MOST_DIRECTIONS, max(len(row["spectrum"]) for row in spectra))
        shares = [(short(row["name"], 60), *(f"{100 * share:.1f}" for share in row["spectrum"][:many])) for row in spectra]
        caption = f"Percent of the variance in each of the {many} strongest directions"
        parts.append(details("Spectrum", table(caption, [str(i + 1) for i in range(many)], shares)))
    alike = {"all networks": content.get("alike")}
    alike |= {f"layers of {row['name']}": row.get("layers") for row in content["rows"]}
    for what, one in alike.items():
        if isinstance(one, Mapping) and len(one.get("names", ())) > 1:
            matrix = heat_table(CKA, [short(name, 40) for name in one["names"]], one["cka"])
            parts.append(details(f"How alike: {what}", matrix))
    return join([*parts, _how(content)])


def _how(content: Json) -> Html:
    protocol = content.get("protocol")
    notes = [tag("li", note) for note in content.get("notes") or []]
    left_out = content.get("left_out") or []
    parts = [
        facts(protocol) if isinstance(protocol, Mapping) else tag("p", short(str(protocol), 2000)) if protocol else None,
        tag("ul", *notes) if notes else None,
        tag("p", f"{len(left_out)} files were left out.") if left_out else None,
    ]
    return details("How this was measured", *parts) if any(parts) else join([])


def _picture(file: Path) -> Html | None:
    """Take a picture that stands beside a result into the page, smaller where it is large."""
    picture = cv2.imread(str(file))
    if picture is None:
        return None
    if picture.shape[1] > _WIDEST:
        scale = _WIDEST / picture.shape[1]
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 78])[1].tobytes()
    if len(encoded) > _PICTURE_BYTES:
        return tag("p", "The picture beside this result is too large for the page: ", tag("code", file.name), class_="dim")
    url = f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
    alt = f"Picture of this result, {file.stem}; its numbers stand in the table"
    height, width = picture.shape[:2]
    return tag("img", src=url, alt=alt, width=width, height=height)
