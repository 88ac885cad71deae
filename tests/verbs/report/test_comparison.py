"""Pages of comparisons, and results of other forms on the page of a run."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from reelvec.core import ReelvecError
from reelvec.evals import compare
from reelvec.verbs.report import report

sys.path.insert(0, str(Path(__file__).parent))
from page_check import check


def test_a_comparison_is_a_page(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "copy")
    file = tmp_path / "both.json"
    compared = compare([run, tmp_path / "copy"], out=file)
    result = report(file)
    assert result["file"] == str(tmp_path / "both.html")
    page = check((tmp_path / "both.html").read_bytes())
    assert [a["id"] for a in page.all("section")] == ["board0", "board1", "how", "commands"]
    for table in compared["tables"]:
        for row in table["rows"]:
            assert row["name"] in page.text
            for one in row["against_best"].values():
                assert one["word"] in page.text
    assert "no difference is shown to" in page.text
    assert "reelvec compare" in page.text


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
