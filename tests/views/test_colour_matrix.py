"""One matrix against the steps it stands for, wherever no step would have clamped."""

import itertools

import pytest
import torch

from reelvec.views.colour import adjust_hue, jitter, luma, to_grey
from reelvec.views.colour_matrix import apply_colour_matrix, colour_matrix

NO_GREY = torch.zeros(1, dtype=torch.bool)


@pytest.fixture
def muted():
    """Clips of muted colours: small changes of them stay inside [0, 1]."""
    return 0.4 + 0.2 * torch.rand(1, 3, 4, 9, 7, generator=torch.Generator().manual_seed(0))


def at_once(frames, factors, order, grey=NO_GREY):
    out = frames.clone()
    apply_colour_matrix(out, colour_matrix(factors, order, grey, frames.mean((2, 3, 4))))
    return out


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_brightness_contrast_and_saturation_equal_the_steps_in_every_order(muted, order):
    factors, order = torch.tensor([[1.2, 0.7, 1.3, 0.0]]), torch.tensor([order])
    torch.testing.assert_close(at_once(muted, factors, order), jitter(muted.clone(), factors, order), atol=1e-5, rtol=0)


def test_each_sample_has_its_own(muted):
    frames = torch.cat([muted, 1 - muted, muted])
    factors = torch.tensor([[1.2, 1.0, 1.0, 0.0], [1.0, 0.5, 1.0, 0.1], [1.0, 1.0, 1.0, 0.0]])
    order = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]])
    grey = torch.tensor([False, True, False])
    together = at_once(frames, factors, order, grey)
    for i in range(3):
        alone = at_once(frames[i : i + 1], factors[i : i + 1], order[i : i + 1], grey[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)
    torch.testing.assert_close(together[2], frames[2], atol=1e-6, rtol=0)  # neutral factors change nothing


def test_grey_equals_the_step(muted):
    got = at_once(muted, torch.tensor([[1.0, 1, 1, 0]]), torch.arange(4)[None], ~NO_GREY)
    torch.testing.assert_close(got, to_grey(muted), atol=1e-5, rtol=0)


@pytest.mark.parametrize("share", [-0.5, -0.1, 0.05, 0.25])
def test_hue_keeps_brightness_and_greys_and_turns_the_way_that_hsv_turns(muted, share):
    factors, order = torch.tensor([[1.0, 1.0, 1.0, share]]), torch.arange(4)[None]
    turned = at_once(muted, factors, order)
    torch.testing.assert_close(luma(turned), luma(muted), atol=1e-5, rtol=0)
    grey = torch.full((1, 3, 1, 2, 2), 0.3)
    torch.testing.assert_close(at_once(grey, factors, order), grey, atol=1e-6, rtol=0)
    back = at_once(turned, -factors + 2 * torch.tensor([[1.0, 1.0, 1.0, 0.0]]), order)
    torch.testing.assert_close(back, muted, atol=1e-5, rtol=0)
    if abs(share) < 0.2:  # the same colours, roughly, as a turn in HSV, and not those of a turn the other way
        hsv, other = (adjust_hue(muted, torch.tensor([s])) for s in (share, -share))
        assert (turned - hsv).abs().mean() < 0.5 * (turned - other).abs().mean()


def test_colours_are_clamped_once_at_the_end():
    frames = torch.tensor([0.2, 0.9, 0.5]).view(1, 3, 1, 1, 1)
    brighter_then_darker = torch.tensor([[2.0, 1.0, 1.0, 0.0]]), torch.tensor([[0, 1, 2, 3]])
    assert at_once(frames, *brighter_then_darker).flatten().tolist() == pytest.approx([0.4, 1.0, 1.0])
