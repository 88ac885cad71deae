"""Small data for the commands that judge: a generated set, one sequence with masks, boxes, and two runs of a tiny encoder."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, Stream, StreamNeed
from reelvec.data.shapes import make_shapes


def write_all(root: Path) -> None:
    """Write shapes/, davis/, boxes.csv, runs/a and runs/b."""
    make_shapes(root / "shapes", videos=(24, 12), seed=3, size=32, frames=12)
    _write_sequence(root / "davis", "walks")
    _write_boxes(root / "boxes.csv", sorted((root / "shapes").glob("*/*.mp4")))
    for name, seed in (("a", 5), ("b", 6)):
        _write_encoder(root / "runs" / name / "encoder", seed)


def _write_sequence(root: Path, name: str) -> None:
    """A square that walks over grey noise."""
    for number in range(5):
        frame = np.random.default_rng(0).integers(90, 150, (48, 64, 3), dtype=np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        mask[12:32, 6 + 4 * number : 26 + 4 * number] = 1
        frame[mask == 1] = (20, 30, 220)
        for kind, picture, suffix in (("JPEGImages", frame, "jpg"), ("Annotations", mask, "png")):
            path = root / kind / name / f"{number:05d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture)


def _write_boxes(file: Path, videos: list[Path]) -> None:
    lines = ["file,split,seconds,x1,y1,x2,y2,label"]
    for number, video in enumerate(videos[:12]):
        side = "train" if number % 3 else "test"
        path = video.relative_to(file.parent)
        lines += [f"{path},{side},0.2,{x},4,{x + 12},20,{('left', 'right')[x > 8]}" for x in (2, 16)]
    file.write_text("\n".join(lines) + "\n")


def _write_encoder(folder: Path, seed: int) -> None:
    need = StreamNeed(stream=Stream.RGB, frames=4, stride=1)
    card = EncoderCard(
        name="visual", architecture="set when saved", channels=3, size=32, mean=(0.4,) * 3, std=(0.25,) * 3, method="none",
        needs=Needs(streams=(need,), clips=1, short_side=32), step=3,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_encoder(folder, "visual", build_encoder("tiny"), card)


def write_jhmdb(root: Path) -> None:
    """One video of a body that walks over noise, in JHMDB's layout."""
    scipy_io = pytest.importorskip("scipy.io")
    places = np.random.default_rng(3).uniform([22, 12], [46, 48], (15, 2)) + np.array([2, 0]) * np.arange(4)[:, None, None]
    frames, joints = root / "Rename_Images/stand/video", root / "joint_positions/stand/video"
    frames.mkdir(parents=True)
    joints.mkdir(parents=True)
    for number in range(4):
        picture = np.random.default_rng(number).integers(0, 255, (60, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(frames / f"{number + 1:05d}.png"), picture)
    scipy_io.savemat(joints / "joint_positions.mat", {"pos_img": places.transpose(2, 1, 0) + 1, "scale": np.ones((1, 2))})
    (root / "splits").mkdir()
    (root / "splits/stand_test_split1.txt").write_text("video.avi 2\n")


def write_vip(root: Path) -> None:
    """One video of a face that walks, in VIP's layout."""
    for number in range(3):
        mask = np.zeros((48, 80), np.uint8)
        mask[8:40, 10 + 4 * number : 30 + 4 * number] = 13
        frame = np.random.default_rng(0).integers(90, 150, (48, 80, 3), dtype=np.uint8)
        for kind, picture, suffix in (("Images", frame, "jpg"), ("Annotations/Category_ids", mask, "png")):
            path = root / kind / "one" / f"{number:012d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture)
    (root / "lists").mkdir()
    (root / "lists/val_videos.txt").write_text("one\n")
