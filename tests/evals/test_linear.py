import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reelvec.evals.linear import Linear, Space, fit_logistic, fit_parts, scaled_loss, standard


def blobs(n: int, d: int, classes: int, spread: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, d))
    labels = np.arange(n) % classes
    return torch.tensor(centres[labels] + spread * rng.normal(size=(n, d))), torch.tensor(labels)


@pytest.mark.parametrize("c", [1e-4, 0.03, 10.0])
def test_gradient_of_the_objective_is_zero_at_the_solution(c: float) -> None:
    """The objective is convex, so a point without gradient is the solution; the gradient is written out by hand."""
    x, y = blobs(50, 4, 3, 1.0)
    weights = fit_logistic(x, y, 3, c).numpy()
    inputs, targets = x.numpy(), np.eye(3)[y]
    logits = inputs @ weights[:-1] + weights[-1]
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    residual = (probabilities - targets) / len(x)
    assert np.abs(inputs.T @ residual + weights[:-1] / (c * len(x))).max() < 2e-5
    assert np.abs(residual.sum(0)).max() < 2e-5


def test_the_turn_into_the_span_of_the_videos_changes_no_prediction() -> None:
    x, y = blobs(30, 80, 3, 2.0)  # more features than videos
    test, _ = blobs(20, 80, 3, 2.0, seed=1)
    space = Space(x)
    assert space(x).shape[1] == 30
    straight = ((x - space.mean) * space.scale, (test - space.mean) * space.scale)
    turned = fit_logistic(space(x), y, 3, 0.1, iterations=2000)
    plain = fit_logistic(straight[0], y, 3, 0.1, iterations=2000)
    logits = (space(test) @ turned[:-1] + turned[-1], straight[1] @ plain[:-1] + plain[-1])
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=2e-3)


def test_constant_features_do_no_harm() -> None:
    x, y = blobs(60, 4, 3, 0.1)
    padded = torch.cat([x, torch.full((60, 3), 7.0)], 1)
    test, test_y = blobs(30, 4, 3, 0.1, seed=1)
    got = Linear().run(padded, y, torch.cat([test, torch.full((30, 3), 9.0)], 1), test_y).shares
    assert got["linear"] == 1.0


def test_parts_fitted_at_once_equal_parts_fitted_one_by_one() -> None:
    x, y = blobs(60, 6, 3, 1.5)
    kept = torch.rand(4, 60, generator=torch.Generator().manual_seed(0)) < 0.7
    together = fit_parts(x, y, 3, 0.1, kept, None, iterations=500, tolerance=1e-7)
    for part, mask in enumerate(kept):
        alone = fit_logistic(x[mask], y[mask], 3, 0.1, iterations=500, tolerance=1e-7)
        torch.testing.assert_close(together[:, part], alone, rtol=0, atol=1e-5)


def test_statistics_of_other_videos_can_standardise() -> None:
    x, _ = blobs(50, 6, 3, 1.0)
    space = Space(x[:10], standard(x))
    torch.testing.assert_close(space(x), (x - x.mean(0)) / x.std(0, correction=0))
    assert Space(x[:4], standard(x))(x).shape == (50, 4)


