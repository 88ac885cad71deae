import pytest
import torch

from reelvec.core import ReelvecError
from reelvec.evals.outcome import Answers, Outcome
from reelvec.evals.plan import Plan
from reelvec.evals.table import EVALS, Features, Numbered, concatenate, fill_table, seeded

AMONG_TEST_VIDEOS = ("fewshot", "similarity")
"""what learns nothing from training videos, and draws among test videos"""


def made(n: int, classes: int, spread: float, seed: int = 0) -> tuple[torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    centres = (torch.arange(8) % classes == torch.arange(classes)[:, None]).float()
    labels = [i % classes for i in range(n)]
    return centres[labels] + spread * torch.randn(n, 8, generator=generator), [f"class {i}" for i in labels]


@pytest.mark.parametrize("name", EVALS)
class TestEveryEval:
    """What a line in EVALS promises."""

    def run(self, name: str, spread: float) -> tuple[dict[str, float], list[str]]:
        """Return what a run finds and the columns of its plan: 60 videos to learn from, 30 to measure with."""
        features, _ = made(90, 3, spread)
        labels = torch.arange(90) % 3
        got = EVALS[name]().run(features[:60], labels[:60], features[60:], labels[60:]).shares
        return got, list(EVALS[name]().plan(labels[:60], labels[60:]).chance)

    def test_columns_are_shares_and_clear_classes_are_found(self, name: str) -> None:
        got, columns = self.run(name, 0.05)
        assert columns
        assert all(got[column] == 1.0 for column in columns)

    def test_noise_is_noise(self, name: str) -> None:
        got, columns = self.run(name, 100.0)
        assert got[columns[0]] < 0.7

    def test_it_repeats_and_leaves_the_global_generator_alone(self, name: str) -> None:
        state = torch.get_rng_state()
        assert self.run(name, 1.0) == self.run(name, 1.0)
        assert torch.equal(torch.get_rng_state(), state)

    def test_the_order_of_test_videos_does_not_matter(self, name: str) -> None:
        """It decides which ones an episode draws, and no more: within the interval of the draws."""
        features, _ = made(90, 3, 0.6)
        labels = torch.arange(90) % 3
        order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
        one = EVALS[name]()
        straight = one.run(features[:60], labels[:60], features[60:], labels[60:]).columns
        other = one.run(features[:60], labels[:60], features[60:][order], labels[60:][order]).columns
        for column in one.plan(labels[:60], labels[60:]).chance:
            room = 4 * (straight[column].half or 0.0) if name in AMONG_TEST_VIDEOS else 1e-6
            assert straight[column].mean == pytest.approx(other[column].mean, abs=room)

    def test_a_test_class_unknown_in_training_counts_as_wrong(self, name: str) -> None:
        features, _ = made(40, 2, 0.01)
        labels = torch.arange(40) % 2
        labels[-4:] = 7
        one = EVALS[name]()
        got = one.run(features[:20], labels[:20], features[20:], labels[20:]).shares
        *_, last = one.plan(labels[:20], labels[20:]).chance
        if name not in AMONG_TEST_VIDEOS:
            assert got[last] == 0.8

    def test_chance_is_a_share_for_every_column_and_notes_are_words(self, name: str) -> None:
        plan = EVALS[name]().plan(torch.arange(60) % 3, torch.arange(30) % 3)
        assert all(0 < share < 1 for share in list(plan.chance.values())[:2])
        assert all(isinstance(note, str) for note in plan.notes)

    def test_its_draws_are_by_seed(self, name: str) -> None:
        assert isinstance(seeded(name, 3), EVALS[name])
        assert getattr(seeded(name, 3), "seed", 3) == 3

    def test_its_protocol_is_said(self, name: str) -> None:
        assert len(EVALS[name]().protocol) > 20


def test_table_of_several_rows() -> None:
    good, labels = made(60, 3, 0.05)
    noise = [made(60, 3, 50.0, seed)[0] for seed in range(3)]
    test = [i >= 40 for i in range(60)]
    evals = {task: seeded(task, 0) for task in ("knn", "linear", "retrieval")}
    got = fill_table(evals, [Features("good", [good]), Features("noise", noise)], Numbered.of(labels, test))
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
    assert got["notes"] == []


def test_columns_of_draws_get_their_own_interval() -> None:
    good, labels = made(120, 3, 0.7)
    other = made(120, 3, 0.7, seed=1)[0]
    test = [i >= 80 for i in range(120)]
    evals = {task: seeded(task, 0) for task in ("fewshot", "knn")}
    got = fill_table(evals, [Features("both", [good, other])], Numbered.of(labels, test))
    assert got["columns"] == ["fewshot 3-way 1-shot", "fewshot 3-way 5-shot", "knn"]
    assert any("3-way" in note for note in got["notes"])
    row, chance = got["rows"]
    y, sides = torch.arange(120) % 3, torch.tensor(test)
    runs = [seeded("fewshot", 0).run(x[~sides], y[~sides], x[sides], y[sides]).columns for x in (good, other)]
    for column in got["columns"][:2]:
        half = sum(run[column].half or 0.0 for run in runs) / 2
        assert row["values"][column] == pytest.approx(sum(run[column].mean for run in runs) / 2)
        assert row["high"][column] - row["low"][column] == pytest.approx(2 * half)
        assert chance["values"][column] == pytest.approx(1 / 3)
    assert list(row["details"]) == ["each"]


def test_groups_reach_both_sides() -> None:
    """Test videos of one group are copies: asked for beside their copies, they would be found by any features."""
    labels = [f"class {i % 2}" for i in range(80)]
    noise = torch.randn(10, 8, generator=torch.Generator().manual_seed(0))
    groups = [f"group {i // 8}" for i in range(80)]
    features, test = (
        noise[[i // 8 for i in range(80)]] + torch.tensor([i % 2 for i in range(80)])[:, None],
        [i >= 40 for i in range(80)],
    )
    evals, rows = {"fewshot": seeded("fewshot", 0)}, [Features("copies", [features])]
    apart = fill_table(evals, rows, Numbered.of(labels, test, groups))
    mixed = fill_table(evals, rows, Numbered.of(labels, test))
    (one, _), (other, _) = apart["rows"], mixed["rows"]
    assert one["values"]["fewshot 2-way 1-shot"] < other["values"]["fewshot 2-way 1-shot"]


def test_side_by_side_no_part_outweighs_the_other() -> None:
    a, b = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.ones(5, 4) * 1e6
    torch.testing.assert_close(concatenate([a, b]).norm(dim=1), torch.full((5,), 2**0.5))


def test_what_trained_on_clips_stands_in_its_row_alone() -> None:
    good, labels = made(60, 3, 0.05)
    answers = Answers(torch.ones(20), named=torch.zeros(20, dtype=torch.long))
    trained = {"visual": Outcome({"finetune": answers}, {"steps": 7})}
    videos = Numbered.of(labels, [i >= 40 for i in range(60)])

    class Trains:
        protocol = "all weights"

        def plan(self, *labels: torch.Tensor | None) -> Plan:
            return Plan({"finetune": 0.3})

    rows = [Features("visual", [good]), Features("raw pixels", [good])]
    got = fill_table({"knn": seeded("knn", 0)}, rows, videos, {"finetune": Trains()}, trained)
    assert got["columns"] == ["knn", "finetune"]
    visual, pixels, chance = got["rows"]
    assert visual["values"] == {"knn": 1.0, "finetune": 1.0}
    assert visual["details"]["steps"] == 7
    assert list(pixels["values"]) == ["knn"]
    assert chance["values"]["finetune"] == 0.3
    assert list(got["answers"]["visual"]) == ["knn", "finetune"]


def test_settings_of_a_task_are_checked() -> None:
    assert getattr(seeded("knn", 0, {"k": 3}), "k", 0) == 3
    with pytest.raises(ReelvecError, match=r"k_: no such setting \(did you mean k\?\)"):
        seeded("knn", 0, {"k_": 3})
