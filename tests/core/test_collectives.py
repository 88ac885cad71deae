"""Two processes on gloo against the same sums in one process, where autograd knows all that there is to know."""

import sys
from pathlib import Path

import pytest
import torch

from reelvec.core import collectives

sys.path.insert(0, str(Path(__file__).parent))
from two_processes import own_rows, own_weight


@pytest.fixture(scope="module")
def both(tmp_path_factory, run_two_processes):
    """What the two processes computed, the first one's first."""
    folder = tmp_path_factory.mktemp("two_processes")
    return run_two_processes(Path(__file__).with_name("two_processes.py"), folder)


COLLECTED = {"gather": torch.cat, "total": sum}


def test_processes_know_their_place(both):
    assert [one["place"] for one in both] == [(0, 2), (1, 2)]


@pytest.mark.parametrize("name", COLLECTED)
def test_every_process_gets_the_same_and_keeps_its_own(both, name):
    rows = [own_rows(rank).detach() for rank in range(2)]
    for rank, one in enumerate(both):
        assert torch.equal(one[name]["output"], COLLECTED[name](rows))
        assert not one[name]["needs_gradient"]
        assert torch.equal(one[name]["input"], rows[rank])


@pytest.mark.parametrize("name", COLLECTED)
def test_gradients_are_those_of_the_sum_of_all_losses(both, name):
    rows = [own_rows(rank) for rank in range(2)]
    output = COLLECTED[name](rows)
    sum((output.square() * own_weight(rank, output)).sum() for rank in range(2)).backward()
    for rank, one in enumerate(both):
        assert torch.equal(one[f"{name}_with_gradient"]["output"], output.detach())
        torch.testing.assert_close(one[f"{name}_with_gradient"]["gradient"], rows[rank].grad)


@pytest.mark.parametrize("name", ["gather", "total", "gather_with_gradient", "total_with_gradient"])
def test_one_process_is_handed_what_it_gave(name):
    x = own_rows(0)
    output = getattr(collectives, name)(x)
    assert torch.equal(output, x)
    assert output.requires_grad == name.endswith("gradient")
    assert (collectives.rank(), collectives.world()) == (0, 1)
