import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reelvec.core import ReelvecError, write_json
from reelvec.evals import evaluate
from reelvec.evals.answers import answer_lines, read_groups, write_answers
from reelvec.evals.compare import compare
from reelvec.evals.table import Features, Numbered, fill_table, seeded

Make = Callable[..., Path]
Y = torch.arange(150) % 3
TEST = [i >= 60 for i in range(150)]


def features(noise: float, seed: int) -> torch.Tensor:
    return torch.eye(3)[Y] + noise * torch.randn(150, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a run's result as `evaluate` does, of features with so much noise."""

    def made(name: str, noise: float, seed: int = 0, labels: str = "kinds", **protocol: str) -> Path:
        small = {"lowshot": {"shares": (), "per_class": (5,), "draws": 3, "pick_from": 100}, "fewshot": {"episodes": 50}}
        evals = {task: seeded(task, 0, small.get(task)) for task in ("knn", "lowshot", "fewshot")}
        rows = [
            Features("visual", [features(noise, seed)]),
            Features("untrained visual", [features(9.0, 77 + i) for i in range(3)]),
        ]
        table = fill_table(evals, rows, Numbered.of([f"class {int(y)}" for y in Y], TEST))
        paths = [f"/videos/{i}.mp4" for i, is_test in enumerate(TEST) if is_test]
        truths = [f"class {int(y)}" for y, is_test in zip(Y, TEST, strict=True) if is_test]
        file = tmp_path / name / "evals" / f"{labels}-step000010.json"
        write_answers(
            file.with_suffix(".answers.parquet"),
            list(answer_lines("label", table.pop("answers"), paths, truths, table["classes"])),
        )
        words = {task: one.protocol for task, one in evals.items()}
        write_json(file, {
            "run": str(tmp_path / name), "labels": "kinds.csv", "file": str(file),
            "answers": file.with_suffix(".answers.parquet").name,
            "encoders": {"visual": {"architecture": "tiny", "sees": "8 rgb frames"}},
            "protocol": {"split": "as given", "features": "frozen"} | words | protocol,
            "notes": [], "left_out": [], "tables": [{"label_column": "label", **table}],
        })  # fmt: skip
        return tmp_path / name

    return made


def test_a_clear_difference_is_said_and_a_small_one_is_not(make: Make, tmp_path: Path) -> None:
    runs = [make("good", 0.3), make("as good", 0.31), make("bad", 3.0)]
    got = compare(runs, out=tmp_path / "board.json")
    (table,) = got["tables"]
    words = {row["name"]: row["against_best"]["knn"]["word"] for row in table["rows"]}
    assert sorted(words.values()) == ["best", "no difference shown", "worse", "worse"]
    assert words["bad"] == words["untrained tiny (8 rgb frames)"] == "worse"
    assert [row["name"] for row in table["rows"]][2:] == ["bad", "untrained tiny (8 rgb frames)"]
    assert json.loads((tmp_path / "board.json").read_text()) == got
    assert not any("left out" in note for note in got["notes"])
    assert any("no features" in note or "kept none" in note for note in got["notes"])


def test_differences_are_paired_by_their_units(make: Make) -> None:
    """Of episodes and draws: the mean of differences is the difference of means, its interval that of the differences."""
    got = compare([make("a", 0.5), make("b", 0.9, seed=3)])["tables"][0]
    best, other = sorted((row for row in got["rows"] if row["name"] in "ab"), key=lambda row: -row["values"]["knn"])
    for column in got["columns"]:
        entry = other["against_best"][column]
        if best["against_best"][column]["word"] == "best":
            assert entry["mean"] == pytest.approx(other["values"][column] - best["values"][column], abs=1e-6)
        assert entry["low"] <= entry["mean"] <= entry["high"]
    assert {c for c in got["columns"] if c.startswith("fewshot")}
    assert {c for c in got["columns"] if c.startswith("lowshot")}


def test_equal_runs_show_no_difference(make: Make) -> None:
    got = compare([make("a", 0.5), make("b", 0.5)])["tables"][0]
    a, b = (row for row in got["rows"] if row["name"] in "ab")
    for column in got["columns"]:
        entry = max((a, b), key=lambda row: row["against_best"][column]["word"])["against_best"][column]
        assert entry["word"] == "no difference shown"
        assert entry["mean"] == 0


@pytest.mark.parametrize("key", ["split", "features", "knn"])
def test_other_protocols_are_refused(make: Make, key: str) -> None:
    runs = [make("a", 0.5), make("b", 0.5, **{key: "otherwise"})]
    with pytest.raises(ReelvecError, match=f"two protocols; {key}: .*otherwise"):
        compare(runs)


def test_a_task_that_one_run_lacks_is_left_out_and_said(make: Make) -> None:
    runs = [make("a", 0.5), make("b", 0.5)]
    file = runs[1] / "evals" / "kinds-step000010.json"
    result = json.loads(file.read_text())
    del result["protocol"]["knn"]
    write_json(file, result)
    got = compare(runs)
    assert "knn" not in got["tables"][0]["columns"]
    assert [note for note in got["notes"] if "left out" in note] == ["not in every run, and left out: knn"]


def test_other_test_videos_are_refused(make: Make) -> None:
    runs = [make("a", 0.5), make("b", 0.5)]
    file = runs[1] / "evals" / "kinds-step000010.answers.parquet"
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(file).slice(3), file)
    with pytest.raises(ReelvecError, match=r"3 test videos that only one of them was asked about, such as /videos/6"):
        compare(runs)


