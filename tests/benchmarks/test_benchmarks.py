"""The benchmarks run, their results have what the page wants, and the page in docs is what the stored results give."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """A function that imports a script of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    return importlib.import_module


def medians(rows: list[dict]) -> list[float]:
    return [cell["median"] for row in rows for cell in row.values() if isinstance(cell, dict)]


def check(result: dict, name: str) -> None:
    assert (result["benchmark"], result["quick"]) == (name, True)
    assert {"cpu", "cores", "load_at_start", "python", "reelvec"} <= set(result["machine"])
    assert all(made["rows"] and made["title"] and made["note"] for made in result["tables"])
    assert all(value >= 0 for made in result["tables"] for value in medians(made["rows"]))


@pytest.mark.parametrize("name", ["views", "training_step"])
def test_a_benchmark_runs(benchmark, tmp_path, name):
    benchmark(name).main(["--quick", "--rounds", "1", "--out", str(tmp_path / "result.json")])
    check(json.loads((tmp_path / "result.json").read_text()), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reading", "loading", "scale", "search", "motion_vectors"])
def test_a_benchmark_with_processes_of_its_own_runs(tmp_path, name):
    command = [sys.executable, BENCHMARKS / f"{name}.py", "--quick", "--out", tmp_path / "result.json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    check(json.loads((tmp_path / "result.json").read_text()), name)


def test_every_reader_gives_the_frames_asked_for(benchmark, tmp_path):
    reading, measuring = benchmark("reading"), benchmark("measuring")
    path = measuring.write_video(tmp_path / "a.mp4", measuring.moving_frames(96, 72, 50, seed=0), gop=12, preset="veryfast")
    found = reading.index([path], workers=0)
    requests = reading.requests_of(found, reading.needs_of(), 3)
    readers, left_out = reading.contenders()
    assert {*readers, *left_out} == {*reading.OURS, *reading.PEERS}
    assert {"floor", "reelvec", "OpenCV"} <= set(readers)
    # the peers of the bench extra have limits of their own: torchcodec wants the FFmpeg that a script lends it, decord2 fails
    # on pictures as small as these
    readers = {name: read for name, read in readers.items() if name in {"floor", "OpenCV", *reading.OURS}}
    rows = reading.compare("a", requests, readers)
    assert [row["other frames"] for row in rows] == [0] * len(rows)
    assert all(row["grey levels off"]["median"] < 3 for row in rows)
    # and one that gives the frame after is seen
    late = {"late": lambda request: reading.by_reelvec(request)[:, :, [1, 2, 3, 4, 5, 6, 7, 7]]}
    assert reading.compare("a", requests[:1], late)[0]["grey levels off"]["median"] > 3


def test_the_floor_decodes_from_the_nearest_key_frames(benchmark, tmp_path):
    reading, measuring = benchmark("reading"), benchmark("measuring")
    path = measuring.write_video(tmp_path / "a.mp4", measuring.moving_frames(32, 32, 40, seed=0), gop=10, preset="veryfast")
    row = reading.index([path], workers=0).row(0)
    assert row.key_frames.tolist() == [0, 10, 20, 30]
    runs = reading.runs_from_keys(row, reading.np.array([3, 5, 12, 25, 38]))
    assert list(runs) == [(0, [3, 5]), (10, [12]), (20, [25]), (30, [38])]
    assert list(reading.runs_from_keys(row, reading.np.array([9, 10, 11]))) == [(0, [9, 10, 11])]


def test_turns_are_taken_and_divided_round_by_round(benchmark):
    measuring = benchmark("measuring")
    order: list[str] = []
    seconds = measuring.take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b", "a", "b", "b", "a"]  # once uncounted; then turned around after each round
    assert [len(taken) for taken in seconds.values()] == [2, 2]
    assert measuring.ratio([2.0, 8.0, 3.0], [1.0, 2.0, 3.0]) == {"median": 2.0, "low": 1.0, "high": 4.0}
    assert measuring.rate(6, [1.0, 2.0, 3.0]) == {"median": 3.0, "low": 2.0, "high": 6.0}


def test_a_table_shows_what_is_known(benchmark):
    rows = [{"who": "a", "rate": {"median": 123.4, "low": 99.0, "high": 150.0}}, {"who": "b", "rows": 1000000, "rate": None}]
    assert benchmark("measuring").markdown(rows) == (
        "| who | rate | rows |\n|---|---|---|\n| a | 123 (99.0–150) | – |\n| b | – | 1 000 000 |"
    )


def test_the_projects_page_is_made_of_its_results(benchmark):
    page = (BENCHMARKS.parent / "docs/speed.md").read_text(encoding="utf-8")
    assert page == benchmark("speed_page").speed_page(BENCHMARKS / "results"), "run: python benchmarks/speed_page.py"
    picture = (BENCHMARKS.parent / "docs/growth.svg").read_text(encoding="utf-8")
    page = benchmark("speed_page")
    results = page.on_cpu(page.stored_results(BENCHMARKS / "results"))
    assert picture == benchmark("growth_picture").growth_picture(results), "run: python benchmarks/speed_page.py"


def test_curves_go_through_the_medians_on_logarithmic_axes(benchmark):
    rows = [
        {"queue": 10**power, "step, ms": {"median": 10.0**power, "low": 9.0**power, "high": 11.0**power}} for power in (1, 2, 3)
    ]
    result = {"scale": {"tables": [{"title": "A step by the size of its queue", "rows": rows}]}}
    picture = ElementTree.fromstring(benchmark("growth_picture").growth_picture(result))
    titles = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text") if text.get("font-weight") == "bold"]
    assert titles == ["A step of rho_moco, ms"]  # what was not measured has no panel
    places = [(float(c.get("cx")), float(c.get("cy"))) for c in picture.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(places) == 3
    (x1, y1), (x2, y2), (x3, y3) = places
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert y1 > y2  # y points down


def test_on_paper_is_worked_out_of_results_and_of_assumptions_that_say_so(benchmark):
    paper = benchmark("on_paper")
    assert paper.on_paper({}) == []
    workers = {"files": "prepared", "1 worker": {"median": 200.0}, "2 workers over 1": {"median": 1.8}}
    slow = {**workers, "files": "raw", "1 worker": {"median": 10.0}}
    step = {"network": "r3d_18", "videos": 2, "rho_moco, ms": {"median": 4000.0}}
    results = {
        "loading": {"tables": [{"title": "By workers", "rows": [workers, slow]}]},
        "training_step": {"tables": [{"title": "One step of MoCo", "rows": [step]}]},
    }
    rows = {row[""]: row for row in paper.on_paper(results)}
    assert all(row["from"] for row in rows.values())
    assert rows["r3d_18: clips a second that a GPU trains on"]["value"] == 1000
    assert rows["prepared: clips a second for each GPU"]["value"] == pytest.approx(200 * 15 * 0.9)
    assert rows["prepared: hours of one pass"]["value"] == pytest.approx(1e8 / (64 * 0.9 * 1000) / 3600)
    assert "networks hold" in rows["prepared: hours of one pass"]["from"]
    assert rows["raw: hours of one pass"]["value"] == pytest.approx(1e8 / (64 * 0.9 * 135) / 3600)
    assert "decoding holds" in rows["raw: hours of one pass"]["from"]


def test_changes_that_were_kept_stand_on_the_page_with_their_source(benchmark, tmp_path):
    page = benchmark("speed_page")
    for change in json.loads(page.CHANGES.read_text(encoding="utf-8")):
        assert set(change) == {"change", "before", "after", "condition", "source"}
        (source,) = [*BENCHMARKS.parent.glob(f"{change['source']}*")]
        numbers = re.findall(r"\d+(?:\.\d+)?", f"{change['before']} {change['after']}")
        text = source.read_text(encoding="utf-8").replace("three times", "3 times")
        assert all(number in text for number in numbers if number != "1"), change
        assert change["change"] in page.speed_page(tmp_path)


def test_the_page_takes_measured_results_alone(benchmark, tmp_path):
    speed_page = benchmark("speed_page").speed_page
    assert speed_page(tmp_path).count("Not measured yet.") == len(benchmark("speed_page").SUBJECTS)
    result = {
        "benchmark": "views",
        "quick": False,
        "machine": {"cpu": "a cpu", "cores": 2, "load_at_start": ["0.1"], "system": "Linux", "torch": "2.14.1"},
        "left_out": {"kornia": "not installed"},
        "tables": [{"title": "Some views", "note": "Fast.", "rows": [{"who": "a", "rate": 3}]}],
    }
    (tmp_path / "views.json").write_text(json.dumps(result))
    (tmp_path / "other.json").write_text(json.dumps({"files": []}))
    page = speed_page(tmp_path)
    assert page.count("Not measured yet.") == len(benchmark("speed_page").SUBJECTS) - 1
    for part in ("a cpu, 2 cores, load 0.1 before the run; torch 2.14.1.", "**Some views.** Fast.", "| a | 3 |", "kornia"):
        assert part in page
    (tmp_path / "views.json").write_text(json.dumps(result | {"quick": True}))
    with pytest.raises(SystemExit, match="--quick"):
        speed_page(tmp_path)
