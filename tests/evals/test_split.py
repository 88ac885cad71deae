from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reelvec.evals.split import hold_out


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(0, 10**6))
def test_each_class_gives_its_share_and_keeps_one(labels: list[int], seed: int) -> None:
    held = hold_out(labels, None, 0.3, np.random.default_rng(seed))
    assert (held == hold_out(labels, None, 0.3, np.random.default_rng(seed))).all()
    for label, count in Counter(labels).items():
        out = sum(h for h, x in zip(held, labels, strict=True) if x == label)
        assert out < count
        assert abs(out - 0.3 * count) < 1 or count <= 3


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=2, max_size=80), st.integers(0, 10**6))
def test_groups_are_never_parted_and_no_class_is_emptied(videos: list[tuple[int, int]], seed: int) -> None:
    labels, groups = [v[0] for v in videos], [v[1] for v in videos]
    held = hold_out(labels, groups, 0.3, np.random.default_rng(seed))
    assert not {g for g, h in zip(groups, held, strict=True) if h} & {g for g, h in zip(groups, held, strict=True) if not h}
    assert {x for x, h in zip(labels, held, strict=True) if not h} == set(labels)


def test_groups_come_near_the_share() -> None:
    labels, groups = [i % 5 for i in range(200)], [i // 5 for i in range(200)]
    assert 50 <= hold_out(labels, groups, 0.3, np.random.default_rng(0)).sum() <= 70


def test_seeds_differ() -> None:
    labels = [0] * 50 + [1] * 50
    a, b = (hold_out(labels, None, 0.3, np.random.default_rng(seed)) for seed in (0, 1))
    assert (a != b).any()
