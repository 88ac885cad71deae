"""What a line in CLIP_EVALS promises."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reelvec.core import ReelvecError
from reelvec.data.index import index
from reelvec.evals import split
from reelvec.evals.heads.attentive import Attentive
from reelvec.evals.heads.clip_eval import CLIP_EVALS, ClipEval
from reelvec.evals.heads.finetune import CNN, Finetune
from reelvec.evals.heads.linear_sgd import LinearSgd
from tests.evals.heads.clip_cases import Case, coloured, small_encoder

FAST = CNN.model_copy(update={"epochs": 5, "least_steps": 15, "lr": 0.1, "batch": 12})
SMALL: dict[str, ClipEval] = {
    "finetune": Finetune(cnn=FAST),
    "attentive": Attentive(epochs=5, least_steps=25, looks=2),
    "linear_sgd": LinearSgd(looks=2, recipes=("coclr", "slowfast")),
}
EVERY = pytest.mark.parametrize("name", CLIP_EVALS)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Case:
    return coloured(tmp_path_factory.mktemp("coloured"), make_video, 36)


@pytest.fixture(scope="module")
def outcomes(case: Case) -> dict:
    return {name: case.run(one) for name, one in SMALL.items()}


@EVERY
def test_colours_are_learnt(name: str, case: Case, outcomes: dict) -> None:
    plan = SMALL[name].plan(case.labels[~case.test], case.labels[case.test])
    assert list(outcomes[name].columns) == list(plan.chance)
    for column, answers in outcomes[name].columns.items():
        assert len(answers.score) == int(case.test.sum())
        assert answers.mean >= 0.9, column
        assert torch.equal(answers.score, (answers.named == case.labels[case.test]).double())
        assert bool((answers.sure > 0.3).all())
        assert bool((answers.sure <= 1).all())
        assert plan.chance[column] == pytest.approx(1 / 3, abs=0.01)


@EVERY
def test_random_labels_are_not_learnt(name: str, case: Case) -> None:
    labels = torch.randint(3, (36,), generator=torch.Generator().manual_seed(3))
    assert max(case.run(SMALL[name], labels=labels).shares.values()) < 0.75


@EVERY
def test_it_repeats_and_leaves_everything_else_as_it_was(name: str, case: Case, outcomes: dict) -> None:
    encoder = small_encoder().train()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    state = torch.get_rng_state()
    again = case.run(SMALL[name], encoder)
    assert torch.equal(torch.get_rng_state(), state)
    assert encoder.training
    assert all(weight.requires_grad and weight.grad is None for weight in encoder.parameters())
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    torch.rand(3)  # the global generator stands elsewhere from here on
    for column, answers in again.columns.items():
        assert torch.equal(answers.sure, outcomes[name].columns[column].sure)
        assert torch.equal(answers.named, outcomes[name].columns[column].named)
    assert again.details == outcomes[name].details


@EVERY
def test_labels_of_test_videos_change_no_answer(name: str, case: Case, outcomes: dict) -> None:
    labels = case.labels.clone()
    labels[case.test] = (labels[case.test] + 1) % 3
    wrong = case.run(SMALL[name], labels=labels)
    for column, answers in wrong.columns.items():
        assert torch.equal(answers.sure, outcomes[name].columns[column].sure)
        assert torch.equal(answers.named, outcomes[name].columns[column].named)
        assert answers.mean < 0.2


@EVERY
def test_another_seed_draws_other_things(name: str, case: Case, outcomes: dict) -> None:
    other = case.run(SMALL[name].model_copy(update={"seed": 1}))
    assert any(not torch.equal(a.sure, outcomes[name].columns[column].sure) for column, a in other.columns.items())


@EVERY
def test_progress_reaches_the_end(name: str, case: Case) -> None:
    seen: list[tuple[int, int, str]] = []
    case.run(SMALL[name], on_progress=lambda *one: seen.append(one))
    done, total = [one[0] for one in seen], {one[1] for one in seen}
    assert done == sorted(done)
    assert total == {done[-1]}


@EVERY
def test_what_cannot_be_read_is_counted(name: str, case: Case, tmp_path: Path) -> None:
    folder = shutil.copytree(Path(case.index.row(0).path).parent, tmp_path / "copy")
    copied = index([folder / Path(case.index.row(i).path).name for i in range(len(case.index))], workers=0)
    assert [Path(copied.row(i).path).name for i in range(36)] == [Path(case.index.row(i).path).name for i in range(36)]
    train, test = (next(i for i in range(36) if bool(case.test[i]) is side) for side in (False, True))
    for place in (train, test):
        Path(copied.row(case.rows[place]).path).write_bytes(b"gone")
    found = case.run(SMALL[name], index=copied)
    for answers in found.columns.values():
        assert answers.named[0] == -1
        assert answers.score[0] == 0
        assert bool((answers.named[1:] >= 0).all())
        assert answers.mean > 0.7
    assert [value for key, value in found.details.items() if key.endswith("_unread")] == [2.0]


@EVERY
def test_features_that_are_not_finite_are_refused(name: str, case: Case) -> None:
    with pytest.raises(ReelvecError, match=r"finite|nan"):
        case.run(SMALL[name], small_encoder(scale=float("nan")))


@EVERY
def test_the_setting_is_said_in_words(name: str) -> None:
    words = CLIP_EVALS[name]().protocol
    assert "test labels are read once" in words
    assert "3 crops" in words


@pytest.mark.parametrize("one", [SMALL["attentive"], Finetune(cnn=FAST, choose="held_out")])
def test_groups_are_never_parted(one: Attentive | Finetune, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = torch.arange(36) // 4
    masks = []
    module = {Attentive: "attentive", Finetune: "finetune"}[type(one)]
    real = split.hold_out

    def watched(*arguments: object, **more: object) -> object:
        masks.append((arguments[1], real(*arguments, **more)))
        return masks[-1][1]

    monkeypatch.setattr(f"reelvec.evals.heads.{module}.hold_out", watched)
    case.run(one, groups=groups)
    ((given, mask),) = masks
    assert given == groups[~case.test].tolist()
    held = {group for group, out in zip(given, mask, strict=True) if out}
    assert held
    assert not held & {group for group, out in zip(given, mask, strict=True) if not out}
