import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from reelvec.core import ReelvecError
from reelvec.evals.dense.jhmdb import JOINTS, Jhmdb, is_jhmdb, read_jhmdb
from reelvec.evals.dense.propagation import CEILING, PIXELS, propagation

scipy_io = pytest.importorskip("scipy.io")

FRAMES, HEIGHT, WIDTH = 6, 60, 80
BODY = np.random.default_rng(3).uniform([22, 12], [46, 48], (15, 2))
"""where the joints are in the first frame, from 0"""
COLOURS = np.random.default_rng(4).integers(0, 256, (15, 3))


def walk(speed: float, frames: int = FRAMES) -> np.ndarray:
    return BODY + np.array([speed, 0]) * np.arange(frames)[:, None, None]


def write_video(root: Path, name: str, places: np.ndarray, pictures: int | None = None) -> None:
    """A dot of its own colour at each joint, over noise."""
    frames, joints = root / "Rename_Images" / name, root / "joint_positions" / name
    frames.mkdir(parents=True)
    joints.mkdir(parents=True)
    for number in range(pictures or len(places)):
        picture = np.random.default_rng(0).integers(100, 140, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for place, colour in zip(places[min(number, len(places) - 1)], COLOURS, strict=True):
            cv2.circle(picture, (round(place[0]), round(place[1])), 3, colour.tolist(), -1)
        cv2.imwrite(str(frames / f"{number + 1:05d}.png"), picture)
    scipy_io.savemat(joints / "joint_positions.mat", {"pos_img": places.transpose(2, 1, 0) + 1, "scale": np.ones((1, 2))})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two test videos, one of a body that stands and one of a body that walks, and one to train on."""
    root = tmp_path_factory.mktemp("jhmdb")
    write_video(root, "stand/still_1", walk(0))
    write_video(root, "shoot_ball/walks_1", walk(3.0), pictures=FRAMES + 2)
    write_video(root, "shoot_ball/to_train_on", walk(1.0))
    splits = root / "splits"
    splits.mkdir()
    (splits / "stand_test_split1.txt").write_text("still_1.avi 2\n")
    (splits / "shoot_ball_test_split1.txt").write_text("to_train_on.avi 1 \nwalks_1.avi 2 \n")
    (splits / "shoot_ball_test_split2.txt").write_text("to_train_on.avi 2\n")
    return root


@pytest.fixture(scope="module")
def result(tiny_run: Path, folder: Path) -> dict:
    return propagation(tiny_run, folder, preset=("crw", "rvm"), size=64, map_stride=4)


def rows_of(result: dict, preset: str) -> dict[str, dict]:
    return {row["name"]: row for row in result["rows"] if row["preset"] == preset}


def test_the_test_videos_of_split_1_are_read(folder: Path) -> None:
    assert is_jhmdb(folder)
    found = read_jhmdb(folder)
    assert [video.sequence.name for video in found.videos] == ["shoot_ball/walks_1", "stand/still_1"]
    walks = found.videos[0]
    assert (len(walks.sequence), len(walks.joints), walks.size) == (FRAMES + 2, FRAMES, (HEIGHT, WIDTH))
    assert walks.truth(2).numpy() == pytest.approx(walk(3.0)[2], abs=1e-4)  # MATLAB's 1 is our 0
    assert walks.truth(FRAMES) is None
    assert walks.notes == ["shoot_ball/walks_1: joints of the first 6 frames alone, 2 frames are not judged"]


def test_videos_are_named(folder: Path, tmp_path: Path) -> None:
    assert [v.sequence.name for v in read_jhmdb(folder, ["to_train_on"]).videos] == ["shoot_ball/to_train_on"]
    (tmp_path / "some.txt").write_text("stand/still_1\nwalks_1 2\n")
    assert len(read_jhmdb(folder, [str(tmp_path / "some.txt")]).videos) == 2
    with pytest.raises(ReelvecError, match="not runs"):
        read_jhmdb(folder, ["runs"])


def test_rows_and_their_numbers(result: dict) -> None:
    assert result["numbers"] == ["PCK@0.1", "PCK@0.2"]
    assert [row["name"] for row in result["rows"]] == 2 * ["visual", "untrained visual", PIXELS, Jhmdb.kept, CEILING]
    for row in result["rows"]:
        numbers = [row[f"PCK@{limit}"] for limit in ("0.1", "0.2", "0.3", "0.4", "0.5")]
        assert numbers == sorted(numbers)
        assert 0 <= row["low"] <= row["PCK@0.1"] <= row["high"] <= 1
        assert set(row["sequences"]) == {"shoot_ball/walks_1", "stand/still_1"}
        assert list(row["joints"]) == list(JOINTS)
        assert 0 <= row["lost"] < 0.2
    untrained = rows_of(result, "crw")["untrained visual"]
    assert untrained["PCK@0.1"] == pytest.approx(np.mean(untrained["each"]))
    mine, kept = (rows_of(result, "crw")[name] for name in ("visual", Jhmdb.kept))
    assert mine["over"][Jhmdb.kept]["mean"] == pytest.approx(mine["PCK@0.1"] - kept["PCK@0.1"])
    assert set(mine["over"]) == {"untrained visual", PIXELS, Jhmdb.kept}


def test_a_pose_that_is_kept_is_off_by_what_was_walked(result: dict) -> None:
    """By formula: joint by joint, the share of frames in which the way is at most a part of the body's size."""
    size = 0.6 * np.hypot(*(BODY.max(0) - BODY.min(0)))
    for preset in ("crw", "rvm"):
        kept = rows_of(result, preset)[Jhmdb.kept]
        for limit in (0.1, 0.2, 0.5):
            walked = np.mean(3.0 * np.arange(1, FRAMES) / size <= limit)
            assert kept[f"PCK@{limit}"] == pytest.approx((1 + walked) / 2)  # as many frames of one that stands still
        assert kept["lost"] == 0


def test_what_must_be_so(result: dict) -> None:
    for preset in ("crw", "rvm"):
        rows = rows_of(result, preset)
        assert rows[CEILING]["PCK@0.2"] > 0.9
        assert rows[CEILING]["PCK@0.1"] >= rows["visual"]["PCK@0.1"]
        assert rows["visual"]["sequences"]["stand/still_1"]["PCK@0.1"] > 0.5
    walked = {name: row["sequences"]["shoot_ball/walks_1"]["PCK@0.1"] for name, row in rows_of(result, "crw").items()}
    assert walked[PIXELS] > walked[Jhmdb.kept] + 0.1  # colours follow colours


def test_the_protocol_says_everything(result: dict) -> None:
    for preset, parts in {"crw": ("10 most like", "less than 12 cells"), "rvm": ("7 most like", "cosine / 0.7")}.items():
        for part in (*parts, "all frames at 64 x 64", "heat of half a cell", "five hottest cells"):
            assert part in result["protocol"][preset]
        assert "masks" not in result["protocol"][preset]
    assert result["protocol"]["metric"].startswith("JHMDB")
    assert "jackknife" in result["protocol"]["interval"]
    assert result["protocol"]["map"].startswith("16 x 16 cells")
    assert "all frames at 320 x 320" in Jhmdb([]).in_words(*Jhmdb([]).setting(_crw(), None))
    assert len(result["notes"]) == 1
    assert json.loads(Path(result["file"]).read_text()) == result
    assert cv2.imread(result["picture"]).shape[0] > 500


def _crw() -> object:
    from reelvec.evals.dense.label_propagation import PRESETS

    return PRESETS["crw"]


def test_scipy_that_is_missing_is_named_with_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ReelvecError, match=r"reelvec\[eval\]"):
        read_jhmdb(folder)


