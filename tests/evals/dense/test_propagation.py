import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from reelvec.core import ReelvecError
from reelvec.evals.dense.davis import Davis
from reelvec.evals.dense.propagation import CEILING, PIXELS, propagation
from reelvec.evals.intervals import mean_over_groups, over_draws

FIRST_KEPT = Davis.kept
ROWS = ["visual", "untrained visual", PIXELS, FIRST_KEPT, CEILING]


def scene(number: int, speed: int) -> tuple[np.ndarray, np.ndarray]:
    """A red and a blue square over grey noise; the red one walks."""
    frame = np.random.default_rng(0).integers(90, 150, (64, 96, 3), dtype=np.uint8)
    mask = np.zeros((64, 96), np.uint8)
    mask[16:40, 8 + speed * number : 32 + speed * number] = 1
    mask[36:56, 60:84] = 2
    frame[mask == 1] = (20, 30, 220)
    frame[mask == 2] = (220, 60, 20)
    return frame, mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences of two objects: in one all stands still, in the other an object walks."""
    root = tmp_path_factory.mktemp("frames")
    for name, speed in (("still", 0), ("walks", 4)):
        for number in range(7):
            frame, mask = scene(number, speed)
            for kind, picture, suffix in (("JPEGImages", frame, "jpg"), ("Annotations", mask, "png")):
                path = root / kind / "64p" / name / f"{number:05d}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture)
    return root


@pytest.fixture(scope="module")
def result(tiny_run: Path, folder: Path) -> dict:
    return propagation(tiny_run, folder, preset=("crw", "dino"), size=64, map_stride=4)


def rows_of(result: dict, preset: str) -> dict[str, dict]:
    return {row["name"]: row for row in result["rows"] if row["preset"] == preset}


def test_rows_and_their_numbers(result: dict) -> None:
    assert [row["name"] for row in result["rows"]] == 2 * ROWS
    for row in result["rows"]:
        assert set(row["sequences"]) == {"still", "walks"}
        assert row["J&F"] == pytest.approx((row["J"]["mean"] + row["F"]["mean"]) / 2)
        assert row["J&F"] == pytest.approx(np.mean([one["J&F"] for one in row["sequences"].values()]))
        assert 0 <= row["low"] <= row["J&F"] <= row["high"] <= 1
    untrained = rows_of(result, "crw")["untrained visual"]
    assert len(untrained["each"]) == 3
    assert untrained["J&F"] == pytest.approx(np.mean(untrained["each"]))


def test_what_must_be_so(result: dict) -> None:
    """The first mask fits a still video, nothing beats the ceiling by more than its rounding, colours follow colours."""
    for preset in ("crw", "dino"):
        rows = rows_of(result, preset)
        assert rows[FIRST_KEPT]["sequences"]["still"] == {"J&F": 1, "J": 1, "F": 1, "objects": [1, 1]}
        assert rows[FIRST_KEPT]["sequences"]["walks"]["J"] < 0.8
        assert 0.8 < rows[CEILING]["J"]["mean"] < 1
        assert rows[PIXELS]["sequences"]["walks"]["J"] > 0.9 * rows[CEILING]["sequences"]["walks"]["J"]
        assert rows["visual"]["sequences"]["still"]["J"] > 0.5
    mine, kept = rows_of(result, "crw")["visual"], rows_of(result, "crw")[FIRST_KEPT]
    assert mine["over"][FIRST_KEPT]["mean"] == pytest.approx(mine["J&F"] - kept["J&F"])
    assert set(mine["over"]) == {"untrained visual", PIXELS, FIRST_KEPT}


def test_the_protocol_says_everything(result: dict) -> None:
    protocol = result["protocol"]
    assert "20 previous frames" in protocol["crw"]
    assert "short side 64" in protocol["dino"]
    assert "windows of 4 frames" in protocol["clips"]
    assert protocol["map"] == "16 x 24, 16 x 16 cells; strides taken out, 4 pixels to a cell"
    assert "seeds 0 to 2" in protocol["untrained"]
    assert protocol["metric"].startswith("DAVIS 2017")
    assert result["numbers"] == ["J&F"]


def test_files(result: dict, tiny_run: Path, folder: Path) -> None:
    file = tiny_run / "evals" / f"{folder.name}-propagation-step000007.json"
    assert json.loads(file.read_text()) == result
    assert cv2.imread(result["picture"]).shape[0] > 500
    assert Path(result["picture"]) == file.with_suffix(".png")


def test_less_is_asked_and_nothing_else_changes(result: dict, tiny_run: Path, folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    alone = propagation(
        tiny_run, folder, preset=("crw",), size=64, map_stride=4, baselines=False, sequences=["walks"],
        out=tmp_path / "alone.json", on_progress=lambda done, total, text: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(1, 1)]
    assert [row["name"] for row in alone["rows"]] == ["visual", FIRST_KEPT, CEILING]
    for row in alone["rows"]:
        assert row["low"] is row["high"] is None  # one sequence: no interval
        assert row["sequences"]["walks"] == rows_of(result, "crw")[row["name"]]["sequences"]["walks"]


def test_objects_that_come_later_are_named_and_left_out(tiny_run: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "late")
    for number in range(7):
        path = tmp_path / "late/Annotations/64p/still" / f"{number:05d}.png"
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mask[:8, :8] = 5 if number > 2 else 0
        cv2.imwrite(str(path), mask)
    found = propagation(tiny_run, tmp_path / "late", size=32, baselines=False, sequences=["still"], out=tmp_path / "r.json")
    assert found["notes"] == ["still: objects 5 are not in the first frame: not followed, not counted"]
    assert rows_of(found, "crw")[FIRST_KEPT]["J"]["mean"] == 1


def test_frames_without_a_mask_do_not_count(tiny_run: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "few")
    annotations = tmp_path / "few/Annotations/64p/still"
    for number in (1, 2, 4, 5):
        (annotations / f"{number:05d}.png").unlink()
    few = propagation(tiny_run, tmp_path / "few", size=32, baselines=False, sequences=["still"], out=tmp_path / "r.json")
    assert rows_of(few, "crw")[FIRST_KEPT]["J&F"] == 1
    (annotations / "00003.png").unlink()
    with pytest.raises(ReelvecError, match="masks of frames in between"):
        propagation(tiny_run, tmp_path / "few", size=32, sequences=["still"])


def test_what_does_not_fit_is_said(tiny_run: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ReelvecError, match="encoder=visual"):
        propagation(tiny_run, folder, encoder="motion")
    with pytest.raises(ReelvecError, match="presets crw"):
        propagation(tiny_run, folder, preset=("best",))
    with pytest.raises(ReelvecError, match="no such folder"):
        propagation(tiny_run, tmp_path / "nothing")
    shutil.copytree(folder, tmp_path / "empty")
    cv2.imwrite(str(tmp_path / "empty/Annotations/64p/walks/00000.png"), np.zeros((64, 96), np.uint8))
    with pytest.raises(ReelvecError, match="first mask without any object"):
        propagation(tiny_run, tmp_path / "empty")


def test_the_interval_takes_sequences_as_drawn() -> None:
    # with an object to a sequence it is Student's
    values = [0.1, 0.5, 0.6, 0.4]
    assert mean_over_groups(values, list("abcd")) == pytest.approx(over_draws(values))
    # twins in each sequence bring nothing new: the interval stays
    mean, half = mean_over_groups([v for v in values for _ in range(2)], list("aabbccdd"))
    assert (mean, half) == pytest.approx(over_draws(values))
    assert mean_over_groups(values, list("aaaa")) == (pytest.approx(0.4), None)


def test_a_real_sequence(tiny_run: Path, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "davis2016_subset"
    if not folder.is_dir():
        pytest.skip("no davis2016_subset")
    found = propagation(
        tiny_run, folder, sequences=["motocross-jump"], size=64, map_stride=8, baselines=False, out=tmp_path / "r.json"
    )
    rows = rows_of(found, "crw")
    assert rows["visual"]["J&F"] < rows[CEILING]["J&F"]
    assert rows[FIRST_KEPT]["J"]["mean"] < rows[CEILING]["J"]["mean"]
