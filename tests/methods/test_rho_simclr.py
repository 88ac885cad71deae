from itertools import combinations

import pytest
import torch

from reelvec.parts import nt_xent


@pytest.mark.parametrize(
    ("clips", "pairs", "compared"),
    [
        (1, "consecutive", [(0, 1)]),
        (2, "all", [(0, 1)]),
        (4, "consecutive", [(0, 1), (1, 2), (2, 3)]),
        (4, "all", list(combinations(range(4), 2))),
    ],
)
def test_the_loss_is_the_sum_over_pairs(small, clips, pairs, compared):
    method = small.method("rho_simclr", clips=clips, pairs=pairs)
    batch = small.batch(method.needs())
    with torch.no_grad():
        z = method.embeddings(batch, small.at(0))
    expected = sum(nt_xent(z[:, i], z[:, j], 0.1) for i, j in compared)
    outputs = method.step(batch, small.at(0))
    torch.testing.assert_close(outputs["loss"], expected)
    torch.testing.assert_close(outputs["per_pair"], expected / len(compared))


def test_no_slow_network_and_no_queue(small):
    assert {name.split(".")[0] for name in small.method("rho_simclr").state_dict()} == {"visual", "head"}
