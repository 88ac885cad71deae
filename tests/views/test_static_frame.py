import torch

from reelvec.core import Draws
from reelvec.views.static_frame import add_picture, mix_own_frame

DRAWS = Draws(3, torch.arange(4), "query")


def clips(time=7):
    return torch.rand(4, 3, time, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_derivatives_of_every_order_stay_up_to_one_factor_of_each_clip():
    frames = clips()
    mixed = mix_own_frame(frames, 0.1, DRAWS)
    weight = DRAWS.uniform("weight", 0.0, 0.1).double()
    assert not torch.allclose(mixed, frames, atol=1e-3)
    for order in range(1, 7):
        expected = (1 - weight)[:, None] * frames.diff(n=order, dim=2).flatten(1)
        torch.testing.assert_close(mixed.diff(n=order, dim=2).flatten(1), expected)


def test_the_same_holds_for_any_fixed_picture():
    frames, scale, picture = clips(), torch.tensor([0.5, 1.0, 1.5, 2.0]), torch.randn(4, 3, 1, 6, 6, dtype=torch.float64)
    changed = add_picture(frames, scale, picture)
    torch.testing.assert_close(changed.diff(dim=2), scale[:, None, None, None, None].double() * frames.diff(dim=2))


def test_a_frame_that_changes_breaks_the_derivatives():
    frames = clips()
    mixed = mix_own_frame(frames, 0.1, DRAWS, changing=True)
    ratio = mixed.diff(dim=2) / frames.diff(dim=2)
    assert (ratio.flatten(1).std(1) > 0.05).all()


def test_the_mix_is_the_formula_with_weights_up_to_the_largest():
    frames = clips()
    mixed = mix_own_frame(frames, 0.1, DRAWS)
    weight, chosen = DRAWS.uniform("weight", 0.0, 0.1), (DRAWS.uniform("frame", many=1)[:, 0] * 7).long()
    for video in range(4):
        w, k = float(weight[video]), int(chosen[video])
        for t in range(7):
            torch.testing.assert_close(mixed[video, :, t], (1 - w) * frames[video, :, t] + w * frames[video, :, k])
    many = Draws(3, torch.arange(2000), "query").uniform("weight", 0.0, 0.1)
    assert 0 <= many.min() < 0.001
    assert 0.099 < many.max() < 0.1


def test_mixing_normalised_frames_is_normalising_mixed_frames():
    frames = clips()
    torch.testing.assert_close(mix_own_frame((frames - 0.4) / 0.2, 0.1, DRAWS), (mix_own_frame(frames, 0.1, DRAWS) - 0.4) / 0.2)
