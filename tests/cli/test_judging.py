"""The commands that judge, each typed as a person would and run to its end: what was measured is also drawn."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from reelvec.cli import main
from reelvec.cli.tables import rows_table
from reelvec.evals import class_maps, propagation

sys.path.insert(0, str(Path(__file__).parents[1]))
from judged_data import write_all, write_jhmdb, write_vip

Typed = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judged")
    write_all(root)
    return root


@pytest.fixture
def typed(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command in the folder; returns what it wrote to stdout. It must end well."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    detection = importlib.import_module("reelvec.evals.dense.detection")  # the name is taken by the function
    monkeypatch.setattr(detection, "_LEAST_STEPS", 20)
    monkeypatch.setattr(detection, "_RESAMPLES", 20)

    def run(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["reelvec", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        out, err = capsys.readouterr()
        assert leaving.value.code == 0, err
        return out

    return run


def drawn(result: dict) -> str:
    console = Console(width=220, color_system=None)
    with console.capture() as caught:
        console.print(rows_table(result))
    return caught.get()


LABELS = ("--labels", "shapes/labels.csv", "--label-column", "motion")


def test_evaluate(typed: Typed) -> None:
    for run in ("runs/a", "runs/b"):
        shown = typed("evaluate", run, *LABELS, "clips=1", "tasks=knn,fewshot", "fewshot.episodes=10", "fewshot.ways=2")
        assert "knn" in shown
        assert f"written to {run}/evals/labels-step000003.json" in shown.replace("\n", "")


def test_compare_of_what_was_measured(typed: Typed, folder: Path) -> None:
    for run in ("runs/a", "runs/b"):
        typed("evaluate", run, *LABELS, "clips=1", "tasks=knn")
    assert "best" in typed("compare", "runs/a", "runs/b", "out=board.json")
    assert "board.html" in typed("report", "board.json")


def test_diagnose(typed: Typed) -> None:
    shown = typed("diagnose", "runs/a", *LABELS, "clips=1")
    assert "lost against ordinary" in shown
    assert "labels-motion-step000003.png" in shown.replace("\n", "")


def test_diagnose_by_masks(typed: Typed) -> None:
    shown = typed("diagnose", "runs/a", "--labels", "shapes", "--masks", "shapes/truth", "--label-column", "motion")
    assert "on stripes" in shown


def test_health(typed: Typed) -> None:
    assert "rank me" in typed("health", "runs/a", "shapes/train", "beside=runs/b", "clips=1")


def test_masks_of_one_sequence_have_no_interval(typed: Typed, folder: Path) -> None:
    settings = ("propagation.size=48", "localisation.size=48")
    shown = typed("evaluate", "runs/a", "--masks", "davis", *settings, "out=masks.json")
    assert "J&F, percent" in shown
    assert "inside, percent" in shown
    assert "(no interval)" in shown
    summary = json.loads((folder / "masks.json").read_text())
    assert [part["name"] for part in summary["parts"]] == ["localisation", "propagation"]


def test_boxes_whose_chance_has_no_interval(typed: Typed) -> None:
    shown = typed("evaluate", "runs/a", "--boxes", "boxes.csv", "out=boxes.json")
    assert "mAP, percent" in shown
    assert "chance" in shown


def test_a_whole_suite_is_drawn(typed: Typed, folder: Path) -> None:
    small = ("lowshot.draws=2", "lowshot.shares=[]", "lowshot.per_class=[1]", "fewshot.episodes=10", "fewshot.ways=2")
    shown = typed("evaluate", "runs/b", *LABELS, "--suite", "quick", "clips=1", *small)
    for words in ("evaluate", "diagnose", "health", "diagnose_masks", "class_maps", "grad-cam, percent", "left out: detection"):
        assert words in shown
    assert "sections" in typed("report", "runs/b")


def test_maps_of_a_probe_that_says_nothing_are_drawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no test clip has anything that speaks for its class, there is a result, and no share inside."""
    module = importlib.import_module("reelvec.evals.dense.class_maps")
    heat = module.grad_cam
    monkeypatch.setattr(module, "grad_cam", lambda *given: 0 * heat(*given))
    found = class_maps(folder / "runs/a", folder / "shapes", out=folder / "blank.json")
    assert all(row["grad-cam"]["inside"] is None for row in found["rows"] if "grad-cam" in row)
    shown = drawn(found)
    assert "grad-cam" not in shown.splitlines()[1]
    assert "blank, percent" in shown
    assert "100.0" in shown


@pytest.mark.parametrize("benchmark", ["jhmdb", "vip"])
def test_results_of_joints_and_parts_are_drawn(folder: Path, tmp_path: Path, benchmark: str) -> None:
    {"jhmdb": write_jhmdb, "vip": write_vip}[benchmark](tmp_path / benchmark)
    found = propagation(folder / "runs/a", tmp_path / benchmark, size=64, map_stride=8, out=tmp_path / "found.json")
    shown = drawn(found)
    for name in {"jhmdb": ("PCK@0.1", "PCK@0.2"), "vip": ("mIoU",)}[benchmark]:
        assert f"{name}, percent" in shown
        for row in found["rows"]:
            assert f"{100 * row[name]:.1f}" in shown
    assert "(no interval)" in shown  # a single video
