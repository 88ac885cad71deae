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


def test_noise_asks_for_a_stronger_penalty_than_clean_classes() -> None:
    clean, y = blobs(100, 10, 4, 0.5)
    noisy = torch.cat([blobs(100, 10, 4, 3.0)[0], torch.randn(100, 150, generator=torch.Generator().manual_seed(0))], 1)
    assert Linear().pick(noisy.double(), y, 4) < Linear().pick(clean, y, 4) or Linear().pick(noisy.double(), y, 4) < 0.1


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
