import numpy as np
import pytest
import torch

from reelvec.evals.knn import Knn, knn_scores


def slow_scores(
    train: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int, k: int, temperature: float
) -> np.ndarray:
    scores = np.zeros((len(queries), classes))
    for i, query in enumerate(queries):
        similarity = [float(query @ x / np.linalg.norm(query) / np.linalg.norm(x)) for x in train]
        for j in np.argsort(similarity)[::-1][:k]:
            scores[i, labels[j]] += np.exp(similarity[j] / temperature)
    return scores


@pytest.mark.parametrize("k", [1, 7, 20, 500])
def test_scores_equal_a_slow_version_up_to_the_factor_that_is_taken_off(k: int) -> None:
    rng = np.random.default_rng(k)
    train, queries = rng.normal(size=(40, 6)), rng.normal(size=(300, 6))  # more queries than a chunk
    labels = rng.integers(0, 4, 40)
    got = knn_scores(torch.tensor(train), torch.tensor(labels), torch.tensor(queries), 4, k, 0.07)
    slow = slow_scores(train, labels, queries, 4, min(k, 40), 0.07) * np.exp(-1 / 0.07)
    np.testing.assert_allclose(got.numpy(), slow, rtol=1e-9)


def test_a_near_neighbour_outweighs_many_far_ones() -> None:
    train = torch.tensor([[1.0, 0.0], *[[0.3, 1.0]] * 5])
    labels = torch.tensor([1, 0, 0, 0, 0, 0])
    got = Knn(k=6).run(train, labels, torch.tensor([[1.0, 0.05]]), torch.tensor([1])).shares
    assert got == {"knn": 1.0}


def test_scale_of_features_does_not_matter_and_does_not_overflow() -> None:
    generator = torch.Generator().manual_seed(0)
    train, test = torch.randn(30, 5, generator=generator), torch.randn(20, 5, generator=generator)
    labels, test_labels = torch.arange(30) % 3, torch.arange(20) % 3
    plain = Knn().run(train, labels, test, test_labels).shares
    assert plain == Knn().run(train * 1e4, labels, test * 1e-4, test_labels).shares
