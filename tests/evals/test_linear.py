import numpy as np
import pytest
import torch

from reelvec.evals.linear import Linear, _Space, fit_logistic


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
    space = _Space(x)
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
    got = Linear().run(padded, y, torch.cat([test, torch.full((30, 3), 9.0)], 1), test_y)
    assert got["linear"] == 1.0


def test_c_is_picked_by_what_is_held_out() -> None:
    """Many features of noise beside few that tell: a weak penalty learns the noise by heart."""
    x, y = blobs(100, 6, 4, 0.8)
    noisy = torch.cat([x, 2 * torch.randn(100, 300, generator=torch.Generator().manual_seed(0)).double()], 1)
    c = Linear().pick(noisy, y, 4)
    assert c < 1
    train_fits = _Space(noisy)(noisy)
    weights = fit_logistic(train_fits, y, 4, 1e3)
    assert ((train_fits @ weights[:-1] + weights[-1]).argmax(1) == y).all()


def test_a_plateau_under_strong_penalties_does_not_end_the_search() -> None:
    """The classes differ by what two features differ by, which only a weak penalty lets the fit see.

    Before that comes a stretch of C where all fits agree, and held-out videos get no better from one to the next.
    """
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(80) % 2
    common = torch.randn(80, generator=generator)
    x = torch.stack([common + 0.05 * (2 * y - 1), common], 1).double()
    plateau = tuple(n * 1e-6 for n in range(1, 8))
    assert Linear(strengths=(*plateau, 1e5)).pick(x, y, 2) == 1e5


def test_test_labels_have_no_part_in_the_fit() -> None:
    x, y = blobs(60, 6, 3, 1.5)
    test, test_y = blobs(300, 6, 3, 1.5, seed=1)
    right = Linear().run(x, y, test, test_y)
    wrong = Linear().run(x, y, test, (test_y + 1) % 3)
    assert right["linear_c"] == wrong["linear_c"]
    assert right["linear"] > 0.6 > wrong["linear"]


def test_groups_stay_together_when_c_is_picked() -> None:
    labels = torch.arange(40) % 2
    groups = torch.arange(40) // 4
    masks = Linear()._held_out(labels, groups)
    for mask in masks:
        assert not set(groups[mask].tolist()) & set(groups[~mask].tolist())
    assert torch.stack(masks).sum(0).max() == 1


def test_every_training_video_is_held_out_once() -> None:
    masks = Linear()._held_out(torch.arange(83) % 6, None)
    assert torch.stack(masks).sum(0).tolist() == [1] * 83
    assert len(Linear()._held_out(torch.arange(1001) % 6, None)) == 1


def test_a_class_of_one_video_does_not_stop_it() -> None:
    x, y = blobs(31, 4, 3, 0.2)
    y[-1] = 3
    assert Linear().run(x, y, x, y)["linear"] > 0.9
