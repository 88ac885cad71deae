"""Boards of what several runs do on the same frames with masks, object by object: `compare`'s part of `propagation` (DAVIS) and
`localisation`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reelvec.core import ReelvecError
from reelvec.evals.dense.localisation import AREA
from reelvec.evals.dense.propagation import PIXELS

Rows = Mapping[str, Mapping[str, Any]]
"""name of a run -> its row of a result"""

_OF_THE_NETWORK = ("clips", "map", "untrained", PIXELS)
"""what the protocol says of how a network reads frames: encoders may differ in it, which a note then says"""


@dataclass(frozen=True)
class FrameBoard:
    """One column of numbers of several runs and, beside it, of the same networks untrained."""

    measure: str
    column: str
    sequences: int
    rows: dict[str, dict[str, dict[str, float]]]
    """name on the board -> {"values", "low", "high"} by column"""
    scores: list[dict[str, dict[str, float]]]
    """of each row, column -> object -> its number"""
    sequence_of: dict[str, str]
    floor: dict[str, float]
    """what nothing learnt gives: the first mask kept, or the mask's area"""
    floor_name: str


def is_of_frames(result: Any) -> bool:
    """Whether a result can be compared object by object: of `localisation`, or of `propagation` on DAVIS."""
    if not isinstance(result, dict) or not {"data", "encoder", "protocol", "rows"} <= set(result) or not result["rows"]:
        return False
    is_known = all("inside" in row for row in result["rows"]) or result.get("numbers") == ["J&F"]
    return is_known and all("sequences" in row for row in result["rows"])


def frame_boards(
    name: str, results: Mapping[str, Mapping[str, Any]], encoders: Sequence[str] | None, notes: list[str]
) -> list[FrameBoard]:
    """Return a board for each preset that all results have; of localisation there is one. What is left out is noted.

    Raises ReelvecError where protocols or sequences differ: such numbers say nothing of each other.
    """
    first = next(iter(results.values()))
    column = first["numbers"][0] if "numbers" in first else "inside"
    if old := [run for run, result in results.items() if not all(map(_has_objects, result["rows"]))]:
        notes.append(f"{name}: left out, as the result of {old[0]} is of an earlier version: measure it again")
        return []
    for key in ("clips", "map"):
        said = {run: result["protocol"].get(key, "") for run, result in results.items()}
        if len(set(said.values())) > 1:
            notes.append(f"{name}, {key}: " + "; ".join(f"{run}: {words}" for run, words in said.items()))
    boards = []
    for preset in dict.fromkeys(row.get("preset") for row in first["rows"]):
        mine = {
            run: {row["name"]: row for row in result["rows"] if row.get("preset") == preset} for run, result in results.items()
        }
        if not all(mine.values()):
            notes.append(f"{name}: preset {preset} is not in every run, and left out")
        elif encoders is None or any(result["encoder"]["name"] in encoders for result in results.values()):
            measure = "localisation" if preset is None else f"propagation, {preset}"
            boards.append(_board(f"{name}, {measure}", measure, column, results, mine, encoders))
    return boards


def frame_protocol(results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what all results were measured by; refuse where they differ in what both did."""
    (first, one), *others = results.items()
    kept = {key: words for key, words in one["protocol"].items() if key not in _OF_THE_NETWORK}
    for run, other in others:
        for key in kept.keys() & other["protocol"].keys():
            if kept[key] != other["protocol"][key]:
                raise ReelvecError(
                    f"compare {run} with {first}",
                    f"results of two protocols; {key}: '{kept[key]}' and '{other['protocol'][key]}'",
                    "measure both the same way: reelvec evaluate with equal frames, presets and sizes",
                )
        kept = {key: words for key, words in kept.items() if key in other["protocol"]}
    return kept


def _board(
    asked: str,
    measure: str,
    column: str,
    results: Mapping[str, Mapping[str, Any]],
    rows: Mapping[str, Rows],
    encoders: Sequence[str] | None,
) -> FrameBoard:
    floor_name = AREA if column == "inside" else next(name for name in next(iter(rows.values())) if name.endswith(" kept"))
    floors = {run: of[floor_name][column] for run, of in rows.items()}
    numbers: dict[str, dict[str, dict[str, float]]] = {}
    scores: list[dict[str, dict[str, float]]] = []
    for run, result in results.items():
        encoder = result["encoder"]
        if encoders is not None and encoder["name"] not in encoders:
            continue
        fresh = f"untrained {encoder['architecture']} ({encoder['sees']})"
        of_fresh = rows[run].get(f"untrained {encoder['name']}")
        if of_fresh and fresh in numbers and numbers[fresh]["values"][column] != of_fresh[column]:
            fresh += f", as {run} was read"
        for name, row in ((run, rows[run][encoder["name"]]), (fresh, of_fresh)):
            if row is not None and name not in numbers:
                numbers[name] = {
                    "values": {column: row[column]},
                    **{bound: {} if row[bound] is None else {column: row[bound]} for bound in ("low", "high")},
                }
                scores.append({column: _objects(row)})
    objects = scores[0][column] if scores else {}
    differing = [run for run, of in floors.items() if abs(of - next(iter(floors.values()))) > 1e-9]
    if differing or any(of[column].keys() != objects.keys() for of in scores):
        raise ReelvecError(f"compare {asked}", "results of other frames or masks", "measure all runs on the same folder")
    sequence_of = {one: one.split(" ", 1)[1].rsplit(" ", 1)[0] for one in objects}
    floor = {column: next(iter(floors.values()))}
    return FrameBoard(measure, column, len(set(sequence_of.values())), numbers, scores, sequence_of, floor, floor_name)


def _has_objects(row: Mapping[str, Any]) -> bool:
    return all(not isinstance(of, dict) or "objects" in of for of in row["sequences"].values())


def _objects(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the number of every object; one of localisation is all that a sequence shows."""
    found = {}
    for sequence, of in row["sequences"].items():
        for number, value in enumerate(of["objects"] if isinstance(of, dict) else [of]):
            found[f"object {sequence} {number}"] = value
    return found
