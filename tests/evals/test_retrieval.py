import numpy as np
import torch

from reelvec.evals.retrieval import Retrieval


def test_recall_equals_a_slow_version() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(60, 5)), rng.normal(size=(300, 5))
    labels, test_labels = rng.integers(0, 9, 60), rng.integers(0, 9, 300)
    got = Retrieval().run(*map(torch.tensor, (train, labels, test, test_labels))).shares
    for k in (1, 5, 10, 20, 50):
        hits = 0
        for query, label in zip(test, test_labels, strict=True):
            cosine = train @ query / np.linalg.norm(train, axis=1) / np.linalg.norm(query)
            hits += label in labels[np.argsort(-cosine)[:k]]
        assert got[f"R@{k}"] == hits / 300


def test_a_query_that_stands_in_the_gallery_is_found_first() -> None:
    features = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40)
    assert Retrieval().run(features, labels, features, labels).shares["R@1"] == 1.0


def test_random_features_hit_by_chance() -> None:
    generator = torch.Generator().manual_seed(1)
    train, test = torch.randn(1000, 16, generator=generator), torch.randn(2000, 16, generator=generator)
    got = Retrieval(at=(1,)).run(train, torch.arange(1000) % 100, test, torch.arange(2000) % 100).shares["R@1"]
    assert 0.002 < got < 0.025


def test_k_beyond_the_gallery_is_the_whole_gallery() -> None:
    got = Retrieval().run(torch.eye(3), torch.tensor([0, 1, 1]), torch.eye(3), torch.tensor([0, 1, 2])).shares
    assert got["R@50"] == 2 / 3
