"""Indexing a folder of train/ and test/: one file to learn from, one to measure with."""

import shutil
from pathlib import Path

from reelvec.data.index import index, index_within


def index_sides(videos: Path, training: Path, everything: Path) -> None:
    """Index train/ in one file, and train/ and test/ in another; no video is probed twice."""
    index(videos / "train", training)
    if not everything.exists():
        shutil.copyfile(training, everything)
    index_within(everything, videos / "test")
