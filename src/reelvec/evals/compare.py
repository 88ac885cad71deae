"""`reelvec compare`: a leaderboard of runs on the same test videos, by paired differences, honest about what is not shown."""

import json
import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reelvec.core import ReelvecError, RunFolder, write_json
from reelvec.evals.answers import read_groups, read_scores
from reelvec.evals.frame_boards import FrameBoard, frame_boards, frame_protocol, is_of_frames
from reelvec.evals.intervals import Difference, mean_over_groups, paired, paired_means
from reelvec.evals.kept_features import kept_features
from reelvec.evals.kept_steps import run_folder
from reelvec.evals.results import answers_file, read_result
from reelvec.parts.health import cka

INTERVAL = (
    "differences are paired: test video by test video (normal interval with half a video added to each of the four cells right/"
    "wrong x right/wrong, Agresti & Min 2005; where videos come in groups, linearised by group, Student's, never narrower), "
    "draw by draw (Student's), object by object in frames (Student's, those of a sequence together), episode by "
    "episode (1.96 std / sqrt(episodes)); each interval holds 95 % by itself, so of "
    "twenty about one is wrong"
)
RULE = (
    "'best' has the highest mean; another is 'worse' where the interval of its difference from the best lies below 0, else "
    "there is 'no difference shown'. This is about these encoders on these test videos; of methods, several seeds say more: "
    "`reelvec study`"
)
_OF_ALL = ("split", "features")
"""what every column hangs on"""
_COLUMNS = {"R@": "retrieval", "linear ": "linear_sgd", "lowshot": "lowshot", "fewshot": "fewshot", "similarity": "similarity"}
"""how the columns of a task begin that are not named as the task"""


