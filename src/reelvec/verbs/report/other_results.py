"""Results that are a list of rows: health of features, and what is measured on frames with masks and boxes."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from reelvec.verbs.measured import row_numbers, row_share
from reelvec.verbs.report.arguments import Kind, kind_of
from reelvec.verbs.report.intervals import CKA, heat_table, interval_table
from reelvec.verbs.report.markup import Html, details, facts, join, number, short, table, tag
from reelvec.verbs.report.story import Json

_WIDEST = (1000, 1000, 800, 640)
_QUALITY = (78, 60, 60, 55)
"""widths in pixels and qualities that are tried until a picture is small enough"""
_MOST_DIRECTIONS = 12
_PICTURE_BYTES = 150_000


_TITLES: dict[Kind, str] = {
    "health": "Health of the features", "propagation": "Carried along a video", "localisation": "Where features respond",
    "detection": "What is in boxes", "class_maps": "What speaks for a class", "suite": "Suite",
}  # fmt: skip


def is_rows(content: Any) -> bool:
    """Whether a result is a list of rows, or a suite, that this page knows."""
    kind = kind_of(content)
    return kind in _TITLES and (kind in ("suite", "health") or bool(row_numbers(content)))


def rows_title(content: Json, stem: str) -> str:
    """Name a result by what it is and by what it was measured on."""
    kind = kind_of(content)
    assert kind is not None  # see `is_rows`
    if kind == "suite":
        return f"Suite {content['suite']}: what was measured, and what not"
    if kind == "health":
        return f"{_TITLES[kind]}: {number(content['videos'])} videos"
    return f"{_TITLES[kind]}: {short(stem.rpartition('-step')[0] or stem, 80)}"


def rows_block(content: Json, file: Path) -> Html:
    """Show the rows of a result with their intervals, the picture beside it, and how it was measured."""
    kind = kind_of(content)
    if kind == "suite":
        return _suite(content)
    return join([_health(content) if kind == "health" else _on_frames(content), picture_beside(file), _how(content)])


def _on_frames(content: Json) -> Html:
    columns = row_numbers(content)
    rows = []
    for row in content["rows"]:
        name = f"{row['name']}, {row['preset']}" if "preset" in row else str(row["name"])
        shares = {c: share for c in columns if (share := row_share(row, c, with_bounds=c == columns[0])) is not None}
        rows.append(
            {
                "name": name,
                "values": {c: share.value for c, share in shares.items()},
                "low": {c: share.low for c, share in shares.items() if share.low is not None},
                "high": {c: share.high for c, share in shares.items() if share.high is not None},
            }
        )
    ours = [str(made["name"]) for row, made in zip(content["rows"], rows, strict=True) if row["name"] == _encoder(content)]
    sentences = [
        tag("li", f"{short(str(row['name']), 60)}{_of_preset(row)} against {short(str(other), 60)}: {_points(one)}")
        for row in content["rows"]
        for other, one in (row.get("over") or {}).items()
        if isinstance(one, Mapping) and {"mean", "low", "high"} <= set(one)
    ]
    caption = f"Percent, with the 95 % interval of {columns[0]} where several videos were measured"
    parts = [interval_table(caption, columns, rows, ours=ours, absent="–")]
    return join([*parts, tag("ul", *sentences, class_="verdicts") if sentences else None])


def _encoder(content: Json) -> str | None:
    """Return the name of the encoder that a result is about."""
    encoder = content.get("encoder")
    return encoder.get("name") if isinstance(encoder, Mapping) else None


def _of_preset(row: Mapping[str, Any]) -> str:
    return f", {row['preset']}," if "preset" in row else ""


def _points(one: Mapping[str, float | None]) -> str:
    mean, low, high = (None if one[key] is None else 100 * float(one[key] or 0) for key in ("mean", "low", "high"))
    if mean is None:
        return "not compared"
    if low is None or high is None:
        return f"{mean:+.1f} points, of which no interval is known: too few videos"
    shown = "above" if low > 0 else "below" if high < 0 else "no difference shown"
    return f"{mean:+.1f} points ({low:.1f} to {high:.1f}), {shown}"


def _suite(content: Json) -> Html:
    """Show the parts of a suite, where each stands, and what was left out and why."""
    parts = [
        (part["name"], tag("code", short(Path(part["file"]).name, 120)), f"{number(round(float(part['seconds']), 1))} s")
        for part in content["parts"]
    ]
    missing = [(one["name"], short(str(one["reason"]), 400)) for one in content.get("left_out") or []]
    return join(
        [
            table("Parts, whose numbers stand with their names on this page", ["result", "time"], parts, corner="part"),
            table("Left out", ["why"], missing, corner="part") if missing else None,
        ]
    )


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
    return join(parts)


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


def picture_beside(file: Path) -> Html | None:
    """Take the picture that stands beside a result into the page, smaller where it is large; None where there is none."""
    file = file.with_suffix(".png")
    if not file.is_file():
        return None
    picture = cv2.imread(str(file))
    if picture is None:
        return None
    for widest, quality in zip(_WIDEST, _QUALITY, strict=True):
        if picture.shape[1] > widest:
            scale = widest / picture.shape[1]
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(encoded) <= _PICTURE_BYTES:
            break
    else:
        return tag("p", "The picture beside this result is too large for the page: ", tag("code", file.name), class_="dim")
    url = f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
    alt = f"Picture of this result, {file.stem}; its numbers stand in the table"
    height, width = picture.shape[:2]
    return tag("img", src=url, alt=alt, width=width, height=height)