def test_results_of_other_measures_are_passed_over(make: Make) -> None:
    runs = [make("a", 0.5), make("b", 0.5)]
    write_json(runs[0] / "evals" / "davis-propagation-step000010.json", {"run": "a", "rows": []})
    (runs[0] / "evals" / "health-step000010.json").write_text("not JSON")
    assert len(compare(runs)["tables"]) == 1


def test_runs_without_a_shared_result_say_what_each_has(make: Make) -> None:
    with pytest.raises(ReelvecError, match=r"a: kinds; b: others"):
        compare([make("a", 0.5), make("b", 0.5, labels="others")])
    with pytest.raises(ReelvecError, match="two or more"):
        compare([make("a", 0.5)])
    with pytest.raises(ReelvecError, match="no such folder"):
        compare(["nowhere", "nowhere else"])


def test_the_interval_of_a_difference_is_narrower_than_two_of_means(make: Make) -> None:
    """What pairing is for: two encoders that fail on the same videos."""
    rng = np.random.default_rng(0)
    hits = rng.random(200) < 0.6
    better = hits | (rng.random(200) < 0.1)
    from reelvec.evals.intervals import paired, wilson

    difference = paired(torch.tensor(better.astype(float) - hits.astype(float)))
    assert difference.low > 0
    assert wilson(float(hits.mean()), 200)[1] > wilson(float(better.mean()), 200)[0]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> list[list[str]]:
    """Rows of a table: path, class, side and group of 24 videos of two colours, three of a group."""
    folder = tmp_path_factory.mktemp("colours")
    rows = []
    for i in range(24):
        picture = np.full((32, 32, 3), (200 - 3 * i, 40 + 5 * i, 40) if i % 2 else (40, 40 + 5 * i, 200 - 3 * i), np.uint8)
        path = make_video(folder / f"{i}.mp4", frames=8, size=(32, 32), picture=lambda _, picture=picture: picture)
        rows.append([str(path), "ab"[i % 2], "test" if i % 4 < 2 else "train", f"g{i % 4 // 2}{i // 8}"])
    return rows


