import torch

from reelvec.views.flow_colours import flow_colours


def colour(u, v):
    return flow_colours(torch.tensor([[[[[u]]], [[[v]]]]], dtype=torch.float32))[0, :, 0, 0, 0]


def test_what_stands_still_is_white():
    assert torch.allclose(colour(0, 0), torch.ones(3))


def test_right_is_red_and_faster_is_fuller():
    assert torch.allclose(colour(1, 0), torch.tensor([1.0, 0, 0]), atol=1e-5)
    assert torch.allclose(colour(0.5, 0), torch.tensor([1.0, 0.5, 0.5]), atol=1e-5)


def test_opposite_directions_have_other_colours():
    assert (colour(-1, 0) - torch.tensor([0.0, 1, 1])).abs().max() < 1e-4
    assert (colour(0, 1) - colour(0, -1)).abs().max() > 0.5
