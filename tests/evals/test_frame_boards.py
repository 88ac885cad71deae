import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

from reelvec.backbones import build_encoder, save_encoder
from reelvec.cli.tables import comparison_table
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.evals import localisation, propagation
from reelvec.evals.compare import compare


def write_frames(folder: Path, sequences: int = 3) -> Path:
    """Squares that move over noise, one in each sequence, two in the last."""
    for number in range(sequences):
        rng = np.random.default_rng(number)
        ground = rng.integers(0, 120, (48, 64, 3)).astype(np.uint8)
        for part in ("JPEGImages", "Annotations"):
            (folder / part / f"walk {number}").mkdir(parents=True)
        for t in range(6):
            picture, mask = ground.copy(), np.zeros((48, 64), np.uint8)
            for one in range(2 if number == sequences - 1 else 1):
                place = slice(8 + 20 * one, 20 + 20 * one), slice(6 + 3 * t, 20 + 3 * t)
                picture[place], mask[place] = 140 + 60 * one, one + 1
            cv2.imwrite(str(folder / "JPEGImages" / f"walk {number}" / f"{t:05d}.jpg"), picture)
            cv2.imwrite(str(folder / "Annotations" / f"walk {number}" / f"{t:05d}.png"), mask)
    return folder


def write_run(folder: Path, seed: int) -> Path:
    card = EncoderCard(
        name="visual", architecture="set when saved", channels=3, size=32, mean=(0.4,) * 3, std=(0.25,) * 3, method="none",
        needs=Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=2),), clips=1), step=7,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_encoder(folder / "encoder", "visual", build_encoder("tiny"), card)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("boards")
    frames = write_frames(root / "walks")
    made = [write_run(root / name, seed) for seed, name in enumerate("ab")]
    for run in made:
        propagation(run, frames, preset=("crw", "dul"), size=48, map_stride=4)
        localisation(run, frames, size=48, map_stride=4)
    return made


def boards(runs: list[Path], **more: Any) -> dict[str, dict[str, Any]]:
    return {one["label_column"]: one for one in compare(runs, **more)["tables"]}


def test_differences_are_those_of_the_numbers(runs: list[Path]) -> None:
    found = boards(runs)
    assert set(found) == {"propagation, crw", "propagation, dul", "localisation"}
    for one in found.values():
        (column,) = one["columns"]
        best, *others = sorted(one["rows"], key=lambda row: -row["values"][column])
        assert best["against_best"][column]["word"] == "best"
        assert {row["name"] for row in one["rows"]} == {"a", "b", "untrained tiny (4 rgb frames 2 apart, 32 px)"}
        for row in others:
            entry = row["against_best"][column]
            assert entry["mean"] == pytest.approx(row["values"][column] - best["values"][column], abs=1e-9)
            assert entry["low"] <= entry["mean"] <= entry["high"]
        assert one["sequences"] == 3


def test_the_interval_is_the_one_that_propagation_gives(runs: list[Path]) -> None:
    """Against the untrained network a result has the difference itself, from the scores that it was made of."""
    result = json.loads((runs[0] / "evals/walks-propagation-step000007.json").read_text())
    theirs = next(row for row in result["rows"] if row["name"] == "visual" and row["preset"] == "crw")["over"]
    board = boards([runs[0], runs[0] / "evals/walks-propagation-step000007.json"], labels="walks-propagation")
    rows = {row["name"]: row["against_best"]["J&F"] for row in board["propagation, crw"]["rows"]}
    best = next(name for name, entry in rows.items() if entry["word"] == "best")
    fresh = "untrained tiny (4 rgb frames 2 apart, 32 px)"
    entry, sign = (rows[fresh], -1) if best != fresh else (rows["a"], 1)
    for bound, of in (("mean", "mean"), ("low", "low" if sign > 0 else "high"), ("high", "high" if sign > 0 else "low")):
        assert entry[bound] == pytest.approx(sign * theirs["untrained visual"][of], abs=1e-9)