@pytest.fixture
def measured(tiny_run: Path, tmp_path: Path) -> Callable[..., Path]:
    """Measure a run of this name on these rows, as a user does; the result's file is called colours-step000003.json."""

    def measure(name: str, rows: list[list[str]], **more: object) -> Path:
        run = Path(shutil.copytree(tiny_run, tmp_path / name))
        (run / "colours.csv").write_text("\n".join(",".join(row) for row in [["path", "label", "split", "group"], *rows]))
        more = {"tasks": ("knn",), "label_column": "label", "clips": 1} | more
        evaluate(run, run / "colours.csv", **more)
        return run

    return measure


def test_results_of_evaluate_are_compared(measured: Callable[..., Path], labelled: list[list[str]]) -> None:
    got = compare([measured("a", labelled), measured("b", labelled)])
    (table,) = got["tables"]
    assert (table["train"], table["test"]) == (12, 12)
    assert {row["against_best"]["knn"]["word"] for row in table["rows"] if row["name"] in "ab"} == {
        "best",
        "no difference shown",
    }
    assert not [note for note in got["notes"] if "left out" in note]
    assert not [note for note in got["notes"] if "earlier version" in note]


def test_a_row_without_an_answer_takes_its_column_off_the_board(
    measured: Callable[..., Path], labelled: list[list[str]]
) -> None:
    fails = {"attentive": {"epochs": 1, "memory_gb": 0, "disk_gb": 0}}
    runs = [measured(name, labelled, tasks=("knn", "attentive"), settings=fails) for name in ("a", "b")]
    got = compare(runs)
    assert got["tables"][0]["columns"] == ["knn"]
    assert any("label, attentive: left out, as a has no answer" in note for note in got["notes"])


def changed(rows: list[list[str]], number: int, column: int, value: str) -> list[list[str]]:
    """The rows with one cell changed."""
    return [[value if (i, j) == (number, column) else cell for j, cell in enumerate(row)] for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("rows", "grouped", "words"),
    [
        (lambda rows: changed(changed(rows, 2, 2, "none"), 3, 2, "none"), False, "other videos in b than in a"),
        (lambda rows: changed(rows, 3, 1, "a"), False, "other labels in b than in a"),
        (lambda rows: changed(changed(rows, 3, 2, "test"), 1, 2, "train"), False, "other sides in b than in a"),
        (lambda rows: changed(rows, 3, 3, "g99"), True, "other groups in b than in a"),
        (lambda rows: [*rows[:1], [*rows[1][:2], "left", "g"], *rows[2:]], False, "other videos in b than in a"),
    ],
    ids=["fewer videos", "a label", "a side", "a group", "a test video"],
)
def test_other_data_are_refused(
    measured: Callable[..., Path],
    labelled: list[list[str]],
    rows: Callable[[list[list[str]]], list[list[str]]],
    grouped: bool,
    words: str,
) -> None:
    """Equal numbers of videos and equal test videos do not make the same data."""
    more = {"group_column": "group" if grouped else None, "split_column": "split"}
    runs = [measured("a", labelled, **more), measured("b", rows(labelled), **more)]
    with pytest.raises(ReelvecError, match=words):
        compare(runs)


def test_groups_make_intervals_wider(measured: Callable[..., Path], labelled: list[list[str]], tmp_path: Path) -> None:
    plain, grouped = measured("plain", labelled), measured("grouped", labelled, group_column="group")
    results = [json.loads((run / "evals" / "colours-step000003.json").read_text()) for run in (plain, grouped)]
    assert ["groups of test videos" in result["protocol"]["interval"] for result in results] == [False, True]
    widths = [
        [row["high"]["knn"] - row["low"]["knn"] for row in result["tables"][0]["rows"] if row["low"]] for result in results
    ]
    assert all(b >= a for a, b in zip(*widths, strict=True))
    assert any(b > a for a, b in zip(*widths, strict=True))
    other = measured("other", labelled, group_column="group", tasks=("knn",))
    assert read_groups(other / "evals" / "colours-step000003.answers.parquet") == {
        row[0]: row[3] for row in labelled if row[2] == "test"
    }
    assert "linearised by group" in compare([grouped, other])["protocol"]["differences"]
