"""Results as tables for people. Each function draws what one command's `--json` prints."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from reelvec.cli.live import VERDICT_COLOURS, clock
from reelvec.verbs.measured import Share, row_numbers, row_share

_CLAIM_COLOURS = {"holds": "green", "does not hold": "bold red", "undecided": "yellow"}
_DOCTOR_COLOURS = {"good": "green", "note": "yellow", "problem": "bold red"}


def facts_table(facts: Mapping[str, Any]) -> Table:
    """Draw names and values, a line each."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), Text(_words(value)))
    return table


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_words(inner) for inner in value) or "none"
    return str(value)


def index_table(result: Mapping[str, Any]) -> RenderableType:
    """Draw what `reelvec index` found, and every file that is not usable."""
    facts = facts_table({name: value for name, value in result.items() if name != "bad"})
    return _with_files(facts, result["bad"])


def prepare_table(result: Mapping[str, Any]) -> RenderableType:
    """Draw what `reelvec prepare` made, and every file it left out or has a word to say of."""
    facts = facts_table({name: value for name, value in result.items() if name not in ("remarks", "left_out")})
    for remark in result["remarks"]:
        facts.add_row("remark", Text(f"{remark['path']}: {remark['reason']}"))
    return _with_files(facts, result["left_out"])


def embedding_table(result: Mapping[str, Any]) -> RenderableType:
    """Draw what `reelvec embed` wrote, and every file it left out."""
    facts = facts_table({name: value for name, value in result.items() if name != "left_out"})
    return _with_files(facts, result["left_out"])


def run_table(summary: Mapping[str, Any]) -> RenderableType:
    """Draw how a run ended, and which files it left out."""
    facts = facts_table(
        {
            "run": summary["run"],
            "method": summary["method"],
            "steps": summary["steps"],
            "losses": summary["losses"],
            "clips per second": summary["clips_per_second"],
            "waiting for data": f"{summary['waiting_share']:.0%}",
            "encoders": summary["encoders"],
        }
    )
    facts.add_row("verdict", Text(summary["verdict"], style=VERDICT_COLOURS.get(summary["verdict"], "bold")))
    return _with_files(facts, summary["quarantined"])


