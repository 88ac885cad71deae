import torch

from reelvec.evals.heads.own_draws import drawing_by
from tests.evals.heads.clip_cases import CPU


def test_global_generators_stand_where_they_stood() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    drawn = []
    for number in (0, 1, 0):
        with drawing_by(3, number, "dropout", CPU):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(torch.get_rng_state(), state)
