import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reelvec.core import Draws, ReelvecError
from reelvec.evals.heads import looks
from reelvec.evals.heads.augment import PAPERS, Augment
from reelvec.evals.heads.finetune import CNN, TRANSFORMER, Classifier, Finetune
from reelvec.evals.table import with_settings
from tests.evals.heads.clip_cases import Case, coloured, small_encoder, small_transformer

FAST = CNN.model_copy(update={"epochs": 5, "least_steps": 20, "lr": 0.1})


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Case:
    return coloured(tmp_path_factory.mktemp("coloured"), make_video, 18)


def test_dropout_hangs_on_the_sample_alone() -> None:
    network = Classifier(small_encoder(), 3, CNN).eval()
    clips = torch.randn(6, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    whole = network(clips, Draws(0, torch.arange(6)))
    torch.testing.assert_close(network(clips[4:], Draws(0, torch.arange(4, 6))), whole[4:])
    assert not torch.allclose(whole, network(clips))
    many = torch.stack([network(clips, Draws(0, torch.arange(6) + 6 * i)) for i in range(600)]).mean(0)
    torch.testing.assert_close(many, network(clips), rtol=0.1, atol=2e-3)  # what is kept is scaled up


def test_a_transformer_learns_by_its_own_recipe(case: Case) -> None:
    one = Finetune()
    quick = one.transformer.model_copy(update={"least_steps": 40, "epochs": 1, "lr": 3e-3, "mixup": 0.0, "batch": 12})
    quick = quick.model_copy(update={"augment": Augment()})  # colours are the classes
    found = [case.run(one.model_copy(update={"transformer": quick, "clips": 1}), small_transformer()) for _ in range(2)]
    assert found[0].details["finetune_is_transformer"] == 1.0
    assert found[0].shares["finetune"] >= 5 / 6
    # drop path draws from torch's global generator, and still the numbers repeat
    assert torch.equal(found[0].columns["finetune"].sure, found[1].columns["finetune"].sure)


def test_weights_are_chosen_by_held_out_training_videos(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The held-out loss says that the fourth tenth is best; what is tested are the weights of then."""
    losses = iter([3.0, 2.0, 1.5, 1.0, *[2.0] * 6])
    kept: list[torch.Tensor] = []

    def told(network: Classifier, *arguments: object) -> float:
        kept.append(network.linear.weight.detach().clone())
        return next(losses)

    monkeypatch.setattr("reelvec.evals.heads.finetune._held_out_loss", told)
    one = Finetune(cnn=FAST, choose="held_out", clips=1)
    trained: list[Classifier] = []
    real = one.network

    def made(*arguments: object) -> Classifier:
        trained.append(real(*arguments))
        return trained[-1]

    monkeypatch.setattr(Finetune, "network", lambda self, *arguments: made(*arguments))
    found = case.run(one)
    assert found.details["finetune_step"] == 8
    assert len(trained) == 1
    assert torch.equal(trained[0].linear.weight, kept[3])
    assert not torch.equal(kept[3], kept[9])


def test_the_learning_rate_is_picked_by_held_out_training_videos(case: Case) -> None:
    found = case.run(Finetune(cnn=FAST, factors=(1e-8, 1.0, 1e12), clips=1))
    assert found.details["finetune_lr"] == FAST.lr
    assert found.shares["finetune"] > 0.8


def test_a_loss_that_is_not_finite_is_one_message(case: Case) -> None:
    wild = FAST.model_copy(update={"lr": 1e30})
    for one in (Finetune(cnn=wild), Finetune(cnn=wild, factors=(1.0, 2.0))):
        with pytest.raises(ReelvecError, match="lr=1e"):
            case.run(one)


def test_steps_by_epochs_or_at_least_so_many() -> None:
    one = Finetune()
    assert one.steps(CNN, 70) == 200
    assert one.steps(CNN, 9537) == math.ceil(30 * 9537 / 16)


def test_workers_change_no_number(case: Case) -> None:
    quick = Finetune(cnn=FAST.model_copy(update={"least_steps": 4, "epochs": 1}), clips=1)
    alone, helped = (case.run(quick, workers=workers) for workers in (0, 1))
    assert torch.equal(alone.columns["finetune"].sure, helped.columns["finetune"].sure)


def test_all_of_the_setting_is_printed() -> None:
    words = Finetune(flip=True, factors=(0.5, 1), clips=10).protocol
    for word in (
        "SGD, momentum 0.9",
        "lr 0.02",
        "AdamW",
        "layer decay 0.7",
        "drop path 0.2",
        "label smoothing 0.1",
        "mixup 0.8",
        "RandAugment on RGB",
        "random erasing 0.25",
        "mirrored",
        "10 clips x 3 crops",
        "lr x 0.5, 1",
        "held out by seed 0",
        "trained again on all",
    ):
        assert word in words, word
    assert "AdamW" not in Finetune(recipe="cnn").protocol


def test_single_settings_of_a_recipe_leave_the_others_as_they_are() -> None:
    """As `finetune.cnn.epochs=150 finetune.transformer.augment.operations=0` gives them."""
    given = {"cnn": {"epochs": 150}, "transformer": {"augment": {"operations": 0}, "crop": {"flip": 0.5}}}
    found = with_settings(Finetune, "finetune", 3, given)
    assert found.cnn == CNN.model_copy(update={"epochs": 150})
    assert found.transformer.augment == Augment(erasing=0.25)
    assert found.transformer.crop.area == TRANSFORMER.crop.area
    assert found.transformer.lr == TRANSFORMER.lr
    for wrong, said in (({"cnn": {"epoch": 1}}, "did you mean epochs"), ({"cnn": {"crop": {"area": [2, 1]}}}, "area")):
        with pytest.raises(ReelvecError, match=said):
            with_settings(Finetune, "finetune", 0, wrong)


def test_clips_of_a_transformer_are_augmented_each_by_its_own_draw(case: Case) -> None:
    """The papers' recipe trains; where nothing but the augmentation differs, the answers do."""
    few = {"least_steps": 3, "epochs": 1, "batch": 6}
    papers, plain = (
        Finetune(transformer=TRANSFORMER.model_copy(update={**few, "augment": augment}), clips=1)
        for augment in (PAPERS, Augment())
    )
    sure = [case.run(one, small_transformer()).columns["finetune"].sure for one in (papers, papers, plain)]
    assert torch.equal(sure[0], sure[1])
    assert not torch.equal(sure[0], sure[2])


def test_the_papers_ten_clips_by_three_crops_are_thirty_views(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test video is seen as thirty different views: ten times, three squares along the long side."""
    seen: list[torch.Tensor] = []
    real = looks.even_views

    def counted(*arguments: object) -> torch.Tensor:
        seen.append(real(*arguments))
        return seen[-1]

    monkeypatch.setattr(looks, "even_views", counted)
    case.run(Finetune(cnn=FAST.model_copy(update={"epochs": 1, "least_steps": 1}), clips=10))
    assert sum(len(views) for views in seen) == int(case.test.sum())
    for views in seen:
        assert views.shape[1:3] == (10, 3)
    assert Finetune().crops == 3
    first = seen[0][0].flatten(0, 1).flatten(1)  # videos of ten frames: seven starts of four frames
    assert len({tuple(view.tolist()) for view in first.round(decimals=3)}) >= 7 * 3
