from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reelvec.backbones import build_encoder
from reelvec.core import ReelvecError
from reelvec.evals.heads.attentive import Attentive, Rate
from reelvec.evals.heads.augment import PAPERS
from reelvec.evals.heads.look_store import LookStore
from reelvec.evals.heads.looks import encode
from reelvec.evals.table import with_settings
from tests.evals.heads.clip_cases import Case, coloured, small_encoder


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Case:
    return coloured(tmp_path_factory.mktemp("coloured"), make_video, 18)


def test_too_many_tokens_are_refused_before_anything_is_read(case: Case) -> None:
    with pytest.raises(ReelvecError, match="tokens of 12 numbers each"):
        case.run(Attentive(memory_gb=0.0, disk_gb=0.0))


def test_heads_beside_each_other_equal_heads_alone(case: Case) -> None:
    rates = (Rate(lr=1e-3, weight_decay=0.1), Rate(lr=3e-3, weight_decay=0.0))
    one, source = Attentive(epochs=1, least_steps=6, batch=4), case.source()
    with LookStore(9, 2, 4, 12, 1.0, 0.0) as store:
        generator = torch.Generator().manual_seed(0)
        for look in range(2):
            store.put(list(range(9)), look, torch.randn(9, 4, 12, generator=generator))
        labels, kept = torch.arange(9) % 3, torch.ones(9, dtype=torch.bool)
        both = one.train(store, source, labels, kept, 3, rates)
        for head, rate in zip(both, rates, strict=True):
            (alone,) = one.train(store, source, labels, kept, 3, [rate])
            assert all(torch.equal(a, b) for a, b in zip(head.parameters(), alone.parameters(), strict=True))
    assert not torch.equal(both[0].linear.weight, both[1].linear.weight)


def test_the_rate_is_picked_by_held_out_videos(case: Case) -> None:
    """One rate leaves the head where it starts, another one throws it far away."""
    idle, good, wild = (Rate(lr=lr, weight_decay=0.01) for lr in (1e-9, 1e-2, 1e4))
    found = case.run(Attentive(rates=(idle, wild, good), epochs=5, least_steps=20, looks=1))
    assert found.details["attentive_lr"] == 1e-2
    assert found.shares["attentive"] > 0.8


def test_where_nothing_can_be_held_out_the_papers_rate_is_taken(case: Case) -> None:
    groups = torch.zeros(18, dtype=torch.long)
    found = case.run(Attentive(epochs=2, least_steps=4, looks=1), groups=groups)
    assert found.details["attentive_lr"] == 1e-3


def test_tokens_of_several_layers_are_looked_at_together(case: Case) -> None:
    pytest.importorskip("transformers")
    config = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "crop_size": 16, "patch_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = build_encoder("vjepa2", 3, config=config).eval()
    clips = torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    tokens = encode(encoder, clips, False, (0, -1))
    assert tokens.shape == (2, 2 * 8, 32)
    torch.testing.assert_close(tokens[:, 8:], encode(encoder, clips, False))
    torch.testing.assert_close(tokens[:, :8], encode(encoder, clips, False, (0,)))
    one = Attentive(layers=(0, -1), epochs=2, least_steps=20, looks=1, rates=(Rate(lr=3e-3, weight_decay=0.01),))
    assert "and of the layers 0, -1 joined" in one.protocol
    assert case.run(one, encoder).shares["attentive"] > 0.6
    assert with_settings(Attentive, "attentive", 0, {"layers": -1}).layers == (-1,)  # as attentive.layers=-1 gives it
    with pytest.raises(ReelvecError, match="leave layers out"):
        case.run(one, small_encoder())


def test_drawn_looks_are_augmented_where_that_is_asked_for(case: Case) -> None:
    plain = Attentive(epochs=1, least_steps=4, looks=2, rates=(Rate(lr=3e-3, weight_decay=0.01),))
    disturbed = plain.model_copy(update={"augment": PAPERS})
    assert "RandAugment" in disturbed.protocol
    assert "RandAugment" not in plain.protocol
    one, other = (case.run(probe).columns["attentive"].sure for probe in (plain, disturbed))
    assert not torch.equal(one, other)


def test_recipes_are_the_papers_settings_and_can_be_changed() -> None:
    jepa, jepa2 = Attentive(recipe="vjepa"), Attentive(recipe="vjepa2")
    assert (jepa.depth, jepa.batch, jepa.segments, len(jepa.rates)) == (1, 256, 8, 1)
    assert (jepa2.depth, jepa2.heads, jepa2.batch, jepa2.segments, len(jepa2.rates)) == (4, 16, 256, 8, 20)
    assert (jepa2.crop.area, jepa2.augment.operations, jepa2.augment.erasing) == ((0.08, 1.0), 4, 0.25)
    assert jepa2.crop.flip == 0
    changed = Attentive.model_validate({"recipe": "vjepa2", "segments": 2, "augment": {"erasing": 0.0}})
    assert (changed.segments, changed.depth, changed.augment.operations, changed.augment.erasing) == (2, 4, 4, 0.0)
    assert jepa2.protocol.startswith("recipe vjepa2; attentive probe")
    assert Attentive().protocol.startswith("attentive probe")
    with pytest.raises(ReelvecError, match="recipe = 'vjepa3'"):
        with_settings(Attentive, "attentive", 0, {"recipe": "vjepa3"})
