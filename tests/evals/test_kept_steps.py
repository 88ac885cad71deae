"""runs/a@2: encoders as of a kept step, told from the weights of the method."""

import shutil
from pathlib import Path

import pytest
import torch

from reelvec import backbones
from reelvec.core import ReelvecError
from reelvec.data.shapes import make_shapes
from reelvec.evals import compare, evaluate, health
from reelvec.evals.kept_steps import load_encoder, run_folder
from reelvec.verbs.pretrain import pretrain

Trained = tuple[Path, Path]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("videos") / "shapes", videos=(16, 8), seed=3, size=32, frames=12, truth=False)


@pytest.fixture(scope="module")
def trained(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of four steps with a slow network beside the one that is kept, and its encoder folder as it was after two."""
    folder = tmp_path_factory.mktemp("trained")

    def on_event(event: dict) -> None:
        if event["kind"] == "saved" and event["step"] == 2:
            shutil.copytree(folder / "run" / "encoder", folder / "then")

    small = ["batch=4", "cache_gb=1", "queue=16", "view.size=32", "short_side=36", "steps=4", "save_every=2", "keep=9"]
    small += ["encoder=tiny", "frames=4", "stride=1"]
    pretrain(shapes / "train", "rho_moco", settings=small, out=folder / "run", on_event=on_event)
    return folder / "run", folder / "then"


def test_the_encoder_of_a_step_is_what_it_was_then(trained: Trained) -> None:
    run, then = trained
    encoder, card = load_encoder(f"{run}@2")
    theirs, their_card = backbones.load_encoder(then)
    assert card == their_card
    for name, weight in theirs.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], weight)
    newest, _ = load_encoder(run)
    assert any(not torch.equal(newest.state_dict()[name], weight) for name, weight in theirs.state_dict().items())
    assert load_encoder(f"{run}@4")[1] == load_encoder(run)[1]


def test_a_step_that_is_not_kept_is_refused_with_those_that_are(trained: Trained, tiny_run: Path) -> None:
    run, _ = trained
    with pytest.raises(ReelvecError, match=r"at step 3\n.*kept steps 2, 4\n.*run@4"):
        load_encoder(f"{run}@3")
    with pytest.raises(ReelvecError, match="no kept step"):
        load_encoder(f"{tiny_run}@1")
    with pytest.raises(ReelvecError, match="no such folder"):
        load_encoder("nowhere@1")


def test_a_folder_with_such_a_name_is_that_folder(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "a@2")
    assert run_folder(tmp_path / "a@2") == tmp_path / "a@2"
    assert load_encoder(tmp_path / "a@2")[1].step == 3


def test_steps_are_measured_compared_and_looked_at(trained: Trained, shapes: Path) -> None:
    run, _ = trained
    labels = shapes / "labels.csv"
    more = {"label_column": "motion", "tasks": ("knn",), "clips": 1}
    files = [evaluate(one, labels, **more)["file"] for one in (f"{run}@2", run)]
    assert [Path(file) for file in files] == [run / "evals" / f"labels-step{step:06d}.json" for step in (2, 4)]
    board = compare([f"{run}@2", run])
    assert {"run@2", "run"} <= {row["name"] for row in board["tables"][0]["rows"]}
    got = health(run, shapes / "train", beside=[f"{run}@2"], clips=1)
    names, cka = got["alike"]["names"], got["alike"]["cka"]
    assert "run@2, visual" in names
    assert 0 < cka[names.index("visual")][names.index("run@2, visual")] < 0.99999


def test_networks_that_are_not_the_encoders_are_no_match(trained: Trained, tmp_path: Path) -> None:
    run = shutil.copytree(trained[0], tmp_path / "run")
    encoder, card = backbones.load_encoder(run)
    with torch.no_grad():
        next(encoder.parameters()).add_(1)
    backbones.save_encoder(run / "encoder", "visual", encoder, card)
    with pytest.raises(ReelvecError, match=r"no networks in .* whose weights are the encoder's"):
        load_encoder(f"{run}@2")