STILL = "joint_positions/stand/still_1/joint_positions.mat"


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda f: shutil.rmtree(f / "joint_positions"), "no folder joint_positions"),
        (lambda f: shutil.rmtree(f / "Rename_Images"), "no folder Rename_Images"),
        (lambda f: shutil.rmtree(f / "splits"), "0 files splits/CLASS_test_split1.txt"),
        (lambda f: shutil.rmtree(f / "Rename_Images/stand"), "no frames of 1 of the 2 test videos, stand/still_1"),
        (lambda f: (f / STILL).unlink(), "no such file"),
        (lambda f: (f / STILL).write_bytes(b"no matlab" * 40), "no file of MATLAB"),
        (lambda f: (f / STILL).write_bytes((f / STILL).read_bytes()[:200]), "no file of MATLAB"),
        (lambda f: scipy_io.savemat(f / STILL, {"pos_world": np.zeros((2, 15, FRAMES))}), "only pos_world"),
        (lambda f: scipy_io.savemat(f / STILL, {"pos_img": np.zeros((2, 13, FRAMES))}), "pos_img of 2 x 13 x 6"),
        (lambda f: scipy_io.savemat(f / STILL, {"pos_img": np.full((2, 15, FRAMES), np.nan)}), "no numbers"),
        (lambda f: scipy_io.savemat(f / STILL, {"pos_img": np.zeros((2, 15, FRAMES + 1))}), "joints in 7 frames, and 6"),
        (lambda f: scipy_io.savemat(f / STILL, {"pos_img": np.array([["a"]])}), "pos_img of"),
        (lambda f: (f / "Rename_Images/stand/still_1/00001.png").write_bytes(b"no picture"), "no picture"),
    ],
)
def test_what_does_not_fit_is_said(folder: Path, tmp_path: Path, break_it: Callable[[Path], object], says: str) -> None:
    broken = tmp_path / "jhmdb"
    shutil.copytree(folder, broken)
    break_it(broken)
    with pytest.raises(ReelvecError, match=says):
        read_jhmdb(broken)
