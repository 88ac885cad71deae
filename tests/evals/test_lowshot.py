import math

import numpy as np
import pytest
import torch

from reelvec.evals.linear import Linear, Space, fit_logistic, standard
from reelvec.evals.lowshot import Lowshot


def noisy(n: int, classes: int, seed: int = 0, d: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = np.random.default_rng(9).normal(size=(classes, d))
    return torch.tensor(centres[labels] + rng.normal(size=(n, d))), torch.tensor(labels)


def test_more_videos_know_more() -> None:
    (x, y), (test, test_y) = noisy(240, 4), noisy(200, 4, seed=1)
    got = Lowshot().run(x, y, test, test_y).shares
    columns = [
        "lowshot 1%",
        "lowshot 10%",
        "lowshot 1 a class",
        "lowshot 5 a class",
        "lowshot 10 a class",
        "lowshot 20 a class",
    ]
    assert list(got) == columns == list(Lowshot().plan(y, test_y).chance)
    assert got["lowshot 1%"] < got["lowshot 10%"] < got["lowshot 20 a class"]
    assert got["lowshot 1%"] == got["lowshot 1 a class"]  # one of each class at least: the same draws


def test_a_column_equals_the_probe_written_out() -> None:
    (x, y), (test, test_y) = noisy(120, 3), noisy(90, 3, seed=1)
    one = Lowshot(shares=(), per_class=(2, 8), draws=3, seed=4)
    got = one.run(x, y, test, test_y).columns
    for n in (2, 8):
        shares = []
        for draw in range(3):
            drawn = torch.cat([videos[:n] for videos in one._order(y, draw).values()])
            space = Space(x[drawn], standard(x))
            c = Linear(seed=4).pick(space(x[drawn]), y[drawn], 3) if n == 8 else 10**-1.5
            weights = fit_logistic(space(x[drawn]), y[drawn], 3, c)
            shares.append(((space(test) @ weights[:-1] + weights[-1]).argmax(1) == test_y).double().mean().item())
        assert got[f"lowshot {n} a class"].mean == pytest.approx(np.mean(shares))
        assert got[f"lowshot {n} a class"].half == pytest.approx(4.303 * np.std(shares, ddof=1) / math.sqrt(3))


def test_draws_are_stratified_nested_and_by_seed() -> None:
    y = torch.tensor([0] * 60 + [1] * 24 + [3] * 7)
    one = Lowshot()
    assert one._wanted(y) == {
        "lowshot 1%": {0: 1, 1: 1, 3: 1},
        "lowshot 10%": {0: 6, 1: 2, 3: 1},
        "lowshot 1 a class": {0: 1, 1: 1, 3: 1},
        "lowshot 5 a class": {0: 5, 1: 5, 3: 5},
    }
    first, again, second, other = one._order(y, 0), one._order(y, 0), one._order(y, 1), Lowshot(seed=1)._order(y, 0)
    for label in (0, 1, 3):
        assert (y[first[label]] == label).all()
        assert torch.equal(first[label], again[label])
        assert len(set(first[label].tolist())) == int((y == label).sum())
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0], other[0])


def test_the_plan_says_what_the_videos_allow() -> None:
    y = torch.arange(40) % 4
    plan = Lowshot().plan(y, torch.tensor([0, 1, 2, 3, 9]))
    assert list(plan.chance) == ["lowshot 1%", "lowshot 10%", "lowshot 1 a class", "lowshot 5 a class"]  # 10 are all
    assert plan.chance["lowshot 1 a class"] == pytest.approx(4 / 5 / 4)
    assert any("lowshot 1%: 4 of 40" in note for note in plan.notes)
    assert any("10, 20 a class" in note for note in plan.notes)


def test_chance_names_the_largest_class_among_the_drawn() -> None:
    y = torch.tensor([0] * 60 + [1] * 20)
    plan = Lowshot().plan(y, torch.tensor([0] * 9 + [1]))
    assert plan.chance["lowshot 10%"] == pytest.approx(0.9)
    assert plan.chance["lowshot 5 a class"] == pytest.approx(0.5)


def test_labels_that_are_not_drawn_have_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    (x, y), (test, test_y) = noisy(90, 3), noisy(90, 3, seed=1)
    one = Lowshot(shares=(), per_class=(5,), draws=2)
    orders = [one._order(y, draw) for draw in range(2)]
    # which videos are drawn follows from the labels: it is held fast here
    monkeypatch.setattr(Lowshot, "_order", lambda self, labels, draw: orders[draw])
    wrong = (y + 1) % 3
    for order in orders:
        for videos in order.values():
            wrong[videos[:5]] = y[videos[:5]]
    assert (wrong != y).sum() >= 60
    assert one.run(x, wrong, test, test_y).shares == one.run(x, y, test, test_y).shares


def test_groups_stay_together_when_c_is_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = noisy(120, 3)
    groups = torch.arange(120) // 12
    seen = []
    held_out = Linear._held_out
    monkeypatch.setattr(Linear, "_held_out", lambda self, y, g: seen.append((held_out(self, y, g), g)) or seen[-1][0])
    Lowshot(shares=(), per_class=(10,), draws=2).run(x, y, x, y, groups)
    assert len(seen) == 2
    for masks, inside in seen:
        for mask in masks:
            assert not set(inside[mask].tolist()) & set(inside[~mask].tolist())
