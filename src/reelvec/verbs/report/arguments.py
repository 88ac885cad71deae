"""What a result is, and with which arguments it was made: what one types to make it again.

Some results keep what was asked for ("asked"); of the others it is read from what they say of themselves.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from reelvec.evals import CLIP_EVALS, EVALS
from reelvec.evals.dense.label_propagation import PRESETS
from reelvec.verbs.report.story import Json

Kind = Literal[
    "evaluate", "diagnose", "diagnose_masks", "pair_similarity", "health", "propagation", "localisation", "detection",
    "class_maps", "suite",
]  # fmt: skip
"""the function that made a result; of the suite, `battery`"""

Size = int | list[int] | None


def kind_of(content: Any) -> Kind | None:
    """Return which function a result is of; None for JSON of another kind."""
    if not isinstance(content, Mapping):
        return None
    if {"suite", "parts"} <= set(content):
        return "suite"
    if isinstance(content.get("tables"), list):
        return _kind_of_tables(content)
    rows = content.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) and "name" in row for row in rows):
        return None
    if "meaning" in content:
        return "health" if all(isinstance(row.get("values"), Mapping) for row in rows) else None
    if any("preset" in row for row in rows):
        return "propagation"
    signs: tuple[tuple[str, Kind], ...] = (("inside", "localisation"), ("mAP", "detection"), ("grad-cam", "class_maps"))
    return next((kind for sign, kind in signs if any(sign in row for row in rows)), None)


def _kind_of_tables(content: Mapping[str, Any]) -> Kind:
    asked = content.get("asked") or {}
    if any("measure" in table for table in content["tables"]):
        return "diagnose_masks" if "masks" in asked else "diagnose"
    return "pair_similarity" if asked and "path_column" not in asked else "evaluate"


def arguments_of(kind: Kind, content: Json) -> dict[str, Any]:
    """Return the arguments of a function that are not its defaults, beside run and data; of paths that they were asked for."""
    read: dict[Kind, Callable[[Json], dict[str, Any]]] = {
        "evaluate": _of_evaluate, "diagnose": _of_labels, "diagnose_masks": _of_masks, "pair_similarity": _of_pairs,
        "health": _of_asked, "propagation": _of_propagation, "localisation": _of_localisation, "detection": _of_detection,
        "class_maps": _of_class_maps,
    }  # fmt: skip
    found = read[kind](content)
    if kind != "health" and "untrained" not in (content.get("protocol") or {}):
        found["baselines"] = False
    return {name: value for name, value in found.items() if value is not None}


def _of_asked(content: Json) -> dict[str, Any]:
    asked = content.get("asked") or {}
    defaults = ("settings", "seed") if not asked.get("seed") else ("settings",)
    return {name: value for name, value in asked.items() if name not in defaults and value is not False and value != []}


def _of_pairs(content: Json) -> dict[str, Any]:
    return {**_of_asked(content), "encoders": list(content["encoders"])}


def _of_labels(content: Json) -> dict[str, Any]:
    columns = list(dict.fromkeys(one["label_column"] for one in content["tables"] if "label_column" in one))
    return {"label_column": ",".join(columns) or None, **_of_asked(content)}


def _of_evaluate(content: Json) -> dict[str, Any]:
    tasks = [name for name in content.get("protocol") or {} if name in EVALS or name in CLIP_EVALS]
    return {**_of_labels(content), "tasks": tasks or None, "settings": (content.get("asked") or {}).get("settings") or None}


def _of_masks(content: Json) -> dict[str, Any]:
    name = next(iter(content["encoders"]))
    return {**_of_labels(content), **_of_encoder({"encoder": {"name": name}})}


def _of_encoder(content: Json) -> dict[str, Any]:
    name = content["encoder"]["name"]
    return {"encoder": None if name == "visual" else name}


def _of_propagation(content: Json) -> dict[str, Any]:
    names = list(dict.fromkeys(row["preset"] for row in content["rows"]))
    return {"preset": names, "size": _size_of_presets({name: content["protocol"][name] for name in names}), **_of_maps(content)}


def _of_localisation(content: Json) -> dict[str, Any]:
    size = _size_in(content["protocol"]["frames"])
    return {"size": None if size == _LOCALISATION_SIDE else size, **_of_maps(content)}


_LOCALISATION_SIDE = 240


def _of_maps(content: Json) -> dict[str, Any]:
    """Return what measures of frames have alike."""
    protocol = content["protocol"]
    stride = re.search(r"strides taken out, (\d+) pixels", protocol["map"])
    return {
        **_of_encoder(content),
        "clips": "repeated" if re.search(r"alone, shown \d+ times", protocol["clips"]) else None,
        "map_stride": int(stride[1]) if stride else None,
        "sequences": list(content["rows"][0]["sequences"]),
        "seed": _seed_of_untrained(protocol),
    }


def _size_of_presets(words: Mapping[str, str]) -> Size:
    """Return the size that all presets were given; None where each has its own."""
    sizes = {name: _size_in(said) for name, said in words.items()}
    if all(name in PRESETS and size == _size_in(PRESETS[name].in_words()) for name, size in sizes.items()):
        return None
    whole = [size for size in sizes.values() if isinstance(size, int)]
    return whole[0] if whole else next(iter(sizes.values()))


def _size_in(words: str) -> Size:
    """Read the size of frames out of what a protocol says of them: a short side, or height and width."""
    both = re.search(r"(\d+) x (\d+)", words)
    short = re.search(r"short side (\d+)", words)
    return int(short[1]) if short else [int(both[1]), int(both[2])] if both else None


def _seed_of_untrained(protocol: Mapping[str, str]) -> int | None:
    """Return the first seed of the untrained networks, None where it is 0 or nothing was drawn."""
    found = re.search(r"seeds (\d+) to", protocol.get("untrained", ""))
    return int(found[1]) or None if found else None


def _of_detection(content: Json) -> dict[str, Any]:
    protocol = content["protocol"]
    threshold = re.search(r"with a score of (\S+) at least", protocol["metric"])
    seed = re.search(r", seed (\d+)$", protocol["head"])
    return {
        "detected": content.get("detected"),
        "threshold": float(threshold[1]) if threshold else None,
        **_of_encoder(content),
        "seed": int(seed[1]) or None if seed else None,
    }


def _of_class_maps(content: Json) -> dict[str, Any]:
    protocol = content["protocol"]
    named = re.search(r"of the true class of '(.*)', from the last map", protocol["grad-cam"])
    asked, column = _of_asked(content), named[1] if named else None
    if asked.get("masks") is None and column == "motion":  # what a generated set is asked for
        column = None
    return {**asked, "label_column": column, **_of_encoder(content), "seed": _seed_of_untrained(protocol)}
