import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from reelvec.core import ReelvecError
from reelvec.evals.dense.label_propagation import PRESETS
from reelvec.evals.dense.propagation import CEILING, PIXELS, propagation
from reelvec.evals.dense.vip import Vip, is_vip, read_vip

FRAMES, SIZE = 5, (48, 80)
SPEEDS = {"videos1": 0, "videos2": 4}


def parts_of(number: int, speed: int) -> np.ndarray:
    """A face (13) over clothes (4) that walks; from the third frame on a hat (1), and before a corner that is not judged."""
    mask = np.zeros(SIZE, np.uint8)
    x = 10 + speed * number
    mask[8:20, x : x + 12] = 13
    mask[20:40, x - 4 : x + 16] = 4
    if number > 1:
        mask[4:8, x : x + 12] = 1
    if number < 2:
        mask[40:, 70:] = 255
    return mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vip")
    for name, speed in {**SPEEDS, "videos3": 1}.items():
        for number in range(FRAMES):
            mask = parts_of(number, speed)
            frame = np.random.default_rng(0).integers(90, 150, (*SIZE, 3), dtype=np.uint8)
            for part, colour in {13: (120, 170, 240), 4: (220, 60, 20), 1: (20, 20, 20)}.items():
                frame[mask == part] = colour
            for kind, picture, suffix in (("Images", frame, "jpg"), ("Annotations/Category_ids", mask, "png")):
                path = root / kind / name / f"{25 * number + 1:012d}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture)
    (root / "lists").mkdir()
    (root / "lists/val_videos.txt").write_text("videos2\nvideos1\n\n")
    return root


@pytest.fixture(scope="module")
def result(tiny_run: Path, folder: Path) -> dict:
    return propagation(tiny_run, folder, preset=("crw", "dino"), size=64, map_stride=4)


def rows_of(result: dict, preset: str) -> dict[str, dict]:
    return {row["name"]: row for row in result["rows"] if row["preset"] == preset}


def slow_ious(named: list[np.ndarray], truth: list[np.ndarray]) -> dict[int, float]:
    """Of every class that is there or named: pixels that agree over pixels that are either's, not counting where 255 is."""
    ious = {}
    for part in range(20):
        both = sum(((a == part) & (b == part)).sum() for a, b in zip(named, truth, strict=True))
        either = sum((((a == part) & (b < 20)) | (b == part)).sum() for a, b in zip(named, truth, strict=True))
        if either:
            ious[part] = both / either
    return ious


def test_the_videos_of_the_list_are_read(folder: Path) -> None:
    assert is_vip(folder)
    assert [video.sequence.name for video in read_vip(folder).videos] == ["videos1", "videos2"]
    (third,) = read_vip(folder, ["videos3"]).videos
    assert third.parts == [4, 13]
    assert np.array_equal(third.truth(3).numpy(), parts_of(3, 1))


def test_rows_and_their_numbers(result: dict) -> None:
    assert result["numbers"] == ["mIoU"]
    assert [row["name"] for row in result["rows"]] == 2 * ["visual", "untrained visual", PIXELS, Vip.kept, CEILING]
    for row in result["rows"]:
        assert 0 <= row["low"] <= row["mIoU"] <= row["high"] <= 1
        assert set(row["sequences"]) == set(SPEEDS)
        assert list(row["parts"]) == ["background", "hat", "upper-clothes", "face"]
        assert row["parts"]["hat"] == 0  # not in the first frames
    untrained = rows_of(result, "crw")["untrained visual"]
    assert untrained["mIoU"] == pytest.approx(np.mean(untrained["each"]))
    mine, kept = (rows_of(result, "crw")[name] for name in ("visual", Vip.kept))
    assert mine["over"][Vip.kept]["mean"] == pytest.approx(mine["mIoU"] - kept["mIoU"])


def test_parts_that_are_kept_by_formula(result: dict) -> None:
    """The first frame counts, what is not judged does not, and a class that comes later counts as missed."""
    truth = [parts_of(number, speed) for speed in SPEEDS.values() for number in range(FRAMES)]
    first = parts_of(0, 0)
    named = [np.where(first == 255, 0, first)] * len(truth)
    ious = slow_ious(named, truth)
    assert set(ious) == {0, 1, 4, 13}
    for preset in ("crw", "dino"):
        kept = rows_of(result, preset)[Vip.kept]
        assert kept["mIoU"] == pytest.approx(np.mean(list(ious.values())))
        assert list(kept["parts"].values()) == pytest.approx(list(ious.values()))
        still = slow_ious(named[:FRAMES], truth[:FRAMES])
        assert kept["sequences"]["videos1"]["mIoU"] == pytest.approx(np.mean(list(still.values())))


