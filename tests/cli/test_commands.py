"""The commands as they are typed, from made videos to a search, each with its real verb."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelvec.cli import main

TINY = ("--method", "modist", "steps=2", "batch=4", "view.size=32", "short_side=32", "queue=16", "save_every=1")

Run = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Type a command in the folder; returns what it wrote to stdout. Its code is checked."""
    monkeypatch.chdir(folder)

    def typed(*words: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["reelvec", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        out, err = capsys.readouterr()
        assert leaving.value.code == code, err
        return out

    return typed


@pytest.fixture
def videos(run: Run, folder: Path) -> Path:
    run("shapes", "shapes", "--train", "8", "--test", "8", "--size", "32", "--frames", "16", "truth=false")
    return folder / "shapes"


@pytest.fixture
def trained(run: Run, videos: Path, folder: Path) -> dict[str, Any]:
    """The summary of a run in runs/a; where it stands already, the run just says so."""
    summary: dict[str, Any] = json.loads(run("pretrain", "shapes/train", *TINY, "out=runs/a", "--json"))
    return summary


def test_shapes_says_what_it_made(run: Run, folder: Path) -> None:
    made = json.loads(run("shapes", "few", "--train", "2", "--test", "0", "--size", "32", "--frames", "4", "--json"))
    assert made["train"] == 2
    assert "test" not in made
    assert Path(made["labels"]).read_text().count("\n") == 3


@pytest.mark.parametrize(("words", "speed"), [(["--camera"], 1.0), (["camera=0.3"], 0.3), (["camera=true"], 1.0), ([], 0.0)])
def test_a_camera_moves_as_fast_as_is_said(run: Run, folder: Path, words: list[str], speed: float) -> None:
    out = f"camera {' '.join(words).replace('=', ' ')}"
    run("shapes", out, "--train", "1", "--test", "0", "--size", "32", "--frames", "2", *words)
    assert json.loads((folder / out / "settings.json").read_text())["camera"] == speed


def test_a_camera_of_two_speeds_is_refused(run: Run) -> None:
    run("shapes", "none", "--camera", "camera=0.3", code=2)


def test_index_names_what_is_broken(run: Run, videos: Path, folder: Path) -> None:
    mixed = folder / "mixed"
    mixed.mkdir()
    (mixed / "good.mp4").symlink_to(videos / "train" / "00000.mp4")
    (mixed / "cut.mp4").write_bytes((videos / "train" / "00001.mp4").read_bytes()[:700])
    (mixed / "folder.mp4").mkdir()
    found = json.loads(run("index", "mixed", "out=mixed.parquet", "workers=0", "--json"))
    assert (found["files"], found["ok"]) == (3, 1)
    assert {Path(row["path"]).name for row in found["bad"]} == {"cut.mp4", "folder.mp4"}
    assert all(row["reason"] for row in found["bad"])
    drawn = run("index", "mixed", "out=mixed.parquet", "workers=0")
    assert "left out: 2" in drawn
    assert "a folder" in drawn


def test_prepare_makes_a_folder_that_pretrain_takes(run: Run, videos: Path, folder: Path) -> None:
    words = ("prepare", "shapes/train", "prepared", "short_side=24", "flow=edges", "workers=0")
    made = json.loads(run(*words, "--json"))
    assert (made["videos"], made["prepared_now"]) == (8, 8)
    assert made["gigabytes_of_flow"] > 0
    assert Path(made["index"]) == folder / "prepared/index.parquet"
    drawn = run(*words)
    assert "there before" in drawn
    assert "videos to prepare" not in drawn  # said on stderr
    run("prepare", "shapes/train", "prepared", "short_side=32", code=2)
    run("prepare", "shapes/train", code=2)


def test_pretrain_ends_with_its_encoders(trained: dict[str, Any], folder: Path) -> None:
    assert trained["steps"] == 2
    assert trained["encoders"] == ["motion", "visual"]
    assert (folder / "runs/a/encoder/visual.safetensors").exists()


def test_pretrain_talks_on_stderr_only(run: Run, videos: Path) -> None:
    drawn = run("pretrain", "shapes/train", *TINY, "out=runs/talk")
    assert "step 2/2" not in drawn
    assert "verdict" in drawn


def test_evaluate_draws_encoders_beside_baselines(run: Run, trained: dict[str, Any]) -> None:
    words = ("evaluate", "runs/a", "--labels", "shapes/labels.csv", "--label-column", "motion", "tasks=knn", "clips=1")
    result = json.loads(run(*words, "--json"))
    names = [row["name"] for row in result["tables"][0]["rows"]]
    assert {"visual", "motion"} <= set(names)
    drawn = run(*words)
    for name in names:
        assert name in drawn


def test_embed_then_search(run: Run, trained: dict[str, Any], folder: Path) -> None:
    made = json.loads(run("embed", "runs/a", "shapes/test", "out=emb.parquet", "clips=1", "--json"))
    assert (made["rows"], made["computed"]) == (8, 8)
    assert "computed" in run("embed", "runs/a", "shapes/test", "out=emb.parquet", "clips=1")
    query = "shapes/test/00003.mp4"
    found = json.loads(run("search", query, "emb.parquet", "--run", "runs/a", "--top", "2", "--sheet", "s.png", "--json"))
    assert [row["rank"] for row in found] == [1, 2]
    assert not any(row["path"].endswith(query) for row in found)
    assert (folder / "s.png").stat().st_size > 0
    assert found[0]["path"][-9:] in run("search", "3", "emb.parquet", "--top", "1")


def test_methods_are_listed_with_the_patent(run: Run) -> None:
    assert "11,971,956" in run("methods")
    rows = {row["name"]: row for row in json.loads(run("methods", "--json"))}
    assert rows["modist"]["streams"] == ["rgb", "flow_edges"]
    assert rows["modist"]["encoders"] == ["visual", "motion"]
    assert all(row["paper"].startswith("arXiv ") and row["summary"] for row in rows.values())


def test_doctor_tries_everything(run: Run) -> None:
    report = json.loads(run("doctor", "--json"))
    assert report["verdict"] in ("good", "note")
    assert [finding["what"] for finding in report["self_test"]][:3] == ["encode a clip", "index it", "decode it by time"]
    assert "H.264" in str(report["self_test"])
    assert "trial" not in run("doctor", "--no-self-test")


@pytest.mark.slow
def test_demo_compares_and_searches(run: Run) -> None:
    words = ("demo", "out=demo", "seeds=1", "steps=2", "train=40", "test=16")
    result = json.loads(run(*words, "--json"))
    names = [row["name"] for row in result["rows"]]
    assert {"chance", "untrained", "rho_moco", "modist"} <= set(names)
    assert Path(result["sheet"]).stat().st_size > 0
    drawn = run(*words)  # goes on from what is there
    for name in names:
        assert name in drawn
    assert "the query" in drawn
