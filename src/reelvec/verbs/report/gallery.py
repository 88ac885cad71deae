"""The videos that a result was measured on: features, labels, sides and single answers, for what shows them."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.backbones import load_encoder
from reelvec.core import ReelvecError
from reelvec.core.shapes import Float
from reelvec.data.index import index
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress, encoder_reader, extract, whole_videos
from reelvec.evals.kept_features import kept_features
from reelvec.evals.labels import read_labels
from reelvec.verbs.report.markup import short
from reelvec.verbs.report.story import Json, RunStory

MOST_VIDEOS = 1000
"""videos of a folder that are read for the report itself, spread evenly over the sorted paths"""


@dataclass(frozen=True)
class Answer:
    """What one encoder said of one test video."""

    path: str
    label: str
    named: str
    sure: float
    """probability of the class that was named; not a number where it is not known"""


@dataclass(frozen=True)
class Gallery:
    """Videos in the order of their paths, with what is known of them."""

    name: str
    paths: list[str]
    vectors: dict[str, Float[Tensor, "videos _"]]
    """by encoder, of length one"""
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    """label column -> path -> class"""
    tested: dict[str, set[str]] = field(default_factory=dict)
    """label column -> paths of its test videos"""
    answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    """(label column, encoder) -> answers of `asked`"""
    asked: dict[str, str] = field(default_factory=dict)
    """label column -> the measure whose answers are shown"""
    missing: list[str] = field(default_factory=list)
    """what could not be had, in words"""

    @property
    def columns(self) -> list[str]:
        """The label columns that are known, three at most: a picture has room for so many words."""
        return list(self.labels)[:3]

    def is_test(self, path: str) -> bool:
        """Whether a video is a test video for any labels."""
        return any(path in paths for paths in self.tested.values())

    def is_across(self, first: str, second: str) -> bool:
        """Whether one is a test and the other a training video, for labels of some column."""
        return any((first in paths) != (second in paths) for paths in self.tested.values())


def gallery_of(result: Json) -> Gallery:
    """Gather what a result of `evaluate` was made of; what is not there any more is named in `missing`."""
    name = f"{Path(str(result['labels'])).name}, step {max((e['step'] for e in result['encoders'].values()), default=0)}"
    missing: list[str] = []
    again = f"measure again: reelvec evaluate {result['run']} --labels {result['labels']}"
    try:
        kept = kept_features(result)
        paths, vectors = kept.paths, {n: _unit(v) for n, v in kept.vectors.items()}
    except (ReelvecError, OSError) as error:
        there = error.there if isinstance(error, ReelvecError) else str(error)
        missing.append(f"No features of these videos are kept ({there}); {again}")
        paths, vectors = [], {}
    asked, answers, tested, labels = _answers(result)
    if not answers:
        missing.append(f"No single answers are kept; {again}")
    try:
        for column, of_path in _labels(result).items():
            labels[column] = of_path | labels.get(column, {})
    except (ReelvecError, OSError) as error:
        words = str(error).splitlines()[0]
        missing.append(f"The labels of the training videos cannot be read again ({words}), so neighbours carry none.")
    if labels and paths:  # features of other labels' videos may stand in the same folder
        known = set().union(*labels.values())
        keep = [i for i, path in enumerate(paths) if path in known]
        if keep:
            paths, vectors = [paths[i] for i in keep], {n: v[keep] for n, v in vectors.items()}
    return Gallery(name, paths, vectors, labels, tested, answers, asked, missing)


def gallery_of_videos(story: RunStory, videos: str | os.PathLike[str], on_progress: OnProgress | None) -> Gallery:
    """Read features of unlabelled videos with all encoders of the run, as `embed` would."""
    probed = index(videos, workers=0)
    rows = probed.usable()
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_VIDEOS)).round().astype(int))]
    device = choose_device(None)
    readers = [encoder_reader(name, *load_encoder(story.path, name), device) for name in story.cards]
    read = extract(readers, probed, whole_videos(probed, rows), device=device, on_progress=on_progress)
    paths = [probed.row(int(row)).path for row, found in zip(rows, read.found, strict=True) if found]
    vectors = {name: _unit(values[read.found]) for name, values in read.vectors.items()}
    return Gallery(Path(os.fspath(videos)).name, paths, vectors)


def _unit(vectors: np.ndarray) -> Float[Tensor, "videos _"]:
    return F.normalize(torch.from_numpy(np.asarray(vectors, np.float32)), dim=1)


def _labels(result: Json) -> dict[str, dict[str, str]]:
    """Read the labels again, as the result says they were read."""
    columns = [one["label_column"] for one in result["tables"] if "label_column" in one]
    arguments: dict[str, Any] = {}
    if not Path(result["labels"]).is_dir():
        given = result.get("asked") or {}
        wanted = ("path_column", "split_column", "group_column", "videos")
        arguments = {name: given[name] for name in wanted if given.get(name) is not None}
        arguments["label_column"] = ",".join(dict.fromkeys(columns))
    labelled = read_labels(result["labels"], **arguments)
    return {column: {video.path: video.labels[column] for video in labelled.videos} for column in labelled.columns}


_LIKED = ("linear", "attentive", "finetune", "knn")
"""measures whose single answers are shown, the first that is there"""

_Kept = tuple[dict[str, str], dict[tuple[str, str], list[Answer]], dict[str, set[str]], dict[str, dict[str, str]]]


def _answers(result: Json) -> _Kept:
    """Return the measure that is shown for each label column, its answers, which videos are tested and their classes."""
    asked: dict[str, str] = {}
    answers: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    tested: dict[str, set[str]] = defaultdict(set)
    labels: dict[str, dict[str, str]] = defaultdict(dict)
    try:
        file = Path(result["file"]).parent / Path(result["answers"]).name
        table = pq.read_table(file)
        encoders = pa.array([*result["encoders"], "both"])
        table = table.filter(pc.is_in(table["row"].cast(pa.string()), value_set=encoders))
        table = table.filter(pc.not_equal(table["named"].cast(pa.string()), ""))
    except (KeyError, OSError, pa.ArrowException):
        return asked, {}, {}, {}
    for label_column, column in zip(*_pairs_of(table), strict=True):
        known = (_LIKED.index(name) if name in _LIKED else len(_LIKED) for name in (column, asked.get(label_column)))
        if label_column not in asked or next(known) < next(known):
            asked[label_column] = column
    for label_column, column in asked.items():
        of_column = table.filter(pc.and_(_is(table, "label_column", label_column), _is(table, "column", column)))
        for row in of_column.select(["row", "unit", "label", "named", "sure"]).to_pylist():
            tested[label_column].add(row["unit"])
            labels[label_column][row["unit"]] = row["label"]
            answers[label_column, row["row"]].append(Answer(row["unit"], row["label"], row["named"], row["sure"]))
    return asked, dict(answers), dict(tested), dict(labels)


def _pairs_of(table: pa.Table) -> tuple[list[str], list[str]]:
    """Return the label columns and measures that stand together in some row, in the order in which they first do."""
    words = [table[name].cast(pa.string()) for name in ("label_column", "column")]
    pairs = (
        pa.table(words, names=["label_column", "column"]).group_by(["label_column", "column"], use_threads=False).aggregate([])
    )
    return pairs["label_column"].to_pylist(), pairs["column"].to_pylist()


def _is(table: pa.Table, name: str, word: str) -> Any:
    return pc.equal(table[name].cast(pa.string()), word)


def spread(items: Sequence[Any], many: int) -> list[Any]:
    """Pick items evenly from a sequence: a choice that nobody made by looking."""
    if len(items) <= many:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, many).round().astype(int)]


def class_words(gallery: Gallery, path: str) -> Mapping[str, str]:
    """Return the classes of a video by label column, for the columns that have one."""
    return {column: short(gallery.labels[column][path], 40) for column in gallery.columns if path in gallery.labels[column]}
