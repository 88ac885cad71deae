import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reelvec.evals.similarity import Similarity, _pairs, area_under_curve, best_threshold

values = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=20)


@given(values)
def test_no_threshold_is_better(pairs: list[tuple[int, bool]]) -> None:
    cosine, same = torch.tensor([float(c) for c, _ in pairs]), torch.tensor([s for _, s in pairs])
    got = best_threshold(cosine, same)
    every = [c + d for c in cosine.tolist() for d in (-0.5, 0.5)]
    right = {t: int(((cosine > t) == same).sum()) for t in [*every, got]}
    assert right[got] == max(right.values())


@given(values.filter(lambda pairs: len({s for _, s in pairs}) == 2))
def test_area_equals_counting_all_pairs_of_pairs(pairs: list[tuple[int, bool]]) -> None:
    ours, others = [c for c, s in pairs if s], [c for c, s in pairs if not s]
    slow = np.mean([(a > b) + (a == b) / 2 for a, b in itertools.product(ours, others)])
    cosine, same = torch.tensor([float(c) for c, _ in pairs]), torch.tensor([s for _, s in pairs])
    assert area_under_curve(cosine, same) == pytest.approx(slow)


def test_pairs_are_balanced_different_and_of_two_groups() -> None:
    y, groups = torch.arange(60) % 4, torch.arange(60) // 5
    drawn = Similarity(pairs=40).drawn(y, groups)
    assert drawn is not None
    pairs, same = drawn
    assert pairs.shape == (10, 40, 2)
    assert same.sum(1).tolist() == [20] * 10
    assert ((y[pairs[..., 0]] == y[pairs[..., 1]]) == same).all()
    assert (groups[pairs[..., 0]] != groups[pairs[..., 1]]).all()
    assert len({tuple(pair) for pair in pairs.flatten(0, 1).tolist()}) == 400


def test_many_videos_are_drawn_and_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelvec.evals.similarity._FEW", 10)
    y, rng = np.arange(300) % 3, np.random.default_rng(0)
    got = _pairs(y, np.arange(300), True, 500, rng)
    assert len(np.unique(got, axis=0)) == len(got) == 500
    assert (y[got[:, 0]] == y[got[:, 1]]).all()
    assert (got[:, 0] < got[:, 1]).all()


def test_few_pairs_are_said_and_none_is_no_column() -> None:
    plan = Similarity().plan(torch.arange(3), torch.arange(30) % 3)
    assert list(plan.chance.values()) == [0.5, 0.5]
    assert "26 pairs in each of 10 folds" in plan.notes[0]
    none = Similarity().plan(torch.arange(3), torch.arange(8))
    assert (dict(none.chance), len(none.notes)) == ({}, 1)
    assert not Similarity().run(torch.ones(3, 2), torch.arange(3), torch.ones(8, 2), torch.arange(8)).columns


def test_a_threshold_comes_from_the_other_folds() -> None:
    """Cosines of two classes on one circle: pairs within are nearer than pairs across, whatever the scale of the features."""
    angle = torch.tensor([0.0, 1.5]).repeat(40) + 0.2 * torch.randn(80, generator=torch.Generator().manual_seed(0))
    features = torch.stack([angle.cos(), angle.sin()], 1)
    y = torch.arange(80) % 2
    got = Similarity().run(features, y, 5 * features, y).shares
    assert got["similarity"] > 0.97
    assert got["similarity AUC"] > 0.99
