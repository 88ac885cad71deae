"""What is no table of labels: real results of the functions that make them, and how they stand on the page."""

import importlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from reelvec.evals import class_maps
from reelvec.verbs.report import report
from reelvec.verbs.report.arguments import kind_of

sys.path.insert(0, str(Path(__file__).parent))
from page_check import Page, check


@pytest.fixture(scope="module")
def content(judged: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("page") / "report.html"
    report(judged / "runs/a", out=out)
    return out.read_bytes()


@pytest.fixture(scope="module")
def page(content: bytes) -> Page:
    return check(content)


def result(judged: Path, name: str) -> dict[str, Any]:
    (file,) = (judged / "runs/a/evals").glob(f"{name}-step*.json")
    return json.loads(file.read_text())


def test_diagnoses_are_named_by_what_they_ask(page: Page) -> None:
    assert "Object or background: shapes, step 3" in page.text
    assert "Motion or scene: labels.csv, step 3" in page.text


def test_every_result_is_of_a_known_kind(judged: Path) -> None:
    kinds = {file.name: kind_of(json.loads(file.read_text())) for file in (judged / "runs/a/evals").glob("*.json")}
    assert set(kinds.values()) == {
        "suite", "evaluate", "diagnose", "diagnose_masks", "health", "class_maps", "localisation", "propagation", "detection",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("davis-propagation", ["J&F"]), ("jhmdb-propagation", ["PCK@0.1", "PCK@0.2"]), ("vip-propagation", ["mIoU"]),
        ("davis-localisation", ["inside"]), ("boxes-detection", ["mAP"]),
    ],
)  # fmt: skip
def test_numbers_of_rows_stand_in_a_table(page: Page, judged: Path, name: str, columns: list[str]) -> None:
    found = result(judged, name)
    assert set(columns) <= set(page.of_tag["th"])
    for row in found["rows"]:
        for column in columns:
            bounds = f" {100 * row['low']:.1f}–{100 * row['high']:.1f}" if row.get("low") is not None else ""
            words = f"{100 * row[column]:.1f}" + (bounds if column == columns[0] else "")
            assert words in page.text
    for other, one in (found["rows"][0].get("over") or {}).items():
        said = "no interval is known" if one["low"] is None else f"({100 * one['low']:.1f} to "
        begin = re.escape(f"against {other}: {100 * one['mean']:+.1f} ")
        assert re.search(begin + r"points,? (of which )?" + re.escape(said), page.text)


def test_what_speaks_for_a_class_is_a_table(page: Page, judged: Path) -> None:
    found = result(judged, "shapes-scene-classmaps")
    assert {"grad-cam", "energy", "accuracy", "blank"} <= set(page.of_tag["th"])
    for row in found["rows"]:
        for name in ("grad-cam", "energy"):
            if row.get(name, {}).get("inside") is not None:
                assert (
                    f"{100 * row[name]['inside']:.1f} {100 * row[name]['low']:.1f}–{100 * row[name]['high']:.1f}" in page.text
                )


def test_class_maps_in_which_nothing_speaks_are_shown(judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Path(shutil.copytree(judged / "runs/b", tmp_path / "run"))
    module = importlib.import_module("reelvec.evals.dense.class_maps")
    heat = module.grad_cam
    monkeypatch.setattr(module, "grad_cam", lambda *given: 0 * heat(*given))
    class_maps(run, judged / "shapes")
    report(run)
    page = check((run / "report.html").read_bytes())
    assert "What speaks for a class" in page.text
    assert "grad-cam" not in page.of_tag["th"]
    assert "blank" in page.of_tag["th"]


def test_a_suite_says_what_it_left_out(judged: Path, tmp_path: Path, page: Page) -> None:
    assert "Suite quick: what was measured, and what not" in page.text
    assert "class_maps" in page.of_tag["th"]
    assert '"parts"' not in page.text
    run = Path(shutil.copytree(judged / "runs/a", tmp_path / "run"))
    file = run / "evals/suite-quick-step000003.json"
    summary = json.loads(file.read_text())
    file.write_text(json.dumps({**summary, "left_out": [{"name": "detection", "reason": "no boxes: add --boxes TABLE"}]}))
    report(run)
    assert "no boxes: add --boxes TABLE" in check((run / "report.html").read_bytes()).text


def test_pictures_beside_results_stand_on_the_page(page: Page, content: bytes, judged: Path) -> None:
    pictures = sorted(file.stem for file in (judged / "runs/a/evals").glob("*.png"))
    for kind in ("labels-motion", "shapes-masks", "health", "davis-propagation", "davis-localisation"):
        assert any(name.startswith(f"{kind}-step") for name in pictures)
    shown = [str(one["alt"]) for one in page.all("img")]
    assert all(any(name in alt for alt in shown) for name in pictures)
    assert "too large for the page" not in page.text
    assert len(content) < 10_000_000
