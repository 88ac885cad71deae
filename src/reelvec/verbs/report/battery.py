"""Every measurement of the evals/ folder: tables with intervals, diagnoses with their words, and whatever else is there."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reelvec.verbs.report.arguments import kind_of
from reelvec.verbs.report.intervals import interval_table
from reelvec.verbs.report.markup import Html, Section, details, facts, hint, join, number, percent, section, short, table, tag
from reelvec.verbs.report.other_results import is_rows, picture_beside, rows_block, rows_title
from reelvec.verbs.report.story import Json, Measured, RunStory

MOST_RESULTS = 24
"""newest results that are shown"""

_MOST_CLASSES = 24
_MOST_FILES = 40
_DEEPEST = 3
_LONGEST = 30_000


def battery_section(story: RunStory) -> Section:
    """Show all measurements of a run, newest first."""
    measured = newest_first(story.measured)
    if not measured:
        command = tag("code", f"reelvec evaluate {story.path} --labels LABELS")
        words = ["Nothing was measured on labelled videos yet. With labels (a folder for each class, or a CSV): ", command]
        return section("battery", "What does it know?", hint(*words))
    more = len(measured) - MOST_RESULTS
    cut = hint(f"{more} older results of the evals folder are not shown.") if more > 0 else None
    blocks = [result_block(one) for one in measured[:MOST_RESULTS]]
    return section("battery", "What does it know?", _legend(), cut, *blocks)


def newest_first(measured: Sequence[Measured]) -> list[Measured]:
    """Order measurements by the step of the encoder, newest first; what is learnt before how, the newest file first."""

    def key(one: Measured) -> tuple[int, bool, int]:
        return step_of(one.content), one.result is not None and not is_diagnosis(one.result), one.file.stat().st_mtime_ns

    return sorted(measured, key=key, reverse=True)


def step_of(content: Any) -> int:
    """Return the step of the encoders that a result is about; 0 where it does not say."""
    encoders = content.get("encoders", {}) if isinstance(content, dict) else {}
    facts_of = encoders.values() if isinstance(encoders, dict) else []
    return max((one["step"] for one in facts_of if isinstance(one, dict) and isinstance(one.get("step"), int)), default=0)


def is_diagnosis(result: Json) -> bool:
    """Whether a result is one of `diagnose`."""
    return any("measure" in table for table in result["tables"])


def _legend() -> Html:
    words = (
        "Percent of test videos, with the 95 % interval as numbers and as a line; the tick on the axis is chance. An encoder "
        "has learnt something about these labels where it stands above the same network untrained, raw pixels, colours and "
        "chance by more than the intervals."
    )
    return tag("p", words, class_="dim")


def result_block(one: Measured) -> Html:
    """Show one file of the evals/ folder."""
    if one.result is None:
        known = is_rows(one.content)
        title = rows_title(one.content, one.file.stem) if known else short(one.file.stem, 80)
        try:
            shown = rows_block(one.content, one.file) if known else unknown(one.content)
        except (KeyError, TypeError, ValueError):  # rows of another kind
            shown = unknown(one.content)
        return tag("article", tag("h3", title), shown)
    result = one.result
    diagnosis = is_diagnosis(result)
    name = short(Path(str(result["labels"])).name, 80)
    asks = "Object or background" if kind_of(result) == "diagnose_masks" else "Motion or scene"
    title = f"{asks if diagnosis else 'Measured'}: {name}, step {number(step_of(result))}"
    try:
        tables = [
            _diagnosis(t) if "measure" in t else evaluation(t, list(result.get("encoders", {}))) for t in result["tables"]
        ]
    except (KeyError, TypeError, AttributeError):  # a table of another kind
        tables = [unknown(result["tables"])]
    picture = picture_beside(one.file) if diagnosis else None
    return tag("article", tag("h3", title), *tables, picture, how_measured(result))


def evaluation(one: Json, encoders: Sequence[str]) -> Html:
    """Show a table of `evaluate`: rows that are the run's encoders stand out, chance is a row and a tick."""
    rows = one["rows"]
    ours = [row["name"] for row in rows if row["name"] in (*encoders, "both")]
    chance = next((row["values"] for row in rows if row["name"] == "chance"), None)
    known = "label_column" in one
    caption = _caption(one) if known else short(str(one.get("name", "")), 200)
    return interval_table(caption, one["columns"], rows, ours=ours, chance=chance, shares=known)


