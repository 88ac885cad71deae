import numpy as np
import pytest
import torch

from reelvec.evals.fewshot import Fewshot, _usable, episode_accuracies


def slow_episode(features: np.ndarray, shots: np.ndarray, queries: np.ndarray) -> float:
    """One episode, video by video, written from the protocol."""
    means = []
    for videos in shots:
        units = [features[v] / np.linalg.norm(features[v]) for v in videos]
        means.append(sum(units) / len(units))
    of_class = []
    for way, videos in enumerate(queries):
        hits = []
        for v in videos:
            if v >= 0:
                cosines = [features[v] @ mean / np.linalg.norm(features[v]) / np.linalg.norm(mean) for mean in means]
                hits.append(int(np.argmax(cosines)) == way)
        of_class.append(sum(hits) / len(hits))
    return sum(of_class) / len(of_class)


def noisy(n: int, classes: int, seed: int = 0, d: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = np.random.default_rng(9).normal(size=(classes, d))
    return torch.tensor(centres[labels] + rng.normal(size=(n, d)) + 1), torch.tensor(labels)


@pytest.mark.parametrize("shots", [1, 5])
@pytest.mark.parametrize("grouped", [False, True])
def test_accuracy_and_interval_equal_a_slow_version(shots: int, grouped: bool) -> None:
    x, y = noisy(91, 7)
    groups = torch.arange(91) // 14 if grouped else None
    one = Fewshot(episodes=70, shots=(shots,), seed=3)
    got = one.run(x[:0], y[:0], x, y, None, groups).columns[f"fewshot 5-way {shots}-shot"]
    slow = np.array([slow_episode(x.numpy(), *episode) for episode in one.drawn(_usable(y, groups, shots), shots)])
    assert got.mean == pytest.approx(slow.mean())
    assert got.half == pytest.approx(1.96 * slow.std() / 70**0.5)
    assert 0.3 < slow.mean() < 0.99


@pytest.mark.parametrize("grouped", [False, True])
def test_episodes_are_drawn_as_said(grouped: bool) -> None:
    labels = torch.arange(180) % 8
    groups = torch.arange(180) // 9 if grouped else torch.arange(180)
    episodes = list(Fewshot(episodes=40).drawn(_usable(labels, groups if grouped else None, 5), 5))
    chosen = set()
    for shown, asked in episodes:
        assert (shown.shape, asked.shape) == ((5, 5), (5, 15))
        classes = labels[torch.from_numpy(shown)]
        assert (classes == classes[:, :1]).all()
        assert len(set(classes[:, 0].tolist())) == 5
        chosen |= set(classes[:, 0].tolist())
        for way in range(5):
            videos = asked[way][asked[way] >= 0]
            assert 0 < len(set(videos.tolist())) == len(videos)
            assert (labels[torch.from_numpy(videos)] == classes[way, 0]).all()
            assert not set(groups[torch.from_numpy(videos)].tolist()) & set(groups[torch.from_numpy(shown[way])].tolist())
    assert chosen == set(range(8))


def test_episodes_are_a_function_of_seed_and_number() -> None:
    usable = _usable(torch.arange(120) % 6, None, 1)
    few, many = (list(Fewshot(episodes=n).drawn(usable, 1)) for n in (10, 20))
    other = list(Fewshot(episodes=10, seed=1).drawn(usable, 1))
    assert all((a[0] == b[0]).all() and (a[1] == b[1]).all() for a, b in zip(few, many[:10], strict=True))
    assert any((a[0] != b[0]).any() for a, b in zip(few, other, strict=True))


def test_every_row_gets_the_same_episodes() -> None:
    """Features that differ by a turn and a scale have the same angles, and so exactly the same hits."""
    x, y = noisy(100, 5)
    turn = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q
    straight, turned = Fewshot().run(x, y, x, y).shares, Fewshot().run(x, y, 7 * x @ turn, y).shares
    assert straight == pytest.approx(turned)


def test_constant_features_are_at_chance() -> None:
    y = torch.arange(100) % 5
    got = Fewshot(episodes=20).run(torch.ones(4, 3), y[:4], torch.ones(100, 3), y).columns["fewshot 5-way 1-shot"]
    assert got.mean == pytest.approx(0.2)
    assert got.half == pytest.approx(0.0)


def test_classes_weigh_alike_whatever_their_queries() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [1.0, 0.1], [1.0, 0.1]])
    shots = torch.tensor([[[0], [1]]])
    queries = torch.tensor([[[2, 3], [4, -1]]])
    assert episode_accuracies(features, shots, queries).tolist() == [0.5]


def test_centring_takes_the_training_mean_off() -> None:
    x, y = noisy(100, 5)
    far = x + 100.0
    got = Fewshot(centred=True).run(far, y, far, y).shares
    assert got == pytest.approx(Fewshot(centred=True).run(x, y, x, y).shares)
    assert got["fewshot 5-way 1-shot"] > Fewshot().run(far, y, far, y).shares["fewshot 5-way 1-shot"] + 0.01


def test_the_plan_says_what_the_videos_allow() -> None:
    train, test = torch.arange(30) % 3, torch.tensor([0] * 9 + [1] * 9 + [2] * 3 + [3])
    plan = Fewshot().plan(train, test)
    assert dict(plan.chance) == {"fewshot 3-way 1-shot": 1 / 3, "fewshot 2-way 5-shot": 1 / 2}
    assert any("3 of them also have training videos" in note for note in plan.notes)
    assert any("at most 2 queries" in note for note in plan.notes)
    assert list(Fewshot().run(torch.ones(30, 2), train, torch.ones(22, 2), test).columns) == list(plan.chance)
    fresh = Fewshot().plan(train + 4, test)
    assert any("none of them has a training video" in note for note in fresh.notes)


def test_a_class_of_a_single_group_takes_no_part() -> None:
    test, groups = torch.tensor([0] * 8 + [1] * 8), torch.tensor([0] * 4 + [1] * 4 + [2] * 8)
    plan = Fewshot().plan(test, test, groups)
    assert not plan.chance
    assert any("no 1-shot column" in note for note in plan.notes)
    assert Fewshot().run(torch.ones(16, 2), test, torch.ones(16, 2), test, groups, groups).shares == {}
