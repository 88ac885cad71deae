"""Networks from outside as encoder folders: imported, loaded again, measured like any run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import video

from reelvec.backbones import load_encoder
from reelvec.core import ReelvecError, Stream
from reelvec.evals import evaluate
from reelvec.evals.features import untrained_encoder
from reelvec.verbs.import_encoder import FRESH, import_encoder

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY = {
    "videomae": {**SIZES, "image_size": 32, "num_frames": 4, "intermediate_size": 64},
    "vjepa2": {**SIZES, "crop_size": 32, "frames_per_clip": 4, "pred_num_hidden_layers": 1},
}
PREPROCESSOR = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.3, 0.2, 0.1], "crop_size": 32, "do_center_crop": True}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small VideoMAE and V-JEPA 2 with random weights, as transformers saves them."""
    import transformers

    folder = tmp_path_factory.mktemp("checkpoints")
    with torch.random.fork_rng():
        torch.manual_seed(2)
        transformers.VideoMAEModel(transformers.VideoMAEConfig(**TINY["videomae"])).save_pretrained(folder / "videomae")
        transformers.VJEPA2Model(transformers.VJEPA2Config(**TINY["vjepa2"])).save_pretrained(folder / "vjepa2")
    for name in TINY:
        (folder / name / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return {name: folder / name for name in TINY}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Class folders: six videos each of two colours."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    for colour, rgb in {"red": (200, 40, 40), "blue": (40, 40, 200)}.items():
        for i in range(6):
            shade = np.clip(np.array(rgb) + rng.integers(-25, 25, 3), 0, 255).astype(np.uint8)
            picture = np.broadcast_to(shade, (32, 40, 3)).copy()
            make_video(folder / colour / f"{i}.mp4", frames=20, size=(40, 32), picture=lambda _, picture=picture: picture)
    return folder


@pytest.mark.parametrize("name", TINY)
def test_a_checkpoint_of_transformers_is_measured_like_any_run(
    checkpoints: dict[str, Path], videos: Path, tmp_path: Path, name: str
) -> None:
    summary = import_encoder(name, tmp_path / "run", checkpoints[name], stride=2)
    assert (summary["architecture"], summary["dim"], summary["map"]) == (name, 32, [32, 2, 2, 2])
    assert summary["notes"] == []
    encoder, card = load_encoder(tmp_path / "run")
    assert (card.mean, card.std, card.size) == ((0.4, 0.5, 0.6), (0.3, 0.2, 0.1), 32)
    (need,) = card.needs.streams
    assert (need.stream, need.frames, need.stride, card.needs.short_side) == (Stream.RGB, 4, 2, 32)
    fresh = [untrained_encoder(card, seed) for seed in (0, 0, 1)]
    first, again, other = (next(p for p in network.parameters() if p.ndim > 1) for network in fresh)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert {k: v.shape for k, v in fresh[0].state_dict().items()} == {k: v.shape for k, v in encoder.state_dict().items()}
    result = evaluate(tmp_path / "run", videos, tasks=("knn", "linear"))
    rows = {row["name"]: row for row in result["tables"][0]["rows"]}
    assert list(rows) == ["visual", "untrained visual", "raw pixels", "colour histogram", "chance"]
    assert rows["visual"]["dim"] == 32
    assert rows["visual"]["values"]["knn"] == 1.0  # two colours: any patch tells them apart
    assert Path(result["file"]).parent == tmp_path / "run" / "evals"
    assert result["encoders"]["visual"]["method"] == f"imported: {name}"


def test_weights_of_torchvision(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = video.r3d_18(num_classes=5).eval()
    torch.save(network.state_dict(), tmp_path / "r3d_18.pth")
    summary = import_encoder("r3d_18", tmp_path / "r3d", str(tmp_path / "r3d_18.pth"), size=32, frames=4)
    encoder, card = load_encoder(tmp_path / "r3d")
    assert (card.size, card.needs.frames_per_second, card.method) == (32, 15, "imported: r3d_18.pth")
    assert card.mean == (0.43216, 0.394666, 0.37645)
    clip = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network.fc(encoder.features(clip)), network(clip), atol=1e-4, rtol=1e-4)
    assert summary["clip"] == "4 frames, 1 apart at 15 a second; the centre square at 32 px"


def test_fresh_weights_are_a_function_of_the_seed_and_said_loudly(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    made = [
        import_encoder("timm:resnet18", tmp_path / str(i), size=32, frames=2, seed=seed) for i, seed in enumerate((0, 0, 1))
    ]
    assert torch.equal(torch.get_rng_state(), state)
    hashes = [summary["weights_sha256"] for summary in made]
    assert hashes[0] == hashes[1] != hashes[2]
    assert made[0]["notes"][0] == FRESH
    assert "one by one" in made[0]["notes"][1]
    assert load_encoder(tmp_path / "0")[1].method == "imported: fresh weights"


def test_size_and_frames_become_part_of_networks_that_have_positions(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    summary = import_encoder("videomae", tmp_path / "large", checkpoints["videomae"], size=48, frames=6)
    assert summary["map"] == [32, 3, 3, 3]
    assert "another number" in summary["notes"][0]
    assert load_encoder(tmp_path / "large")[0].arguments["config"]["image_size"] == 48
    fresh = import_encoder("vjepa2", tmp_path / "fresh", arguments={"config": {**SIZES, "crop_size": 64, "frames_per_clip": 4}})
    assert fresh["map"] == [32, 2, 4, 4]
    vit = import_encoder("timm:vit_tiny_patch16_224", tmp_path / "vit", size=48, frames=2)
    assert vit["map"] == [192, 2, 3, 3]
    assert load_encoder(tmp_path / "vit")[0].arguments == {"size": 48}


def test_own_words_go_over_all_that_is_known(tmp_path: Path) -> None:
    said: dict[str, Any] = {"mean": (0.1, 0.2, 0.3), "std": (1.0, 2.0, 3.0), "fit": "square"}
    summary = import_encoder("tiny", tmp_path / "own", size=32, frames=8, stride=3, frames_per_second=0, **said)
    card = load_encoder(tmp_path / "own")[1]
    assert (card.mean, card.std, card.needs.fit, card.needs.frames_per_second) == (said["mean"], said["std"], "square", None)
    assert summary["clip"] == "8 frames, 3 apart at the file's rate; the whole frame, squeezed at 32 px"


COLOURS: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown": ("resnet", {}, "timm:NAME"),
    "nothing known": ("slow_r50", {}, r"nothing that says its size, frames, stride, mean, std.*\n.*give size=N frames=N"),
    "one missing": ("tiny", {"size": 32, "frames": 8, "mean": (0.5,) * 3, "stride": 1}, "nothing that says its std"),
    "no frames": ("r3d_18", {"frames": 0}, "frames=0"),
    "two colours": ("r3d_18", {"mean": (0.5, 0.5)}, "three colours"),
    "no deviation": ("r3d_18", {"std": (0.5, 0.0, 0.5)}, "three colours"),
    "a rate below zero": ("r3d_18", {"frames_per_second": -1}, "0 is the file's own"),
    "too few frames": ("s3d", {"frames": 2, "size": 32}, "at least 5 frames"),
    "too small": ("timm:vgg11", {"frames": 1, "size": 8}, "cannot take them"),
    "a size that does not divide": ("mvit_v2_s", {"size": 40}, "multiple of 32"),
    "an argument that is not there": ("r3d_18", {"arguments": {"depth": 3}}, "its arguments are"),
    "weights that are not there": ("r3d_18", {"weights": "absent.pth"}, "no such file"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_does_not_fit_is_one_message_and_leaves_no_folder(tmp_path: Path, what: str) -> None:
    name, arguments, message = BAD[what]
    with pytest.raises(ReelvecError, match=message):
        import_encoder(name, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = {k: v * float("nan") if v.is_floating_point() else v for k, v in video.r3d_18().state_dict().items()}
    torch.save(weights, tmp_path / "nan.pth")
    with pytest.raises(ReelvecError, match="not all of it finite"):
        import_encoder("r3d_18", tmp_path / "out", tmp_path / "nan.pth", size=32, frames=4)


def test_a_training_run_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ReelvecError, match="a training run of that name"):
        import_encoder("r3d_18", tmp_path)