def test_what_must_be_so(result: dict) -> None:
    for preset in ("crw", "dino"):
        rows = rows_of(result, preset)
        assert rows[CEILING]["mIoU"] > 0.6  # three of four classes can be named at all
        assert rows[PIXELS]["sequences"]["videos2"]["mIoU"] > rows[Vip.kept]["sequences"]["videos2"]["mIoU"] + 0.1
        assert rows["visual"]["mIoU"] <= rows[CEILING]["mIoU"] + 0.01


def test_the_protocol_says_everything(result: dict) -> None:
    for preset in ("crw", "dino"):
        assert "10 most like" in result["protocol"][preset]
        assert "all frames at 64 x 126" in result["protocol"][preset]
    assert "each object stretched" in result["protocol"]["dino"]
    assert result["protocol"]["metric"].startswith("VIP")
    shown = {name: Vip([]).in_words(*Vip([]).setting(preset, None)) for name, preset in PRESETS.items()}
    assert all("all frames at 448 x 880" in words and "10 most like" in words for words in shown.values())
    assert PRESETS["dino"].top == 5  # the presets themselves stay
    assert cv2.imread(result["picture"]).shape[0] > 500


def test_a_first_frame_without_parts_and_frames_without_masks(tiny_run: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "vip")
    masks = tmp_path / "vip/Annotations/Category_ids"
    cv2.imwrite(str(masks / "videos1/000000000001.png"), np.zeros(SIZE, np.uint8))
    (masks / "videos2/000000000051.png").unlink()
    found = propagation(tiny_run, tmp_path / "vip", size=32, baselines=False, out=tmp_path / "r.json")
    assert found["notes"] == ["videos2: 1 frames without a mask are not judged"]
    rows = rows_of(found, "crw")
    assert list(rows) == ["visual", Vip.kept, CEILING]
    background = slow_ious([np.zeros(SIZE, np.uint8)] * FRAMES, [np.zeros(SIZE), *(parts_of(n, 0) for n in range(1, FRAMES))])
    for row in rows.values():
        assert row["sequences"]["videos1"]["mIoU"] == pytest.approx(np.mean(list(background.values())))


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda f: (f / "lists/val_videos.txt").unlink(), "no lists/val_videos.txt"),
        (lambda f: (f / "lists/val_videos.txt").write_text(" \n"), "without a name"),
        (lambda f: shutil.rmtree(f / "Images"), "no Images of 2 of the 2 videos, videos1 first"),
        (lambda f: shutil.rmtree(f / "Annotations/Category_ids/videos2"), "videos2: no mask of the first frame"),
        (lambda f: (f / "Images/videos1/000000000026.jpg").unlink(), "without a frame of that name"),
        (
            lambda f: cv2.imwrite(str(f / "Annotations/Category_ids/videos1/000000000001.png"), np.full(SIZE, 37, np.uint8)),
            "the numbers 37, where VIP has parts 0 to 19",
        ),
        (lambda f: (f / "Annotations/Category_ids/videos1/000000000001.png").write_bytes(b"no"), "no picture"),
    ],
)
def test_what_does_not_fit_is_said(folder: Path, tmp_path: Path, break_it: Callable[[Path], object], says: str) -> None:
    broken = tmp_path / "vip"
    shutil.copytree(folder, broken)
    break_it(broken)
    with pytest.raises(ReelvecError, match=says):
        read_vip(broken)
    assert len(read_vip(folder, ["videos1"]).videos) == 1


def test_parts_that_vip_has_not_are_said_when_they_are_read(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "vip")
    path = tmp_path / "vip/Annotations/Category_ids/videos1/000000000026.png"
    cv2.imwrite(str(path), np.full(SIZE, 20, np.uint8))
    with pytest.raises(ReelvecError, match="the numbers 20"):
        read_vip(tmp_path / "vip").videos[0].truth(1)
    with pytest.raises(ReelvecError, match="not nobody"):
        read_vip(folder, ["nobody"])