def _caption(one: Json) -> Html:
    classes = one["classes"]
    named = ", ".join(short(name, 40) for name in classes[:_MOST_CLASSES]) + (" …" if len(classes) > _MOST_CLASSES else "")
    sizes = f": {len(classes)} classes, {number(one['train'])} videos to learn from, {number(one['test'])} to measure with"
    return join([tag("strong", short(one["label_column"], 60)), sizes, tag("span", f" ({named})", class_="dim")])


def _diagnosis(one: Json) -> Html:
    """Show a table of `diagnose`, and below it what each row knows, in words."""
    by_chance = float(one["chance"])
    chance = {str(column): by_chance for column in one["columns"]}
    ours = [row["name"] for row in one["rows"] if not row["name"].startswith("untrained")]
    caption = join([_caption(one), f", by {one['measure']}, chance {percent(one['chance'])}"])
    verdicts = [
        tag("li", tag("strong", f"{row['name']}: {row['verdict']['word']}. "), row["verdict"]["text"]) for row in one["rows"]
    ]
    left_out = sorted({f"{row['name']}, {name}: {why}" for row in one["rows"] for name, why in row["left_out"].items()})
    reasons = [tag("li", f"Left out: {reason}") for reason in left_out]
    return join(
        [
            interval_table(caption, one["columns"], one["rows"], ours=ours, chance=chance),
            tag("ul", *verdicts, *reasons, class_="verdicts"),
        ]
    )


def how_measured(result: Json) -> Html:
    """Fold away protocol, notes and files that were left out."""
    notes = result.get("notes") or []
    left_out = result.get("left_out") or []
    parts = [facts(result["protocol"]) if isinstance(result["protocol"], dict) else None]
    if notes:
        parts.append(tag("ul", *(tag("li", note) for note in notes)))
    if left_out:
        rows = [(short(row["path"]), row["reason"]) for row in left_out[:_MOST_FILES]]
        parts.append(table(f"Left out: {len(left_out)} files", ["why"], rows, corner="file"))
    parts.append(tag("p", "From ", tag("code", short(Path(result["file"]).name)), class_="dim"))
    counted = [f"{len(notes)} notes" if notes else "", f"{len(left_out)} files left out" if left_out else ""]
    return details(", ".join(["How this was measured", *filter(None, counted)]), *parts)


def unknown(content: Any) -> Html:
    """Show numbers and words of a form that this page has no table for; what is very long only in its beginning."""
    written = json.dumps(content, indent=1)
    if len(written) <= _LONGEST:
        return _nested(content, 0)
    begin = written[: _LONGEST // 4]
    return details("A long result: its beginning", tag("pre", tag("code", begin), tabindex=0))


def _nested(content: Any, depth: int) -> Html:
    if isinstance(content, Mapping):
        if depth >= _DEEPEST:
            return tag("span", short(str(dict(content)), 200))
        return facts({short(str(name), 60): _nested(value, depth + 1) for name, value in list(content.items())[:60]})
    if isinstance(content, list):
        if content and all(isinstance(row, Mapping) for row in content) and depth < _DEEPEST:
            return join([_nested(row, depth + 1) for row in content[:20]])
        return tag("span", ", ".join(short(number(value), 80) for value in content[:40]) + (" …" if len(content) > 40 else ""))
    return tag("span", short(number(content), 300))


def headlines(story: RunStory) -> list[str]:
    """Say for every table of the newest step, in a sentence each, whether an encoder is above what stands beside it."""
    said = []
    measured = [one.result for one in newest_first(story.measured) if one.result is not None and not is_diagnosis(one.result)]
    for result in measured:
        if step_of(result) != step_of(measured[0]):
            break
        for one in result["tables"]:
            try:
                words = _headline(one, list(result["encoders"]))
            except (KeyError, TypeError, AttributeError):
                continue
            said += [words] if words else []
    return said[:8]


def _headline(one: Json, encoders: Sequence[str]) -> str | None:
    column = next((name for name in ("linear", "knn", *one["columns"]) if name in one["columns"]), None)
    ours = [row for row in one["rows"] if row["name"] in (*encoders, "both")]
    beside = [row for row in one["rows"] if row not in ours and column in row["values"]]
    if column is None or not ours or not beside or "label_column" not in one:
        return None
    best = max(ours, key=lambda row: row["values"][column])
    rival = max(beside, key=lambda row: row["values"][column])
    shown = best["low"][column] > rival.get("high", {}).get(column, rival["values"][column])
    low, high = percent(best["low"][column]), percent(best["high"][column])
    words = f"{one['label_column']}, {column}: {best['name']} {percent(best['values'][column])} % ({low} to {high}), "
    words += f"{'above' if shown else 'not shown to be above'} the best of what stands beside it, "
    return short(words, 200) + f"{rival['name']} {percent(rival['values'][column])} %."