def _with_files(facts: Table, files: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Add the files that were left out, each with its reason."""
    if not files:
        return facts
    table = Table(f"left out: {len(files)}", "why", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for row in files:
        table.add_row(Text(row["path"]), Text(row["reason"]))
    return Group(facts, table)


def search_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Draw the nearest clips, nearest first."""
    table = Table("rank", "similarity", "seconds", "path")
    for row in found:
        seconds = f"{row['start_seconds']:.1f} - {row['end_seconds']:.1f}"
        table.add_row(str(row["rank"]), f"{row['similarity']:.3f}", seconds, Text(row["path"], overflow="fold"))
    return table


def evaluation_table(result: Mapping[str, Any]) -> RenderableType:
    """Draw a table for each column of labels: percent of test videos, with the 95 % interval."""
    parts: list[RenderableType] = []
    for one in result["tables"]:
        title = (
            f"{one['label_column']}: {len(one['classes'])} classes, {one['train']} videos to learn from, "
            f"{one['test']} to measure with (percent, 95 % interval)"
        )
        parts.append(Text(title, style="bold"))
        for columns in _side_by_side(one["columns"], 7):
            table = Table("features", "dim", *columns)
            for row in one["rows"]:
                table.add_row(row["name"], str(row["dim"] or ""), *(_share(row, column) for column in columns))
            parts.append(table)
    return Group(*parts, *_how_measured(result), Text(f"written to {result['file']}"))


def battery_tables(summary: Mapping[str, Any]) -> RenderableType:
    """Draw what each part of a suite found, what was left out and why, and where everything is."""
    parts: list[RenderableType] = []
    drawn = {
        "evaluate": evaluation_table,
        "diagnose": diagnosis_table,
        "diagnose_masks": diagnosis_table,
        "health": health_table,
        "pair_similarity": evaluation_table,
    }
    for part in summary["parts"]:
        content = json.loads(Path(part["file"]).read_text(encoding="utf-8"))
        parts += [Text(f"\n{part['name']}", style="bold underline"), drawn.get(part["name"], rows_table)(content)]
    table = Table("part", "seconds", "written to", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for part in summary["parts"]:
        table.add_row(part["name"], "kept" if part["kept"] else f"{part['seconds']:.1f}", Text(part["file"]))
    missing = [Text(f"left out: {one['name']}: {one['reason']}", style="yellow") for one in summary["left_out"]]
    return Group(*parts, Text(""), table, *missing, Text(f"written to {summary['file']}"))


def rows_table(result: Mapping[str, Any]) -> RenderableType:
    """Draw a result that is a list of rows with one number each or several, such as propagation or detection."""
    names, rows = row_numbers(result), result["rows"]
    has_preset, has_over = any("preset" in row for row in rows), any(row.get("over") for row in rows)
    heads = [f"{name}, percent" for name in names] + (["difference from"] if has_over else [])
    table = Table("row", *(["preset"] if has_preset else []), *heads)
    for row in rows:
        shares = [_interval(row_share(row, name, with_bounds=name == names[0])) for name in names]
        over = "; ".join(f"{name} {_signed(one)}" for name, one in (row.get("over") or {}).items())
        table.add_row(row["name"], *([row["preset"]] if has_preset else []), *shares, *([over] if has_over else []))
    notes = [Text(note) for note in result.get("notes", [])]
    protocol = [Text(f"{name}: {words}", style="dim") for name, words in result["protocol"].items()]
    where = f"written to {result['file']}" + (f", drawn in {result['picture']}" if "picture" in result else "")
    return Group(table, *notes, *protocol, Text(where))


def _interval(share: Share | None) -> str:
    if share is None:
        return ""
    value = f"{100 * share.value:.1f}"
    if share.low is None or share.high is None:
        return value
    return f"{value}  [dim]{100 * share.low:.1f}-{100 * share.high:.1f}[/dim]"


def health_table(result: Mapping[str, Any]) -> RenderableType:
    """Draw a column for each network and a line for each number, with what it says; then verdicts and what is alike."""
    rows = result["rows"]
    table = Table("", *(row["name"] for row in rows), "what it says")
    table.add_row("dimensions", *(str(row["dim"]) for row in rows), "")
    for key, meaning in result["meaning"].items():
        table.add_row(key.replace("_", " "), *(f"{row['values'][key]:.3g}" for row in rows), Text(meaning, style="dim"))
    verdicts = [Text.assemble((f"{row['name']}: ", "bold"), row["verdict"]) for row in rows]
    near = [
        Text(f"{name}, linear CKA with others: {others}")
        for name, others in _likes(result["alike"])
        if not name.startswith("untrained")
    ]
    said = [Text(f"{result['videos']} videos, each in two halves"), *(Text(note) for note in result["notes"])]
    lines = _with_files(table, result["left_out"]), *said
    return Group(*lines, *verdicts, *near, Text(f"written to {result['file']}, drawn in {result['picture']}"))


def _side_by_side(columns: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """Yield columns in equal parts of at most so many, as many as a terminal has room for."""
    parts = -(-len(columns) // most)
    for part in range(parts):
        yield columns[part * len(columns) // parts : (part + 1) * len(columns) // parts]


def comparison_table(result: Mapping[str, Any]) -> RenderableType:
    """Draw a board for each column of labels: percent with its interval, best first, and what is shown against the best."""
    parts: list[RenderableType] = []
    for one in result["tables"]:
        title = f"{one['labels']}, {one['label_column']}: {_measured_on(one)}"
        parts.append(Text(title + " (percent, 95 % interval)", style="bold"))
        for columns in _side_by_side(one["columns"], 3):
            table = Table("encoder", *columns)
            for row in one["rows"]:
                table.add_row(row["name"], *(_against(row, column) for column in columns))
            table.add_row(one.get("chance_name", "chance"), *(f"{100 * one['chance'][column]:.1f}" for column in columns))
            parts.append(table)
        parts += [
            Text(f"features of {name} are like those of: {others} (linear CKA, 1 is equal)", style="dim")
            for name, others in _likes(one["alike"])
        ]
    parts += [Text(note) for note in result["notes"]]
    parts += [Text(f"{name}: {words}", style="dim") for name, words in result["protocol"].items()]
    return Group(*parts, *([Text(f"written to {result['file']}")] if "file" in result else []))


def _measured_on(one: Mapping[str, Any]) -> str:
    if "sequences" in one:
        return f"{one['sequences']} sequences of frames with masks"
    return f"{one['train']} videos to learn from, {one['test']} to measure with"


def _against(row: Mapping[str, Any], column: str) -> str:
    entry = row["against_best"][column]
    if entry["word"] == "best":
        return f"{_share(row, column)}\n[green]best[/green]"
    colour = "red" if entry["word"] == "worse" else "yellow"
    return f"{_share(row, column)}\n[{colour}]{entry['word']}[/{colour}] {_signed(entry)}"


def _signed(difference: Mapping[str, Any]) -> str:
    """Write a difference of shares in points, with its interval where there is one."""
    mean = f"{100 * difference['mean']:+.1f}"
    low, high = difference["low"], difference["high"]
    if low is None or high is None:
        return f"{mean} [dim](no interval)[/dim]"
    return f"{mean} [dim]({100 * low:+.1f} to {100 * high:+.1f})[/dim]"


def _likes(alike: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each name with all others and how alike their features are to its own."""
    names = alike["names"]
    for name, row in zip(names, alike["cka"], strict=True):
        yield name, ", ".join(f"{other} {cka:.2f}" for other, cka in zip(names, row, strict=True) if other != name)


def diagnosis_table(result: Mapping[str, Any]) -> RenderableType:
    """Draw a table for each column of labels and measure: percent, and what each change of the clips costs; then verdicts."""
    parts: list[RenderableType] = []
    for one in result["tables"]:
        title = (
            f"{one['label_column']}, {one['measure']}: {len(one['classes'])} classes, {one['train']} videos to learn from, "
            f"{one['test']} to measure with, chance {100 * one['chance']:.1f} (percent, 95 % interval)"
        )
        table = Table("features", "clips", "right", "lost against ordinary")
        for row in one["rows"]:
            for number, variant in enumerate(one["columns"]):
                table.add_row("" if number else row["name"], variant, *_changed(row, variant))
            table.add_section()
        parts += [Text(title, style="bold"), table]
        parts += [Text.assemble((f"{row['name']}: ", "bold"), row["verdict"]["text"]) for row in one["rows"]]
    rows = [row for one in result["tables"] for row in one["rows"]]
    reasons = {f"{row['name']}, {name}: left out, {why}" for row in rows for name, why in row["left_out"].items()}
    parts += [Text(reason) for reason in sorted(reasons)]
    return Group(*parts, *_how_measured(result), Text(f"written to {result['file']}, drawn in {result['picture']}"))


def _changed(row: Mapping[str, Any], variant: str) -> tuple[str, str]:
    if variant not in row["values"]:
        return "left out", ""
    if variant not in row["lost"]:
        return _share(row, variant), ""
    mean, low, high = (100 * row["lost"][variant][key] for key in ("mean", "low", "high"))
    return _share(row, variant), f"{mean:.1f}  [dim]{low:.1f} to {high:.1f}[/dim]"


def _how_measured(result: Mapping[str, Any]) -> list[RenderableType]:
    """Draw notes, what was left out, and how the numbers came about."""
    parts = [Text(note) for note in result["notes"]]
    if left_out := result["left_out"]:
        parts.append(
            Text(f"left out as unreadable: {len(left_out)}, the first {left_out[0]['path']} ({left_out[0]['reason']})")
        )
    return [
        *parts,
        *(Text(f"{name}: {_network(facts)}", style="dim") for name, facts in result.get("encoders", {}).items()),
        *(Text(f"{name}: {words}", style="dim") for name, words in result["protocol"].items()),
    ]


def _network(facts: Mapping[str, Any]) -> str:
    """Say what an encoder is; results of older versions do not know its size."""
    words = [facts["architecture"], facts["sees"]]
    if "parameters" in facts:
        words += [f"{facts['parameters'] / 1e6:.3g} million parameters", f"{facts['gflops_per_clip']:.3g} GFLOPs a clip"]
    return ", ".join(words)


def _share(row: Mapping[str, Any], column: str) -> str:
    if column not in row["values"]:
        return ""
    value = f"{100 * row['values'][column]:.1f}"
    if column not in row["low"]:
        return value
    return f"{value}  [dim]{100 * row['low'][column]:.0f}-{100 * row['high'][column]:.0f}[/dim]"


def methods_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Draw the methods, and below them what a user should know about patents."""
    table = Table("method", "what it does, and what it reads in its paper's setting", show_lines=True)
    for row in rows:
        streams = " and ".join(name.replace("_", " ") for name in row["streams"])
        facts = (
            f"{row['clips']} clips of {row['frames']} frames, stride {row['stride']}, {row['size']} px of {streams}; "
            f"{row['encoder']}; keeps {' and '.join(row['encoders'])}; {row['paper']}"
        )
        cost = "cost not measured" if row["cost"] is None else _cost(row)
        advice = f"{cost}; from a batch of {row['smallest_batch']} and {row['smallest_videos']} videos ({row['because']})"
        said = [row["summary"], "\n", (facts, "dim"), "\n", (advice, "dim"), "\n", (_tested(row["studies"]), "dim")]
        lines = [*said, "\n", (row["note"], "dim")] if row["note"] else said
        table.add_row(row["name"] + ("*" if row["patent"] else ""), Text.assemble(*lines))
    notes = [Text(f"* {row['patent']}. Whether that matters to you is yours to decide.") for row in rows if row["patent"]]
    return Group(table, *notes, Text("The recipes NAME-gpu and NAME-cpu are smaller than the papers' settings.", style="dim"))


def _cost(row: Mapping[str, Any]) -> str:
    reading = "" if row["cost_with_reading"] is None else f" ({row['cost_with_reading']:.2f} times with reading)"
    return f"{row['cost']:.2f} times the step of rho_moco{reading}, {row['mebibytes']:.0f} MiB"


def _tested(studies: Sequence[Mapping[str, Any]]) -> str:
    """Say claim by claim what the studies of a method as it stands have shown; how its variants did is in docs/studies.md."""
    own = [entry for entry in studies if entry["own"]]
    if not own:
        return "no study of it was run"
    claims: dict[str, list[str]] = {"holds": [], "does not hold": [], "undecided": []}
    for entry in own:
        generated, fresh = entry["data"].startswith("generated"), re.search(r"seeds \d+ to \d+$", entry["data"])
        place = (f", {fresh[0]}" if fresh else "") if generated else f", {entry['data']}"
        claims[entry["verdict"]].append(f"{entry['claim']} ({entry['measure']}{place})")
    return "\n".join(f"{verdict}: {'; '.join(words)}" for verdict, words in claims.items() if words)


def demo_table(result: Mapping[str, Any]) -> RenderableType:
    """Draw what each network of the demo knows of motion and of scene, and what a search by motion found."""
    seeds = result["seeds"]
    each = f"one number for each of {seeds} seeds" if seeds > 1 else "one seed"
    title = f"{result['measure']}, percent, {each}, {result['steps']} steps on {result['videos']['train']} videos"
    columns = [name for name in result["rows"][0] if name != "name"]
    table = Table(Column("network", no_wrap=True), *columns)
    for row in result["rows"]:
        table.add_row(row["name"], *(" / ".join(f"{100 * value:.1f}" for value in row[column]) for column in columns))
    query, *found = result["search"]
    search = Table("nearest by motion", "motion", "scene", "similarity")
    search.add_row("the query", query["motion"], query["scene"], "")
    for rank, row in enumerate(found, start=1):
        search.add_row(str(rank), row["motion"], row["scene"], f"{row['similarity']:.3f}")
    closing = f"frames of these in {result['sheet']}; all of it took {clock(result['seconds'])}"
    return Group(Text(title, style="bold"), table, search, Text(closing))


def studies_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Draw the names of all studies and what they ask."""
    table = Table("study", "question", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for row in rows:
        table.add_row(row["name"], row["question"])
    return table


def study_table(result: Mapping[str, Any]) -> RenderableType:
    """Draw the claims of a study with their differences in points and their verdicts."""
    from reelvec.verbs.study.table import compared, difference

    table = Table("claim", "measure", "difference, points", "verdict")
    for claim in result["claims"]:
        verdict = Text(claim["verdict"], style=_CLAIM_COLOURS[claim["verdict"]])
        table.add_row(claim["words"], f"{claim['measure']}: {compared(claim)}", difference(claim), verdict)
    facts = {key: result[key] for key in ("question", "source", "data", "samples", "seeds", "wall_seconds", "file")}
    return Group(facts_table(facts), table)


def doctor_table(report: Mapping[str, Any]) -> RenderableType:
    """Draw what the doctor found and tried."""
    parts: list[RenderableType] = [_findings("this machine", report["machine"])]
    if report["self_test"]:
        parts.append(_findings(f"trial, {report['seconds']:.1f} s", report["self_test"]))
    closing = {
        "good": "Everything is as it should be.",
        "note": "Everything works; the notes above say what is limited.",
        "problem": "Something would stop a run: see above.",
    }
    parts.append(Text(closing[report["verdict"]], style=_DOCTOR_COLOURS[report["verdict"]]))
    return Group(*parts)


def _findings(title: str, findings: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title, "found", "", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for finding in findings:
        found = Text(finding["found"])
        if finding["advice"]:
            found.append(f"\n{finding['advice']}", style="italic")
        table.add_row(finding["what"], found, Text(finding["verdict"], style=_DOCTOR_COLOURS[finding["verdict"]]))
    return table
