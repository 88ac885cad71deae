import math

import numpy as np
import pytest
import torch

from reelvec.core import ReelvecError
from reelvec.data.index import Index
from reelvec.evals.heads.linear_sgd import SGD_RECIPES, LinearSgd, SgdHead
from reelvec.evals.heads.look_store import LookStore
from reelvec.evals.heads.looks import Source, Tally
from reelvec.evals.linear import Linear
from tests.evals.heads.clip_cases import CARD, CPU

NOWHERE = Source(Index.__new__(Index), CARD, CPU, 0, Tally(1, None))  # features are put into the store by hand


def stored(features: torch.Tensor) -> LookStore:
    store = LookStore(len(features), 1, 1, features.shape[1], 1.0, 0.0)
    store.put(list(range(len(features))), 0, features[:, None])
    return store


def blobs(n: int, spread: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    return 3 * torch.eye(4, 10)[labels] + spread * torch.randn(n, 10, generator=generator), labels


def test_rates_are_those_of_the_papers() -> None:
    coclr, severe, slowfast = (SGD_RECIPES[name] for name in ("coclr", "severe", "slowfast"))
    assert [coclr.rate(epoch, 0, 5, 32) for epoch in (0, 59, 60, 79, 80, 99)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )
    assert [severe.rate(epoch, 0, 5, 64) for epoch in (0, 3, 4, 7, 8, 9)] == pytest.approx([1e-2] * 2 + [1e-3] * 2 + [1e-4] * 2)
    # 8 epochs of warm-up from 0, half a cosine after it; 0.5 for 64 clips
    assert slowfast.rate(4, 0, 10, 64) == pytest.approx(0.25)
    assert slowfast.rate(8, 0, 10, 64) == pytest.approx(0.5)
    assert slowfast.rate(21, 0, 10, 64) == pytest.approx(0.25 * (1 + math.cos(math.pi * 130 / 520)))
    assert slowfast.rate(34, 0, 10, 32) == pytest.approx(0.125)


def test_coclrs_head_normalises() -> None:
    head = SgdHead(10, 4, normalised=True).eval()
    torch.nn.init.normal_(head.norm.running_mean)
    torch.nn.init.uniform_(head.norm.running_var, 0.5, 2)
    features = torch.randn(3, 10)
    for row, got in zip(features.numpy(), head(features).detach().numpy(), strict=True):
        unit = row / math.sqrt((row**2).sum())
        scaled = (unit - head.norm.running_mean.numpy()) / np.sqrt(head.norm.running_var.numpy() + head.norm.eps)
        np.testing.assert_allclose(got, head.linear.weight.detach().numpy() @ scaled, rtol=1e-4, atol=1e-6)


def test_one_step_by_hand() -> None:
    """SEVERE's first step: Adam moves every weight by its learning rate, against the sign of the gradient."""
    x, y = blobs(8, 0.5)
    one = SGD_RECIPES["severe"].model_copy(update={"epochs": 1})
    before = SgdHead(10, 4, normalised=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SGD_RECIPES, "severe", one)
        trained = LinearSgd().train("severe", stored(x), NOWHERE, y, torch.ones(8, dtype=torch.bool))
        patch.setitem(SGD_RECIPES, "severe", one.model_copy(update={"lr": 0.0}))
        before = LinearSgd().train("severe", stored(x), NOWHERE, y, torch.ones(8, dtype=torch.bool))
    shares = np.exp(x.numpy() @ before.linear.weight.detach().numpy().T)
    residual = shares / shares.sum(1, keepdims=True) - np.eye(4)[y]
    moved = (trained.linear.weight - before.linear.weight).detach().numpy()
    np.testing.assert_allclose(moved, -0.01 * np.sign(residual.T @ x.numpy()), rtol=1e-3)


@pytest.mark.parametrize("name", SGD_RECIPES)
def test_with_many_videos_it_comes_near_the_probe_by_lbfgs(name: str) -> None:
    (x, y), (test, test_y) = blobs(1200, 1.5), blobs(400, 1.5, seed=1)
    head = LinearSgd().train(name, stored(x), NOWHERE, y, torch.ones(1200, dtype=torch.bool))
    by_sgd = (head(test).argmax(1) == test_y).double().mean().item()
    assert by_sgd == pytest.approx(Linear().run(x[:400], y[:400], test, test_y).shares["linear"], abs=0.05)


def test_videos_that_could_not_be_read_are_not_learnt_from() -> None:
    x, y = blobs(64, 0.3)
    kept = torch.arange(64) < 40
    spoiled = torch.where(kept[:, None], x, torch.nan)
    heads = [LinearSgd().train("coclr", stored(features), NOWHERE, y, kept) for features in (x, spoiled)]
    assert torch.equal(heads[0].linear.weight, heads[1].linear.weight)


def test_a_loss_that_is_not_finite_is_one_message() -> None:
    x, y = blobs(16, 0.3)
    with pytest.raises(ReelvecError, match="the recipe slowfast"):
        LinearSgd().train("slowfast", stored(x * 1e38), NOWHERE, y, torch.ones(16, dtype=torch.bool))


def test_few_steps_are_noted() -> None:
    few, many = (LinearSgd().plan(torch.arange(n) % 3, torch.arange(9) % 3) for n in (70, 5000))
    assert list(few.chance) == ["linear coclr", "linear severe", "linear slowfast"]
    assert any("severe 20" in note for note in few.notes)
    assert not many.notes


def test_all_of_the_setting_is_printed() -> None:
    words = LinearSgd().protocol
    listed = ("L2 norm, batch norm", "lr 0.1 at batch 32", "100 epochs, x 0.1 after 60 and 80", "weight decay 0.001", "Adam")
    for word in (*listed, "lr 0.5", "8 epochs of warm-up"):
        assert word in words
