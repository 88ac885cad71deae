"""A comparison of runs, as `reelvec compare` writes it, as a page: boards with differences in words."""

import json
from pathlib import Path

from reelvec.core import ReelvecError
from reelvec.verbs.report.commands import command_block
from reelvec.verbs.report.intervals import CKA, heat_table, interval_table
from reelvec.verbs.report.markup import Html, Section, facts, join, number, percent, section, short, table, tag
from reelvec.verbs.report.settings import command_line
from reelvec.verbs.report.story import Json


def read_comparison(file: Path) -> Json:
    """Read what `compare` wrote; ReelvecError for another file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        rows = [row for one in content["tables"] for row in one["rows"]]
        if {"runs", "protocol"} <= set(content) and rows and all("against_best" in row for row in rows):
            return content
    except (OSError, ValueError, KeyError, TypeError):
        pass
    do = "give the folder of a run: runs/NAME, or the JSON file of a comparison: reelvec compare RUN RUN out=FILE.json"
    raise ReelvecError(f"report on {file}", "a file that is no comparison of runs", do)


def comparison_summary(content: Json) -> Html:
    """Say for every board who leads it by its first column, and whether that is shown."""
    return tag("ul", *(tag("li", _leader(one)) for one in content["tables"]))


def comparison_sections(content: Json, file: Path) -> tuple[list[Section], list[Section]]:
    """Return a section for each labels and label column; and how it was done and how to do it again."""
    boards = [section(f"board{i}", f"{short(one['labels'], 60)}: {short(one['label_column'], 60)}", *_board(one))
              for i, one in enumerate(content["tables"])]  # fmt: skip
    notes = [tag("li", note) for note in content.get("notes") or []]
    rows = [(short(run, 80), tag("code", short(str(path), 200))) for run, of in content["runs"].items() for path in of.values()]
    how = section("how", "How this was compared", tag("ul", *notes) if notes else None, facts(content["protocol"]),
                  table("What was compared", ["result"], rows, corner="run"))  # fmt: skip
    runs = list(dict.fromkeys(str(Path(path).parent.parent) for of in content["runs"].values() for path in of.values()))
    lines = [command_line(["reelvec", "compare", *runs, f"out={file}"]), command_line(["reelvec", "report", str(file)])]
    again = section("commands", "Do it again", command_block("The comparison and this page", "\n".join(lines)))
    return boards, [how, again]


def _leader(one: Json) -> str:
    column = one["columns"][0]
    rows = sorted(one["rows"], key=lambda row: -row["values"][column])
    best = rows[0]
    words = f"{short(one['labels'], 60)}, {short(one['label_column'], 60)}, {column}: "
    words += f"{short(best['name'], 60)} leads with {percent(best['values'][column])} %"
    tied = [row["name"] for row in rows[1:] if row["against_best"][column]["word"] == "no difference shown"]
    return f"{words}; no difference is shown to {', '.join(short(name, 60) for name in tied)}." if tied else f"{words}, shown."


def _board(one: Json) -> list[Html]:
    if "sequences" in one:
        caption = f"{number(one['sequences'])} sequences of frames with masks; percent, 95 % interval; the tick on the axis is "
        caption += one["chance_name"]
    else:
        caption = f"{number(one['train'])} videos to learn from, {number(one['test'])} to measure with; percent, 95 % interval"
    leading = [row["name"] for row in one["rows"] if any(d["word"] == "best" for d in row["against_best"].values())]
    rows = [
        (short(row["name"], 60), *(_difference(row["against_best"].get(column)) for column in one["columns"]))
        for row in one["rows"]
    ]
    parts = [
        interval_table(caption, one["columns"], one["rows"], ours=leading, chance=one["chance"]),
        table(
            "Against the best of each column: points and their 95 % interval, paired",
            one["columns"],
            rows,
            class_="differences",
        ),
    ]
    alike = one.get("alike")
    if isinstance(alike, dict) and len(alike.get("names", ())) > 1:
        names = [short(name, 40) for name in alike["names"]]
        parts.append(heat_table(f"How alike their features are: {CKA}", names, alike["cka"]))
    return parts


def _difference(one: Json | None) -> Html:
    if one is None:
        return tag("td", "left out")
    if one["word"] == "best":
        return tag("td", tag("b", "best"))
    mean, low, high = (100 * one[key] for key in ("mean", "low", "high"))
    numbers = tag("span", f"{mean:.1f} ({low:.1f} to {high:.1f})", class_="dim")
    return tag("td", join([one["word"], tag("br"), numbers]))
