"""A small run with everything: log, encoder, evaluation with labels of an unkind set, and its page."""

import csv
import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reelvec.evals import diagnose, evaluate, propagation
from reelvec.verbs.battery import battery
from reelvec.verbs.report import report

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))
from judged_data import write_all, write_jhmdb, write_vip
from small_runs import write_run

UNKIND = "</script><script>window.harmed=1</script>"
"""a class that would run code if it were taken for markup"""

QUOTED = "\"><img src=x onerror='window.harmed=1'>&amp;"


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Twelve videos of three colours; one of the test videos is a copy of one of the training videos, under an unkind name."""
    folder = tmp_path_factory.mktemp("shown")
    colours = {"red": (200, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 210)}
    rng = np.random.default_rng(0)
    for colour, rgb in colours.items():
        for i in range(4):
            shade = np.clip(np.array(rgb) + rng.integers(-25, 25, 3), 0, 255)

            def picture(number: int, shade: np.ndarray = shade, i: int = i) -> np.ndarray:
                frame = np.empty((40, 48, 3), np.uint8)
                frame[:] = shade
                frame[8 * i : 8 * i + 6, 2 * number : 2 * number + 6] = 240
                return frame

            make_video(folder / f"{colour}{i}.mp4", frames=12, size=(48, 40), picture=picture)
    shutil.copy(folder / "red0.mp4", folder / "<script>window.harmed=1<script>.mp4")
    return folder


@pytest.fixture(scope="session")
def labels(videos: Path) -> Path:
    """A table of them: of every colour the last two are test videos; so is the copy. Two columns of classes."""
    file = videos / "labels.csv"
    with file.open("w", newline="") as open_file:
        writer = csv.writer(open_file)
        writer.writerow(["path", "colour", "place", "split"])
        for path in sorted(videos.glob("*.mp4")):
            word, number = path.stem[:-1], path.stem[-1]
            is_copy = path.stem.startswith("<")
            colour = {"red": UNKIND, "green": QUOTED}.get("red" if is_copy else word, word)
            even = "0" if is_copy else number
            side = "test" if is_copy or number in "23" else "train"
            writer.writerow([path.name, colour, "top" if even in "02" else "bottom", side])
    return file


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, videos: Path, labels: Path) -> Path:
    folder = write_run(tmp_path_factory.mktemp("runs") / "a<b>", videos)
    known = {"accept_shared_sources": True}  # the copy: evaluate refuses it, else the page has to find it
    evaluate(folder, labels, label_column="colour,place", baselines=False, clips=1, **known)
    diagnose(folder, labels, label_column="place", baselines=False, clips=1, **known)
    (folder / "evals" / "strange.json").write_text(json.dumps({"score": 0.5, UNKIND: [1, {"a": QUOTED}]}))
    return folder


@pytest.fixture(scope="session")
def page_file(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the run."""
    out = tmp_path_factory.mktemp("pages") / "report.html"
    report(run, out=out)
    return out


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small data of all kinds and two runs; a whole suite of runs/a, and joints and parts followed by it."""
    root = tmp_path_factory.mktemp("judged")
    write_all(root)
    write_jhmdb(root / "jhmdb")
    write_vip(root / "vip")
    module = importlib.import_module("reelvec.evals.dense.detection")  # the name is taken by the function
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_LEAST_STEPS", 5)
        patch.setattr(module, "_RESAMPLES", 5)
        battery(root / "runs/a", root / "shapes/labels.csv", masks=root / "davis", boxes=root / "boxes.csv",
                label_column="motion", clips=1, settings=SUITE_SETTINGS)  # fmt: skip
    for name in ("jhmdb", "vip"):
        propagation(root / "runs/a", root / name, size=64, map_stride=8)
    return root


SUITE_SETTINGS = {
    "lowshot": {"draws": 2, "shares": [], "per_class": [1]}, "fewshot": {"episodes": 10, "ways": 2}, "knn": {"k": 3},
    "propagation": {"size": 48, "preset": ["dul"]}, "localisation": {"size": 48}, "class_maps": {"label_column": "scene"},
}  # fmt: skip
