"""The videos of a study: generated for a seed, or real ones with labels; indexed once, the training videos apart from all."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reelvec.core import ReelvecError
from reelvec.core.machine import usable_cores
from reelvec.core.shapes import Int
from reelvec.data.index import Index, index
from reelvec.data.shapes import make_shapes
from reelvec.evals.labels import read_labels
from reelvec.verbs.sides import index_sides
from reelvec.verbs.study.plan import Budget, Study


@dataclass(frozen=True)
class VideoSet:
    """Labelled videos, and where their index files are."""

    labels: Path
    """a table of labels, or a folder with train/CLASS/ and test/CLASS/"""
    columns: str | None
    """label columns of the table, parted by commas"""
    training: Path
    """index of the training videos"""
    everything: Path
    """index of all videos"""
    generated: Path | None = None
    """folder of a generated set, with its truth"""

    def test_rows(self) -> tuple[Index, Int[np.ndarray, "videos"]]:
        """Return the index of all videos, and its usable rows that are no training videos."""
        found = Index.load(self.everything)
        training = set(Index.load(self.training).table.column("path").to_pylist())
        return found, np.array([row for row in found.usable() if found.row(row).path not in training])

    def fingerprint(self) -> str:
        """Say which videos these are: where, how many, and when they were written."""
        rows = Index.load(self.training).table.select(["path", "size_bytes", "modified_ns"]).to_pylist()
        content: list[Any] = [str(self.labels.resolve()), rows]
        if self.labels.is_file():
            content.append(hashlib.sha256(self.labels.read_bytes()).hexdigest())
        return digest(content)


def digest(content: Any) -> str:
    """Return a short name for what can be written as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def generated_set(
    study: Study, budget: Budget, seed: int, camera: float, work: Path, tell: Callable[[dict[str, Any]], None]
) -> VideoSet:
    """Make the set of one seed, or find it; all studies with such a set share it."""
    moves = f"-camera{'' if camera == 1 else f'{camera:g}'}" if camera else ""
    words = f"shapes{moves}-gop{study.gop}-{budget.train_videos}-{budget.test_videos}"
    folder = work / "sets" / f"{words}-seed{seed}"
    tell({"kind": "message", "text": f"videos of seed {seed} in {folder}"})
    videos = (budget.train_videos, budget.test_videos)
    make_shapes(folder, videos=videos, seed=seed, camera=camera, gop=study.gop, workers=usable_cores())
    training, everything = _index_files(folder.name, work)
    index_sides(folder, training, everything)
    return VideoSet(folder / "labels.csv", "motion,scene", training, everything, folder)


def real_set(data: Path, work: Path) -> VideoSet:
    """Index real videos once: a folder with train/CLASS/ and test/CLASS/, or a table of labels.

    A table has columns of paths and of sides (train, test), and labels in columns called motion and scene, or in one of
    them. Raises ReelvecError for data without two sides.
    """
    (work / "sets").mkdir(parents=True, exist_ok=True)
    training, everything = _index_files(data.stem, work)
    if data.is_file():
        columns = _label_columns(data)
        labels = read_labels(data, label_column=columns)
        sides = [video.split for video in labels.videos]
        if not {"train", "test"} <= set(sides):
            there = "no column that says train and test"
            raise ReelvecError(f"run a study on {data}", there, "add a column 'split' with the words train and test")
        index([video.path for video in labels.videos if video.split == "train"], training)
        index([video.path for video in labels.videos], everything)
        return VideoSet(data, columns, training, everything)
    if not all((data / side).is_dir() for side in ("train", "test")):
        do = "give a folder with train/CLASS/, test/CLASS/, or a table with path, split, motion and scene"
        raise ReelvecError(f"run a study on {data}", "no train/ and test/ in it", do)
    index_sides(data, training, everything)
    return VideoSet(data, None, training, everything)


def _label_columns(table: Path) -> str:
    head = table.read_text(encoding="utf-8").splitlines()[:1]
    names = [name.strip() for name in "".join(head).split(",")]
    columns = [name for name in ("motion", "scene") if name in names]
    if not columns:
        there = f"the columns {', '.join(names)}"
        raise ReelvecError(f"run a study on {table}", there, "call the labels' columns motion and scene, or one of them")
    return ",".join(columns)


def _index_files(name: str, work: Path) -> tuple[Path, Path]:
    """Name the index of a set's training videos, and that of all."""
    beside = work / "sets"
    return beside / f"{name}-train.parquet", beside / f"{name}-all.parquet"
