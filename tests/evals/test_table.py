import math

import pytest
import torch

from reelvec.evals.table import EVALS, Features, concatenate, fill_table, wilson


def made(n: int, classes: int, spread: float, seed: int = 0) -> tuple[torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.eye(classes, 8)
    labels = [i % classes for i in range(n)]
    return centres[labels] + spread * torch.randn(n, 8, generator=generator), [f"class {i}" for i in labels]


@pytest.mark.parametrize("name", EVALS)
class TestEveryEval:
    """What a line in EVALS promises."""

    def run(self, name: str, spread: float) -> dict[str, float]:
        features, _ = made(90, 3, spread)
        labels = torch.arange(90) % 3
        return EVALS[name]().run(features[:60], labels[:60], features[60:], labels[60:])

    def test_columns_are_shares_and_clear_classes_are_found(self, name: str) -> None:
        got = self.run(name, 0.05)
        assert all(got[column] == 1.0 for column in EVALS[name]().columns)

    def test_noise_is_noise(self, name: str) -> None:
        got = self.run(name, 100.0)
        assert got[EVALS[name]().columns[0]] < 0.7

    def test_it_repeats_and_leaves_the_global_generator_alone(self, name: str) -> None:
        state = torch.get_rng_state()
        assert self.run(name, 1.0) == self.run(name, 1.0)
        assert torch.equal(torch.get_rng_state(), state)

    def test_the_order_of_test_videos_does_not_matter(self, name: str) -> None:
        features, _ = made(90, 3, 0.6)
        labels = torch.arange(90) % 3
        order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
        one = EVALS[name]()
        straight = one.run(features[:60], labels[:60], features[60:], labels[60:])
        assert straight == pytest.approx(one.run(features[:60], labels[:60], features[60:][order], labels[60:][order]))

    def test_a_test_class_unknown_in_training_counts_as_wrong(self, name: str) -> None:
        features, _ = made(40, 2, 0.01)
        labels = torch.arange(40) % 2
        labels[-4:] = 7
        got = EVALS[name]().run(features[:20], labels[:20], features[20:], labels[20:])
        assert got[EVALS[name]().columns[-1]] == 0.8

    def test_its_protocol_is_said(self, name: str) -> None:
        assert len(EVALS[name]().protocol) > 20


def test_wilson_known_values() -> None:
    low, high = wilson(0.5, 100)
    assert (low, high) == pytest.approx((0.40383, 0.59617), abs=1e-4)
    assert wilson(0.0, 10)[0] == 0.0
    assert wilson(0.0, 10)[1] == pytest.approx(0.27753, abs=1e-4)
    assert wilson(1.0, 10)[1] == pytest.approx(1.0)


def test_wilson_bounds_solve_the_score_equation() -> None:
    for bound in wilson(0.3, 37):
        assert abs(0.3 - bound) / math.sqrt(bound * (1 - bound) / 37) == pytest.approx(1.959964, abs=1e-5)


def test_table_of_several_rows() -> None:
    good, labels = made(60, 3, 0.05)
    noise = [made(60, 3, 50.0, seed)[0] for seed in range(3)]
    test = [i >= 40 for i in range(60)]
    evals = [EVALS["knn"](), EVALS["linear"](), EVALS["retrieval"]()]
    got = fill_table(evals, [Features("good", [good]), Features("noise", noise)], labels, test)
    assert got["columns"] == ["knn", "linear", "R@1", "R@5", "R@10", "R@20", "R@50"]
    assert (got["train"], got["test"], got["classes"]) == (40, 20, ["class 0", "class 1", "class 2"])
    first, second, chance = got["rows"]
    assert first["values"]["knn"] == 1.0
    assert first["low"]["knn"] < 0.9 < first["high"]["knn"]
    assert second["values"]["knn"] == pytest.approx(sum(second["details"]["each"]["knn"]) / 3)
    assert len(second["details"]["linear_c"]) == 3
    assert chance["name"] == "chance"
    assert chance["values"]["knn"] == pytest.approx(6 / 20)
    assert 0.3 < chance["values"]["R@1"] < 0.35


def test_side_by_side_no_part_outweighs_the_other() -> None:
    a, b = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.ones(5, 4) * 1e6
    torch.testing.assert_close(concatenate([a, b]).norm(dim=1), torch.full((5,), 2**0.5))