def test_floors_stand_beside_and_do_not_lead(runs: list[Path]) -> None:
    found = boards(runs)
    assert found["propagation, crw"]["chance_name"] == "first mask kept"
    assert found["localisation"]["chance_name"] == "area of the mask"
    console = Console(width=160, file=StringIO())
    console.print(comparison_table(compare(runs)))
    shown = console.file.getvalue()
    assert "3 sequences of frames with masks" in shown
    assert "first mask kept" in shown


def test_other_sizes_and_other_frames_are_refused(runs: list[Path], tmp_path: Path) -> None:
    other = write_run(tmp_path / "c", 3)
    propagation(other, runs[0].parent / "walks", preset="crw", size=40, map_stride=4, baselines=False)
    with pytest.raises(ReelvecError, match="two protocols; crw"):
        compare([runs[0], other])
    frames = write_frames(tmp_path / "more" / "walks", sequences=2)
    propagation(other, frames, preset="crw", size=48, map_stride=4, baselines=False)
    with pytest.raises(ReelvecError, match="other frames or masks"):
        compare([runs[0], other])


def test_a_result_of_an_earlier_version_says_so(runs: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "walks-propagation-step000007.json"
    content = json.loads((runs[0] / "evals/walks-propagation-step000007.json").read_text())
    for row in content["rows"]:
        for of in row["sequences"].values():
            del of["objects"]
    file.write_text(json.dumps(content))
    with pytest.raises(ReelvecError, match="earlier version"):
        compare([runs[1], file], labels="walks-propagation")
    other = Path(shutil.copytree(runs[0], tmp_path / "c"))
    shutil.copy(file, other / "evals" / file.name)
    got = compare([runs[1], other])  # the rest is compared
    assert [one["label_column"] for one in got["tables"]] == ["localisation"]
    assert any("walks-propagation: left out" in note for note in got["notes"])


def test_results_that_cannot_be_compared_stop_nothing(runs: list[Path], tmp_path: Path) -> None:
    """Of another measure on sequences (JHMDB), of other presets and of other encoders."""
    copies = [Path(shutil.copytree(run, tmp_path / run.name)) for run in runs]
    for run in copies:
        content = json.loads((run / "evals/walks-propagation-step000007.json").read_text())
        rows = [{**row, "PCK@0.1": 0.5, "sequences": {"walk 0": {"PCK@0.1": 0.5}}} for row in content["rows"]]
        joints = {**content, "numbers": ["PCK@0.1"], "rows": rows}
        (run / "evals/jhmdb-propagation-step000007.json").write_text(json.dumps(joints))
    assert set(boards(copies)) == {"propagation, crw", "propagation, dul", "localisation"}
    with pytest.raises(ReelvecError, match="of other encoders"):
        compare(copies, encoders=["motion"])
    frames = runs[0].parent / "walks"
    for run, preset in zip(copies, ("crw", "dul"), strict=True):
        propagation(run, frames, preset=preset, size=48, map_stride=4, baselines=False)
    got = compare(copies)
    assert [one["label_column"] for one in got["tables"]] == ["localisation"]
    assert any("preset crw is not in every run" in note for note in got["notes"])
    with pytest.raises(ReelvecError, match="preset crw is not in every run"):
        compare(copies, labels="walks-propagation")


def test_networks_that_were_read_otherwise_are_noted(runs: list[Path], tmp_path: Path) -> None:
    coarse = Path(shutil.copytree(runs[1], tmp_path / "coarse"))
    propagation(coarse, runs[0].parent / "walks", preset="crw", size=48)
    got = compare([runs[0], coarse], labels="walks-propagation")
    (one,) = got["tables"]
    assert any("walks-propagation, map: a: " in note for note in got["notes"])
    assert [row["name"] for row in one["rows"] if row["name"].endswith(", as coarse was read")]
