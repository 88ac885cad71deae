import pytest
import torch
import torch.nn.functional as F

from reelvec.parts.hard_negative import info_nce_hard
from reelvec.parts.info_nce import info_nce


def vectors(*shape, seed):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


QUERY, POSITIVE, MEMORY, HARD = (vectors(n, 6, seed=i) for i, n in enumerate((5, 5, 9, 5)))


def slow(query, positive, memory, temperature, hard=None, own=None):
    """L = -log e^(q.k/t) / (e^(q.k/t) + sum_m e^(q.u_m/t) + e^(q.n/t)), a query and a negative at a time."""
    total = 0.0
    for i, q in enumerate(query):
        above = torch.exp(q @ positive[i] / temperature)
        below = above
        for m, u in enumerate(memory):
            if own is None or m != int(own[i]):
                below = below + torch.exp(q @ u / temperature)
        if hard is not None:
            below = below + torch.exp(q @ hard[i] / temperature)
        total = total - torch.log(above / below)
    return total / len(query)


@pytest.mark.parametrize("hard", [HARD, None], ids=["hard", "none"])
@pytest.mark.parametrize("own", [torch.tensor([3, 0, 8, 3, 5]), None], ids=["own", "all"])
def test_the_loss_is_the_formula_of_the_card(hard, own):
    torch.testing.assert_close(
        info_nce_hard(QUERY, POSITIVE, MEMORY, 0.07, hard, own), slow(QUERY, POSITIVE, MEMORY, 0.07, hard, own)
    )


def test_without_a_hard_negative_it_is_moco():
    torch.testing.assert_close(info_nce_hard(QUERY, POSITIVE, MEMORY, 0.07), info_nce(QUERY, POSITIVE, MEMORY, 0.07))


def test_the_hard_negative_is_pushed_away_and_is_nobody_elses():
    query, hard = QUERY.clone().requires_grad_(), HARD.clone().requires_grad_()
    info_nce_hard(query[:1], POSITIVE[:1], MEMORY, 0.07, hard[:1]).backward()
    assert (hard.grad[0] * QUERY[0]).sum() > 0, "against the gradient is away from the query"
    assert (hard.grad[1:] == 0).all()


def test_the_own_place_of_a_memory_gives_no_gradient_and_no_nan():
    query = QUERY.clone().requires_grad_()
    memory = MEMORY.clone()
    memory[2] = QUERY[0]
    with_it, without = (info_nce_hard(query[:1], POSITIVE[:1], m, 0.07, own=torch.tensor([2])) for m in (memory, MEMORY))
    torch.testing.assert_close(with_it, without)
    with_it.backward()
    assert query.grad.isfinite().all()
