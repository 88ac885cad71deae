"""The same numbers as plain NumPy and as scikit-learn, on features with noise: what a reader would write to check ours."""

import numpy as np
import pytest
import torch

from reelvec.evals.knn import Knn
from reelvec.evals.linear import fit_logistic
from reelvec.evals.retrieval import Retrieval


@pytest.fixture
def noisy() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 12))
    y, test_y = np.arange(150) % 5, np.arange(80) % 5
    return centres[y] + 1.5 * rng.normal(size=(150, 12)), y, centres[test_y] + 1.5 * rng.normal(size=(80, 12)), test_y


def cosines(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    return (test / np.linalg.norm(test, axis=1)[:, None]) @ (train / np.linalg.norm(train, axis=1)[:, None]).T


def test_knn(noisy: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    train, y, test, test_y = noisy
    named = []
    for row in cosines(train, test):
        nearest = np.argsort(-row)[:20]
        votes = [np.exp(row[nearest][y[nearest] == label] / 0.07).sum() for label in range(5)]
        named.append(int(np.argmax(votes)))
    got = Knn().run(*map(torch.tensor, (train, y, test, test_y))).columns["knn"]
    assert got.named is not None
    assert got.named.tolist() == named
    assert 0.3 < got.mean == pytest.approx(np.mean(np.array(named) == test_y))


def test_retrieval(noisy: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    train, y, test, test_y = noisy
    order = np.argsort(-cosines(train, test), axis=1)
    got = Retrieval().run(*map(torch.tensor, (train, y, test, test_y))).shares
    for k in (1, 5, 10, 20, 50):
        assert got[f"R@{k}"] == pytest.approx(np.mean((y[order[:, :k]] == test_y[:, None]).any(1)))


@pytest.mark.parametrize("c", [0.01, 1.0])
def test_logistic_regression(noisy: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], c: float) -> None:
    linear_model = pytest.importorskip(
        "sklearn.linear_model", reason="scikit-learn is not installed: pip install 'reelvec[eval]'"
    )
    train, y, test, _ = noisy
    theirs = linear_model.LogisticRegression(C=c, max_iter=5000, tol=1e-10).fit(train, y)
    weights = fit_logistic(torch.tensor(train), torch.tensor(y), 5, c, iterations=2000, tolerance=1e-9)
    ours = (torch.tensor(test) @ weights[:-1] + weights[-1]).softmax(1)
    np.testing.assert_allclose(ours.numpy(), theirs.predict_proba(test), atol=2e-4)
