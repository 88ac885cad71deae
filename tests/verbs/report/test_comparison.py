"""Pages of comparisons, and results of other forms on the page of a run."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from reelvec.core import ReelvecError
from reelvec.evals import compare, health
from reelvec.verbs.report import report

sys.path.insert(0, str(Path(__file__).parent))
from page_check import check
from small_runs import write_log


def test_a_comparison_is_a_page(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "copy")
    file = tmp_path / "both.json"
    compared = compare([run, tmp_path / "copy"], out=file)
    result = report(file)
    assert result["file"] == str(tmp_path / "both.html")
    page = check((tmp_path / "both.html").read_bytes())
    of_runs = ["runs", "verdicts", "curves", "neighbours"]
    assert [a["id"] for a in page.all("section")] == ["board0", "board1", *of_runs, "how", "commands"]
    for table in compared["tables"]:
        for row in table["rows"]:
            assert row["name"] in page.text
            for one in row["against_best"].values():
                assert one["word"] in page.text
    assert "no difference is shown to" in page.text
    assert "reelvec compare" in page.text


@pytest.fixture
def of_two(run: Path, tmp_path: Path) -> Path:
    """A comparison of a run with another one, which has a log of its own and a result of `health`."""
    other = Path(shutil.copytree(run, tmp_path / "other"))
    write_log(other, 40)
    labels = json.loads((run / "evals/labels-step000020.json").read_text())["labels"]
    health(other, Path(labels).parent)
    compare([run, other], out=tmp_path / "both.json")
    return tmp_path / "both.json"


def test_runs_stand_side_by_side(of_two: Path, run: Path) -> None:
    report(of_two)
    page = check(of_two.with_suffix(".html").read_bytes())
    first, second = run.name, "other"
    assert "20 of 20" in page.text
    assert "40 of 20" in page.text
    assert page.text.count("13 videos") == 2
    plots = {str(a["data-name"]): a for a in page.all("div") if "data-lines" in a}
    assert {"loss", "effective rank", "learning rate", "clips per second"} <= set(plots)
    points = json.loads(str(plots["loss"]["data-points"]))
    assert json.loads(str(plots["loss"]["data-lines"])) == [first, second]
    assert [step for step, _, _ in points] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert [None if one is None else one[0] for one in points[-1][2]] == [None, 2.0]
    assert [one[0] for one in points[3][2]] == [2.0, 2.5]
    told = str(next(a["aria-label"] for a in page.all("svg") if "Curve of loss" in str(a.get("aria-label"))))
    assert f"{first}: Curve of loss over 4 values" in told
    assert f"{second}: Curve of loss over 8 values" in told
    made = json.loads(next((of_two.parent / "other/evals").glob("health-*.json")).read_text())
    assert made["rows"][0]["verdict"] in page.text
    diagnosis = json.loads((run / "evals/labels-motion-step000020.json").read_text())
    assert page.text.count(diagnosis["tables"][0]["rows"][0]["verdict"]["text"]) == 2
    assert "not measured" in page.text  # the health of the first one


def test_queries_are_the_same_for_each_run(of_two: Path, run: Path) -> None:
    report(of_two)
    page = check(of_two.with_suffix(".html").read_bytes())
    rows = [str(a["aria-label"]) for a in page.all("div") if "nearest videos by" in str(a.get("aria-label"))]
    queries = [label.partition(" and its ")[0] for label in rows]
    assert len(queries) == 8
    assert queries[::2] == queries[1::2]
    assert [label.rpartition(" by ")[2] for label in rows[:2]] == [f"{run.name}, visual", "other, visual"]


def test_a_comparison_whose_runs_are_gone_keeps_its_boards(of_two: Path) -> None:
    shutil.rmtree(of_two.parent / "other")
    report(of_two)
    page = check(of_two.with_suffix(".html").read_bytes())
    assert "Not shown, as their folders are not there or there are more than 8 runs: other." in page.text


@pytest.mark.parametrize("content", ["{", "[]", '{"tables": []}', '{"tables": [{"rows": [{}]}], "runs": {}, "protocol": {}}'])
def test_another_file_is_no_comparison(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(content)
    with pytest.raises(ReelvecError, match="no comparison of runs"):
        report(file)


def test_rows_with_a_number_each_are_a_table(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    over = {"untrained <b>": {"mean": 0.1, "low": 0.02, "high": 0.18}, "ceiling": {"mean": -0.4, "low": -0.5, "high": -0.3}}
    rows = [
        {"name": "visual", "preset": "dino", "J&F": 0.412, "low": 0.3, "high": 0.5, "sequences": {},
         "over": over},
        {"name": "untrained <b>", "preset": "dino", "J&F": 0.312, "low": 0.2, "high": 0.4, "sequences": {}},
    ]  # fmt: skip
    content = {"run": "r", "data": "d", "rows": rows, "protocol": {"size": "480p"}, "notes": ["<i>"]}
    (folder / "evals" / "davis-propagation-step000020.json").write_text(json.dumps(content))
    picture = np.full((40, 1600, 3), 90, np.uint8)
    cv2.imwrite(str(folder / "evals" / "davis-propagation-step000020.png"), picture)
    report(folder)
    page = check((folder / "report.html").read_bytes())
    for words in ("41.2 30.0–50.0", "+10.0 points (2.0 to 18.0), above", "-40.0 points (-50.0 to -30.0), below", "480p", "<i>"):
        assert words in page.text
    (image,) = (one for one in page.all("img") if "davis" in str(one["alt"]))
    assert (image["width"], image["height"]) == ("1000", "25")


def test_health_without_labels_is_a_table(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    alike = {"names": ["a", "<b>"], "cka": [[1.0, 0.25], [0.25, 1.0]]}
    row = {
        "name": "visual",
        "dim": 4,
        "values": {"rank_me": 3.25},
        "spectrum": [0.6, 0.3, 0.1],
        "layers": alike,
        "verdict": "it is fine",
    }
    content = {
        "run": "r",
        "videos": 37,
        "rows": [row],
        "alike": alike,
        "meaning": {"rank_me": "directions in use"},
        "notes": [],
    }
    (folder / "evals" / "health-step000020.json").write_text(json.dumps(content))
    (folder / "evals" / "broken-step000020.json").write_text(
        json.dumps(content | {"rows": [{"name": "x", "values": {}, "layers": 3}]})
    )
    report(folder)
    page = check((folder / "report.html").read_bytes())
    for words in ("Health of the features: 37 videos", "it is fine", "3.25", "directions in use", "60.0", "0.25"):
        assert words in page.text