def compare(
    runs: Sequence[str | os.PathLike[str]],
    *,
    labels: str | None = None,
    encoders: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Set results of several runs side by side: those of `reelvec evaluate` on labels or frames that all were measured on.

    Args:
        runs: run folders, of which the newest results are taken; FOLDER@STEP, of which those of this step; or result files.
        labels: name of the labels (a result is called <labels>-step<step>.json), of frames such as davis-propagation; None:
            all that the runs share.
        encoders: rows to compare, such as "visual"; None: all encoders of the runs.
        out: JSON file to write; None writes nothing.

    Returns {"runs", "protocol", "notes", "tables", "file"}; a table for each labels and label column: {"labels",
    "label_column", "train", "test" (of frames "sequences" instead), "columns", "rows": [{"name", "values", "low", "high",
    "against_best": {column: {"mean", "low", "high", "word"}}}], "chance", "chance_name", "alike": {"names", "cka"}}, rows
    sorted by the first column.

    Raises ReelvecError for runs that share no labels, and where sides, videos or protocols differ: such numbers say nothing
    of each other.
    """
    if len(runs) < 2:
        raise ReelvecError("compare", f"{len(runs)} run", "name two or more: reelvec compare runs/a runs/b")
    found = {_name(run, runs): _results(Path(run), labels) for run in runs}
    shared = sorted(set.intersection(*(set(results) for results in found.values())))
    if not shared:
        there = "; ".join(f"{name}: {', '.join(sorted(results)) or 'none'}" for name, results in found.items())
        raise ReelvecError(
            "compare runs by their results on the same labels" + (f" '{labels}'" if labels else ""),
            f"none that all of them have ({there})",
            "measure each on the same labels first: reelvec evaluate RUN --labels ...",
        )
    notes: list[str] = []
    tables = []
    protocol: dict[str, str] = {}
    for name in shared:
        results = {run: of_run[name] for run, of_run in found.items()}
        if all(is_of_frames(result) for result in results.values()):
            protocol |= {f"{name}: {key}": words for key, words in frame_protocol(results).items()}
            tables += [_frame_table(name, board) for board in frame_boards(name, results, encoders, notes)]
            continue
        kept = _same_protocol(results, notes)
        protocol |= kept
        tables += _tables(name, results, kept, encoders, notes)
    if not tables:
        there = "; ".join(dict.fromkeys(notes)) or f"{', '.join(shared)}, of other encoders"
        raise ReelvecError(f"compare {', '.join(found)}", there, "measure all of them alike, or name other encoders")
    result: dict[str, Any] = {
        "runs": {run: {labels: of_run[labels]["file"] for labels in shared} for run, of_run in found.items()},
        "protocol": {**protocol, "differences": INTERVAL, "words": RULE},
        "notes": list(dict.fromkeys(notes)),
        "tables": tables,
    }
    if out is not None:
        result["file"] = str(out)
        write_json(Path(out), result)
    return result


def _name(run: str | os.PathLike[str], runs: Sequence[str | os.PathLike[str]]) -> str:
    """Return the last part of a run's path, or all of it where two end alike."""
    names = [Path(one).name for one in runs]
    return str(run) if names.count(Path(run).name) > 1 else Path(run).name


def _results(run: Path, labels: str | None) -> dict[str, dict[str, Any]]:
    """Return the newest result of a run by the name of its labels; a result file stands for itself."""
    if run.is_file():
        return {_labels_of(run): _result_of_frames(run) or read_result(run)}
    folder = run_folder(run)
    if not folder.is_dir():
        raise ReelvecError(f"compare {run}", "no such folder", "give the folder of a run: runs/NAME")
    step = f"{int(run.name.rpartition('@')[2]):06d}" if folder != run else "*"
    newest: dict[str, dict[str, Any]] = {}
    for file in sorted(RunFolder(folder).evals.glob(f"*-step{step}.json")):  # by step: the last one stays
        name = _labels_of(file)
        if labels is None or name == labels:
            if answers_file(file).is_file():
                newest[name] = read_result(file)
            elif (of_frames := _result_of_frames(file)) is not None:
                newest[name] = of_frames
    return newest


def _result_of_frames(file: Path) -> dict[str, Any] | None:
    """Return a result of `propagation` or `localisation`, None where a file is of another measure."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return {**content, "file": str(file)} if is_of_frames(content) else None


def _labels_of(file: Path) -> str:
    return file.stem.rpartition("-step")[0] or file.stem


def _same_protocol(results: Mapping[str, Mapping[str, Any]], notes: list[str]) -> dict[str, str]:
    """Return what all results were measured by; refuse where they differ in what both did."""
    (first, one), *others = results.items()
    kept = dict(one["protocol"])
    for run, other in others:
        for key in (*_OF_ALL, *sorted(kept.keys() & other["protocol"].keys() - set(_OF_ALL))):
            ours, theirs = kept.get(key), other["protocol"].get(key)
            if key in kept and ours != theirs:
                raise ReelvecError(
                    f"compare {run} with {first}",
                    f"results of two protocols; {key}: '{ours}' and '{theirs}'",
                    "measure both the same way: reelvec evaluate with equal labels, clips, seed and settings",
                )
        lacking = sorted((kept.keys() ^ other["protocol"].keys()) - {"untrained", "baselines"})
        if lacking:
            notes.append(f"not in every run, and left out: {', '.join(lacking)}")
        kept = {key: words for key, words in kept.items() if key in other["protocol"]}
    return kept


def _tables(
    labels: str,
    results: Mapping[str, Mapping[str, Any]],
    protocol: Mapping[str, str],
    encoders: Sequence[str] | None,
    notes: list[str],
) -> list[dict[str, Any]]:
    by_column: dict[str, dict[str, dict[str, Any]]] = {
        run: {table["label_column"]: table for table in result["tables"]} for run, result in results.items()
    }
    shared = [column for column in next(iter(by_column.values())) if all(column in tables for tables in by_column.values())]
    answers = {run: read_scores(Path(result["file"]).parent / result["answers"]) for run, result in results.items()}
    groups_of = {run: read_groups(Path(result["file"]).parent / result["answers"]) for run, result in results.items()}
    alike = _alike(results, encoders, notes)
    filled = []
    for label_column in shared:
        tables = {run: of_run[label_column] for run, of_run in by_column.items()}
        first = next(iter(tables.values()))
        _same_data(labels, tables, notes)
        columns = [c for c in first["columns"] if _task(c) in protocol and all(c in t["columns"] for t in tables.values())]
        rows: dict[str, dict[str, Any]] = {}
        scores = []
        for run, table in tables.items():
            for row in table["rows"]:
                name = _row_name(run, row["name"], results[run]["encoders"], encoders)
                if name and name not in rows:
                    rows[name] = {key: dict(row[key]) for key in ("values", "low", "high")}
                    scores.append({c: answers[run][label_column, row["name"], c] for c in columns if c in row["values"]})
        if len(rows) < 2:
            raise ReelvecError(
                "compare encoders " + ", ".join(encoders or ()), f"{len(rows)} of that name in these runs", "name others"
            )
        for column in [*columns]:
            if failed := [name for name, row in rows.items() if column not in row["values"]]:
                columns.remove(column)
                notes.append(f"{label_column}, {column}: left out, as {failed[0]} has no answer (its result says why)")
        _same_units(scores, list(rows), columns)
        board: list[dict[str, Any]] = [{"name": name} for name in rows]
        for row, of_row in zip(board, rows.values(), strict=True):
            row |= {key: {column: of[column] for column in columns} for key, of in of_row.items()}
        groups = {unit: group for of_run in groups_of.values() for unit, group in of_run.items()}
        for column in columns:
            _against_best(board, scores, column, groups)
        if columns:
            board.sort(key=lambda row: -row["values"][columns[0]])
        chance = next(row for row in first["rows"] if row["name"] == "chance")["values"]
        filled.append({
            "labels": labels, "label_column": label_column, "train": first["train"], "test": first["test"],
            "columns": columns, "rows": board, "chance": {column: chance[column] for column in columns},
            "chance_name": "chance", "alike": alike,
        })  # fmt: skip
    return filled


def _frame_table(name: str, board: FrameBoard) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [{"name": of, **numbers} for of, numbers in board.rows.items()]
    _against_best(rows, board.scores, board.column, board.sequence_of)
    rows.sort(key=lambda row: -row["values"][board.column])
    return {
        "labels": name, "label_column": board.measure, "sequences": board.sequences, "columns": [board.column], "rows": rows,
        "chance": board.floor, "chance_name": board.floor_name, "alike": {"names": [], "cka": []},
    }  # fmt: skip


def _same_data(labels: str, tables: Mapping[str, Mapping[str, Any]], notes: list[str]) -> None:
    """Refuse tables of other videos, labels, sides or groups."""
    (first, one), *others = tables.items()
    asked = f"compare by the labels '{one['label_column']}' of {labels}"
    for run, other in others:
        sizes = f"{one['train']} and {other['train']} training, {one['test']} and {other['test']} test videos"
        if "data" not in one or "data" not in other:
            notes.append(f"{labels}: a result of an earlier version does not say what it was measured on: measure it again")
            differing = [] if one["train"] == other["train"] else ["training videos"]
        else:
            differing = [what for what, print_ in one["data"].items() if other["data"].get(what) != print_]
        if differing:
            raise ReelvecError(
                asked, f"other {differing[0]} in {run} than in {first} ({sizes})", "measure both on the same labels and videos"
            )


def _row_name(run: str, row: str, encoders: Mapping[str, Any], wanted: Sequence[str] | None) -> str | None:
    """Return the name of a row on the board, None if it does not stand there; equal networks untrained stand there once."""
    kind = row.removeprefix("untrained ")
    if kind not in encoders or (wanted is not None and kind not in wanted):
        return None
    if kind != row:
        return f"untrained {encoders[kind]['architecture']} ({encoders[kind]['sees']})"
    return _called(run, row, encoders)


def _called(run: str, encoder: str, encoders: Mapping[str, Any]) -> str:
    """Return how a run's encoder is called beside those of other runs."""
    return run if len(encoders) == 1 else f"{run}, {encoder}"


def _task(column: str) -> str:
    return next((task for start, task in _COLUMNS.items() if column.startswith(start)), column)


def _same_units(scores: Sequence[Mapping[str, Mapping[str, float]]], names: Sequence[str], columns: Sequence[str]) -> None:
    for (ours, one), (theirs, other) in combinations(zip(names, scores, strict=True), 2):
        for column in columns:
            differing = one[column].keys() ^ other[column].keys()
            if differing:
                raise ReelvecError(
                    f"compare {ours} with {theirs} by {column}",
                    f"{len(differing)} test videos that only one of them was asked about, such as {min(differing)}",
                    "measure both on the same labels, with videos that both can read",
                )


def _against_best(
    rows: list[dict[str, Any]],
    scores: Sequence[Mapping[str, Mapping[str, float]]],
    column: str,
    groups: Mapping[str, str],
) -> None:
    best = max(range(len(rows)), key=lambda i: rows[i]["values"][column])
    units = list(scores[best][column])
    ahead = torch.tensor([scores[best][column][unit] for unit in units], dtype=torch.float64)
    for i, row in enumerate(rows):
        entry = row.setdefault("against_best", {})
        if i == best:
            entry[column] = {"mean": 0.0, "low": 0.0, "high": 0.0, "word": "best"}
            continue
        mine = torch.tensor([scores[i][column][unit] for unit in units], dtype=torch.float64)
        difference = _difference(mine - ahead, units, groups)
        word = "worse" if difference.high < 0 else "no difference shown"
        entry[column] = {"mean": difference.mean, "low": difference.low, "high": difference.high, "word": word}


def _difference(differences: torch.Tensor, units: Sequence[str], groups: Mapping[str, str]) -> Difference:
    kind = units[0].partition(" ")[0]
    if kind in ("draw", "episode"):
        return paired_means(differences.tolist(), kind)
    if kind == "object":
        mean, half = mean_over_groups(differences.tolist(), [groups[unit] for unit in units])
        return Difference(mean, -1.0, 1.0) if half is None else Difference(mean, mean - half, mean + half)
    return paired(differences, [groups.get(unit, unit) for unit in units] if groups else None)


def _alike(results: Mapping[str, Mapping[str, Any]], encoders: Sequence[str] | None, notes: list[str]) -> dict[str, Any]:
    """Compare the features themselves: linear CKA on the videos that all encoders have read."""
    read: dict[str, tuple[dict[str, int], np.ndarray]] = {}
    for run, result in results.items():
        try:
            kept = kept_features(result)
        except ReelvecError as error:
            notes.append(str(error))
            continue
        for name, vectors in kept.vectors.items():
            if encoders is None or name in encoders:
                read[_called(run, name, result["encoders"])] = {path: i for i, path in enumerate(kept.paths)}, vectors
    if len(read) < 2:
        return {"names": [], "cka": []}
    shared = sorted(set.intersection(*(set(where) for where, _ in read.values())))
    rows = {name: torch.from_numpy(x[[where[path] for path in shared]]) for name, (where, x) in read.items()}
    return {"names": list(rows), "cka": [[float(cka(a, b)) for b in rows.values()] for a in rows.values()]}
