from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reelvec.evals.heads.attentive import Attentive
from reelvec.evals.heads.look_store import LookStore, fill, shuffled, tokens_of_clip
from reelvec.evals.heads.looks import RandomCrop
from tests.evals.heads.clip_cases import Case, coloured, small_encoder


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Case:
    return coloured(tmp_path_factory.mktemp("coloured"), make_video, 18)


def test_tokens_of_all_clips_stand_in_a_row(case: Case) -> None:
    encoder, source = small_encoder(), case.source()
    tokens, dim = tokens_of_clip(encoder, source)
    assert (tokens, dim) == (8, 12)
    with LookStore(18, 2, 3 * tokens, dim, 1.0, 0.0) as store:
        found = fill(store, encoder, source, case.rows, clips=3, shown=RandomCrop(), pooled=False, seed=0)
        assert found.all()
        even, drawn = (store.take([4, 7], look).numpy() for look in (0, 1))
        assert even.shape == (2, 24, 12)
        # clips are at the beginning, in the middle and at the end, and show other frames
        assert np.abs(even[:, :8] - even[:, 8:16]).max() > 1e-3
        assert np.abs(even - drawn).max() > 1e-3
    with LookStore(18, 1, tokens, dim, 1.0, 0.0) as alone:
        fill(alone, encoder, source, case.rows, clips=1, shown=RandomCrop(), pooled=False, seed=0)
        np.testing.assert_array_equal(alone.take([4, 7], 0).numpy(), even[:, 8:16])


def test_tokens_on_disk_are_the_same_and_gone_afterwards(case: Case) -> None:
    in_memory = case.run(Attentive(epochs=2, least_steps=4, looks=2))
    on_disk = case.run(Attentive(epochs=2, least_steps=4, looks=2, memory_gb=0.0))
    assert torch.equal(in_memory.columns["attentive"].sure, on_disk.columns["attentive"].sure)
    with LookStore(3, 1, 2, 2, 0.0, 1.0) as store:
        folder = Path(store._folder.name)
        store.put([2], 0, torch.ones(1, 2, 2))
        assert folder.is_dir()
        assert store.take([2, 0], 0)[:, 0, 0].tolist() == [1, 0]
    assert not folder.exists()


def test_batches_of_an_epoch_are_of_equal_size() -> None:
    batches = shuffled(np.arange(10, 27), 8, np.random.default_rng(0))
    assert sorted(len(batch) for batch in batches) == [5, 6, 6]
    assert sorted(number for batch in batches for number in batch) == list(range(10, 27))
