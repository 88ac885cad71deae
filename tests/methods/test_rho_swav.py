from dataclasses import replace

import pytest
import torch

from reelvec.parts import sinkhorn


@pytest.mark.parametrize("clips", [1, 2, 3])
def test_codes_come_from_the_first_two_clips_and_are_predicted_from_the_others(small, clips):
    method = small.method("rho_swav", clips=clips)
    batch = small.batch(method.needs())
    with torch.no_grad():
        z = method.embeddings(batch, small.at(0))
        scores = [z[:, v] @ method.prototypes.T for v in range(z.shape[1])]
    losses = []
    for a in (0, 1):
        codes = sinkhorn(scores[a], 0.05, 3)
        for v in range(len(scores)):
            if v != a:
                losses.append(-(codes * (scores[v] / 0.1).log_softmax(1)).sum(1).mean())
    torch.testing.assert_close(method.step(batch, small.at(0))["loss"], sum(losses) / len(losses))


@pytest.mark.parametrize(("epoch", "moves"), [(0.0, False), (0.99, False), (1.0, True)])
def test_prototypes_wait_for_the_first_epoch_to_end(small, epoch, moves):
    method = small.method("rho_swav")
    method.step(small.batch(method.needs()), replace(small.at(0), epoch=epoch))["loss"].backward()
    assert bool(method.prototypes.grad.abs().sum() > 0) is moves


def test_prototypes_have_unit_length_after_every_step(small):
    method = small.method("rho_swav")
    torch.testing.assert_close(method.prototypes.norm(dim=1), torch.ones(5))
    with torch.no_grad():
        method.prototypes.mul_(3)
    method.after_step(small.at(0))
    torch.testing.assert_close(method.prototypes.norm(dim=1), torch.ones(5))