def test_c_is_picked_by_what_is_held_out() -> None:
    """Many features of noise beside few that tell: a weak penalty learns the noise by heart."""

    def side(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = blobs(n, 6, 4, 0.8, seed)
        return torch.cat([x, torch.randn(n, 60, generator=torch.Generator().manual_seed(seed)).double()], 1), y

    (x, y), (test, test_y) = side(100, 0), side(500, 1)
    space = Space(x)

    def accuracy(c: float) -> float:
        weights = fit_logistic(space(x), y, 4, c)
        return ((space(test) @ weights[:-1] + weights[-1]).argmax(1) == test_y).double().mean().item()

    c = Linear().pick(space(x), y, 4)
    assert c < 1
    assert accuracy(c) > accuracy(1e3) + 0.03


def test_scaled_loss_is_the_lowest_over_all_factors() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 3
    logits = torch.randn(40, 3, generator=generator).double() + 0.8 * F.one_hot(labels, 3)
    slow = min(float(F.cross_entropy(logits * factor, labels)) for factor in np.logspace(-3, 3, 4000))
    assert scaled_loss(logits, labels) == pytest.approx(slow, rel=1e-3)
    assert scaled_loss(1e-7 * logits, labels) == pytest.approx(scaled_loss(logits, labels))


def test_the_pick_has_the_lowest_loss_of_parts_fitted_one_by_one() -> None:
    x, y = blobs(90, 8, 3, 2.0)
    inputs, probe = Space(x)(x), Linear(seed=2)
    losses = {}
    for c in probe.strengths[::2]:
        logits = torch.zeros(90, 3).double()
        for mask in probe._held_out(y, None):
            weights = fit_logistic(inputs[~mask], y[~mask], 3, c)
            logits[mask] = inputs[mask] @ weights[:-1] + weights[-1]
        losses[c] = scaled_loss(logits, y)
    picked = Linear(seed=2, strengths=probe.strengths[::2]).pick(inputs, y, 3)
    assert losses[picked] <= 1.002 * min(losses.values())


def by_hits_of_one_part(probe: Linear, x: torch.Tensor, y: torch.Tensor, classes: int) -> float:
    """The rule up to issue 4, above 300 videos: most hits on one part; among equals the lowest loss."""
    held = probe._held_out(y, None)[:1]
    scores, weights = [], None
    for c in probe.strengths:
        weights = fit_parts(x, y, classes, c, ~held, weights, iterations=30, tolerance=1e-3)
        logits = (x[held[0]] @ weights[:-1, 0]) + weights[-1, 0]
        hits = int((logits.argmax(1) == y[held[0]]).sum())
        scores.append((hits, -float(F.cross_entropy(logits, y[held[0]])), c))
    return max(scores)[2]


def test_the_pick_varies_less_over_seeds_than_hits_of_one_part() -> None:
    x, y = blobs(320, 40, 8, 3.5)
    test, test_y = blobs(1000, 40, 8, 3.5, seed=1)
    space = Space(x)
    inputs = space(x)
    picked = {"before": [], "now": []}
    for seed in range(6):
        probe = Linear(seed=seed)
        picked["before"].append(by_hits_of_one_part(probe, inputs, y, 8))
        picked["now"].append(probe.pick(inputs, y, 8))
    spread = {name: np.std(np.log10(values)) for name, values in picked.items()}
    assert spread["now"] < 0.3 < spread["before"]

    def accuracy(c: float) -> float:
        weights = fit_logistic(inputs, y, 8, c)
        return ((space(test) @ weights[:-1] + weights[-1]).argmax(1) == test_y).double().mean().item()

    accuracies = {name: [accuracy(c) for c in values] for name, values in picked.items()}
    assert np.std(accuracies["now"]) < np.std(accuracies["before"])
    assert np.mean(accuracies["now"]) > np.mean(accuracies["before"])


def test_a_plateau_under_strong_penalties_does_not_end_the_search() -> None:
    """The classes differ by what two features differ by, which only a weak penalty lets the fit see.

    Before that comes a stretch of C where all fits agree, and held-out videos get no better from one to the next.
    """
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(80) % 2
    common = torch.randn(80, generator=generator)
    x = torch.stack([common + 0.05 * (2 * y - 1), common], 1).double()
    plateau = tuple(n * 1e-6 for n in range(1, 8))
    assert Linear(strengths=(*plateau, 1e5)).pick(Space(x)(x), y, 2) == 1e5


def test_test_labels_have_no_part_in_the_fit() -> None:
    x, y = blobs(60, 6, 3, 1.5)
    test, test_y = blobs(300, 6, 3, 1.5, seed=1)
    right = Linear().run(x, y, test, test_y)
    wrong = Linear().run(x, y, test, (test_y + 1) % 3)
    assert right.details["linear_c"] == wrong.details["linear_c"]
    assert right.shares["linear"] > 0.6 > wrong.shares["linear"]


def test_groups_stay_together_when_c_is_picked() -> None:
    labels = torch.arange(40) % 2
    groups = torch.arange(40) // 4
    masks = Linear()._held_out(labels, groups)
    for mask in masks:
        assert not set(groups[mask].tolist()) & set(groups[~mask].tolist())
    assert masks.sum(0).max() == 1


def test_every_training_video_is_held_out_once() -> None:
    masks = Linear()._held_out(torch.arange(83) % 6, None)
    assert masks.sum(0).tolist() == [1] * 83


def test_so_many_parts_as_hold_enough_videos() -> None:
    probe = Linear(enough_held_out=100)
    assert [len(probe._held_out(torch.arange(n) % 6, None)) for n in (80, 200, 1000)] == [5, 3, 1]


def test_where_nothing_can_be_held_out_c_is_fixed() -> None:
    x, y = blobs(12, 4, 3, 1.0)
    assert Linear().pick(x, y, 3, torch.zeros(12, dtype=torch.long)) == Linear().unpicked
    assert Linear().pick(x[:3], torch.arange(3), 3) == Linear().unpicked


def test_a_class_of_one_video_does_not_stop_it() -> None:
    x, y = blobs(31, 4, 3, 0.2)
    y[-1] = 3
    assert Linear().run(x, y, x, y).shares["linear"] > 0.9
