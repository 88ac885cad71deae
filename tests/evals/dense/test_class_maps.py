import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import Encoder, EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.index import index
from reelvec.data.shapes import Truth, make_shapes
from reelvec.evals.dense.class_maps import _masks, class_maps, grad_cam
from reelvec.evals.dense.localisation import AREA


def test_grad_cam_of_a_linear_probe_is_its_weighted_map() -> None:
    """For a linear score of the mean, the gradient is the class's weights: a class activation map, not below 0."""
    torch.manual_seed(0)
    encoder = Encoder("made", nn.Conv3d(3, 5, 1), 3, 5).requires_grad_(False)
    clips, weights = torch.randn(2, 3, 2, 4, 6), torch.randn(5, 7)
    found = grad_cam(encoder, clips, lambda pooled: pooled @ weights, torch.tensor([3, 6]))
    maps = encoder(clips)
    for i, of in enumerate((3, 6)):
        by_hand = torch.einsum("dthw,d->thw", maps[i], weights[:, of]).relu() / (2 * 4 * 6)
        assert torch.allclose(found[i], by_hand, atol=1e-6)
    assert all(p.grad is None for p in encoder.parameters())


def test_grad_cam_through_a_curved_score() -> None:
    """Where the score is no linear one, the weights are its slope at the clip's own features."""

    class Itself(nn.Module):
        def forward(self, clip: Tensor) -> Tensor:
            return clip

    encoder = Encoder("made", Itself(), 2, 2)
    clip = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1, 1).expand(1, 2, 1, 1, 2)
    found = grad_cam(encoder, clip, lambda pooled: pooled**2, torch.tensor([1]))
    assert found.flatten().tolist() == pytest.approx([2 * 3 * 3 / 2] * 2)  # slope 6 over two places, times 3
    with torch.no_grad():
        assert grad_cam(encoder, clip, lambda pooled: -pooled, torch.tensor([0])).abs().max() == 0


def card() -> EncoderCard:
    return EncoderCard(
        name="visual", architecture="set when saved", channels=3, size=32, mean=(0.4,) * 3, std=(0.25,) * 3, method="none",
        needs=Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=2),), clips=1, short_side=32), step=7,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        save_encoder(folder / "encoder", "visual", build_encoder("tiny"), card())
    return folder


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("sets") / "small", videos=(24, 12), size=32, frames=12)


def test_masks_are_those_of_the_frames_that_the_clip_shows(shapes: Path) -> None:
    found = index([str(shapes / "test/00003.mp4")])
    place = shapes / "truth/test/00003.npz"
    truth = Truth.load(place).masks
    assert (_masks(place, found, card(), 0, 3 / 24) == (truth[[3, 5, 7, 9]] > 0)).all()


@pytest.mark.parametrize(("fit", "columns"), [("keep", slice(8, 40)), ("square", slice(0, 48))])
def test_masks_of_wide_frames_are_those_of_what_is_seen(
    fit: str, columns: slice, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    found = index([make_video(tmp_path / "wide.mp4", frames=12, size=(48, 32))])
    masks = (np.random.default_rng(0).random((12, 32, 48)) < 0.5).astype(np.uint8)
    np.savez(tmp_path / "wide.npz", masks=masks)
    seen = card().model_copy(update={"needs": card().needs.model_copy(update={"fit": fit})})
    assert (_masks(tmp_path / "wide.npz", found, seen, 0, 3 / 24) == masks[[3, 5, 7, 9], :, columns]).all()


def test_labels_and_masks_of_ones_own(run: Path, shapes: Path, tmp_path: Path) -> None:
    """A table under other names and masks as pictures give the same numbers; a test video without masks is left out."""
    lines = (shapes / "labels.csv").read_text().splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    table = ["video,place,side", *(f"{shapes / row['path']},{row['scene']},{row['split']}" for row in rows)]
    (tmp_path / "own.csv").write_text("\n".join(table))
    for row in rows:
        for t, mask in enumerate(Truth.load((shapes / "truth" / row["path"]).with_suffix(".npz")).masks):
            # training and test videos are called alike: the folder of the labels does not hold them, so the name alone counts
            if row["split"] == "test":
                picture = tmp_path / "masks" / Path(row["path"]).stem / f"{t:03d}.png"
                picture.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(picture), 255 * (mask > 0).astype(np.uint8))
    more = {"masks": tmp_path / "masks", "label_column": "place", "path_column": "video", "split_column": "side"}
    found = class_maps(run, tmp_path / "own.csv", **more, baselines=False)
    theirs = class_maps(run, shapes, label_column="scene", baselines=False, out=tmp_path / "theirs.json")
    assert found["rows"] == theirs["rows"]
    shutil.rmtree(tmp_path / "masks" / "00003")
    fewer = class_maps(run, tmp_path / "own.csv", **more, baselines=False, out=tmp_path / "fewer.json")
    assert [note for note in fewer["notes"] if "00003.mp4 (no masks in" in note]
    with pytest.raises(ReelvecError, match="name one"):
        class_maps(run, shapes, label_column="motion,scene", out=tmp_path / "x.json")


def test_class_maps(run: Path, shapes: Path) -> None:
    found = class_maps(run, shapes, label_column="scene")
    visual, untrained, area = found["rows"]
    assert (visual["name"], untrained["name"], area["name"]) == ("visual", "untrained visual", AREA)
    for row in (visual, untrained):
        assert 0 <= row["accuracy"] <= 1
        for measure in ("grad-cam", "energy"):
            assert row[measure]["low"] <= row[measure]["inside"] <= row[measure]["high"]
    assert 0.02 < area["energy"]["inside"] < 0.6
    file = run / "evals" / f"{shapes.name}-scene-classmaps-step000007.json"
    assert json.loads(file.read_text()) == found
    assert Path(found["picture"]).is_file()


def test_a_set_without_truth(run: Path, shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "bare", ignore=shutil.ignore_patterns("truth"))
    with pytest.raises(ReelvecError, match=r"no folder .*truth with masks"):
        class_maps(run, tmp_path / "bare")
