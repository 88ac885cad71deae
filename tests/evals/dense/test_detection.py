import importlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.evals.dense.detection import BOX_ALONE, CEILING, CHANCE, box_features, detection, fit_head


def test_box_features_see_their_box_and_no_other_place() -> None:
    maps = torch.zeros(2, 3, 2, 8, 16)
    maps[0, 1, 0, 2, 12] = 4.0  # in one of two frames
    maps[1, 2] = 7.0
    boxes = [torch.tensor([[0.5, 0.0, 1.0, 0.6], [0.0, 0.0, 0.5, 1.0]]), torch.tensor([[0.1, 0.1, 0.2, 0.2]])]
    found = box_features(maps, boxes)
    assert found.shape == (3, 3)
    assert 0 < found[0, 1] <= 2  # the mean over time halves it
    assert found[1].abs().max() == 0
    assert found[2].tolist() == pytest.approx([0, 0, 7])


def test_the_head_learns_several_classes_at_once_and_repeats() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=generator)
    y = torch.stack([x[:, 0] > 0, x[:, 1] > 0.5, (x[:, 2] + x[:, 3]) > 0], 1)
    head = fit_head(x, y, 3)
    assert ((head(x) > 0) == y).float().mean() > 0.9
    torch.rand(5)  # the global generator stands elsewhere
    assert torch.equal(fit_head(x, y, 3).linear.weight, head.linear.weight)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for name, stream, channels in (("visual", Stream.RGB, 3), ("motion", Stream.FLOW_EDGES, 1)):
        need = StreamNeed(stream=stream, frames=4, stride=2)
        card = EncoderCard(
            name=name, architecture="set when saved", channels=channels, size=64, mean=(0.4,) * channels,
            std=(0.25,) * channels, method="none", needs=Needs(streams=(need,), clips=1, short_side=64), step=7,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(5)
            save_encoder(folder / "encoder", name, build_encoder("tiny" if channels == 3 else "tiny_motion", channels), card)
    return folder


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Two boxes to a video, left and right: one shows red, the other blue, by the video's number; and a broken video."""
    folder = tmp_path_factory.mktemp("boxes")
    lines = ["file,split,seconds,x1,y1,x2,y2,label"]
    for number in range(12):

        def picture(_: int, number: int = number) -> np.ndarray:
            frame = np.full((64, 96, 3), 100, np.uint8)
            colours = ((220, 30, 30), (30, 40, 220))
            frame[12:52, 4:44], frame[12:52, 52:92] = colours[number % 2], colours[1 - number % 2]
            return frame

        make_video(folder / f"{number}.mp4", frames=12, size=(96, 64), picture=picture)
        side = "train" if number < 8 else "test"
        for second in (0.0, 0.25, 0.5):
            for x, colour in ((4, number % 2), (52, 1 - number % 2)):
                name = ("red", "blue")[colour]
                lines.append(f"{number}.mp4,{side},{second},{x},12,{x + 40},52,{name}")
    (folder / "broken.mp4").write_bytes(b"no video")
    lines.append("broken.mp4,train,0,0,0,10,10,red")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return folder / "boxes.csv"


def test_colours_in_boxes_are_found_and_places_say_nothing(run: Path, boxes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("reelvec.evals.dense.detection")  # the name is taken by the function
    monkeypatch.setattr(module, "_LEAST_STEPS", 150)
    monkeypatch.setattr(module, "_RESAMPLES", 40)
    found = detection(run, boxes)
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["visual", "untrained visual", BOX_ALONE, CHANCE]
    assert rows["visual"]["mAP"] > 0.9
    assert rows[BOX_ALONE]["mAP"] < 0.75
    assert rows[CHANCE]["mAP"] == 0.5
    for name in list(rows)[:3]:
        assert 0 <= rows[name]["low"] <= rows[name]["mAP"] <= rows[name]["high"] <= 1
    assert rows["visual"]["over"][BOX_ALONE]["mean"] == pytest.approx(rows["visual"]["mAP"] - rows[BOX_ALONE]["mAP"])
    assert found["notes"][-1] == "24 training and 12 test key frames, 72 boxes"
    assert [Path(one["path"]).name for one in found["left_out"]] == ["broken.mp4"]
    assert json.loads((run / "evals/boxes-detection-step000007.json").read_text()) == found


def test_in_boxes_of_a_detector_what_it_misses_is_missed(
    run: Path, boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four test videos with three key frames of two boxes each, one's boxes are not detected, and another's twice."""
    module = importlib.import_module("reelvec.evals.dense.detection")
    monkeypatch.setattr(module, "_LEAST_STEPS", 150)
    monkeypatch.setattr(module, "_RESAMPLES", 40)
    lines = []
    for number in (8, 9, 10):
        for second in (0.0, 0.25, 0.5):
            for x in (4, 52) if number != 9 else (4, 6, 52, 54):
                lines.append(f"{number},{second},{x + 1},13,{x + 40},52,,0.9\n")
    (tmp_path / "found.csv").write_text("".join(lines) + "8,0.25,2,2,90,62,,0.5\n")
    found = detection(run, boxes, detected=tmp_path / "found.csv", baselines=False)
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["visual", CHANCE, CEILING]
    assert rows[CEILING]["mAP"] == pytest.approx(18 / 24)
    # every box named rightly, 9 of 12 hit; a box found twice costs most where it comes before all others
    assert 9 / 12 * 9 / 12 - 0.02 < rows["visual"]["mAP"] <= 18 / 24
    # by class, 9 of 12 true boxes are hit by the 24 detected ones
    assert rows[CHANCE]["mAP"] == pytest.approx(9 / 24 * 9 / 12)
    assert "test in the boxes of found.csv with a score of 0.8 at least" in found["protocol"]["metric"]
    assert found["notes"][-2].startswith("75.0 % of the true test boxes overlap a detected one")
    assert Path(found["file"]).name == "boxes-detection-detected-step000007.json"


def test_encoders_of_motion_are_refused(run: Path, boxes: Path) -> None:
    with pytest.raises(ReelvecError, match="encoder=visual"):
        detection(run, boxes, encoder="motion")
