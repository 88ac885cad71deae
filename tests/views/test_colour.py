"""Colour operations and blur against torchvision's at equal parameters."""

import itertools

import pytest
import torch
from torchvision.transforms.v2 import functional as oracle

from reelvec.views.blur import gaussian_blur, kernel_side
from reelvec.views.colour import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, jitter, solarise, to_grey


@pytest.fixture
def frames():
    frames = torch.rand(3, 3, 4, 10, 12, generator=torch.Generator().manual_seed(0))
    frames[0, :, 0] = torch.rand(10, 12)  # grey pixels have no hue
    frames[1, :, 1] = frames[1, :, 1].round()  # corners of the colour cube, with ties
    frames[2, :, :, 0] = 0
    return frames


def tall(clip):
    """The frames of a clip (c t h w) as one picture (c th w)."""
    return clip.flatten(1, 2)


@pytest.mark.parametrize(
    ("ours", "theirs", "factors"),
    [
        (adjust_brightness, oracle.adjust_brightness, (0.2, 1.0, 1.8)),
        (adjust_contrast, oracle.adjust_contrast, (0.2, 1.0, 1.8)),
        (adjust_saturation, oracle.adjust_saturation, (0.0, 0.7, 1.8)),
        (adjust_hue, oracle.adjust_hue, (-0.5, 0.03, 0.5)),
        (adjust_hue, oracle.adjust_hue, (-0.2, 0.0, 0.2)),
    ],
)
def test_adjustments_equal_torchvision(frames, ours, theirs, factors):
    before = frames.clone()
    got = ours(frames, torch.tensor(factors))
    for clip, out, factor in zip(frames, got, factors, strict=True):
        torch.testing.assert_close(tall(out), theirs(tall(clip), factor), atol=2e-6, rtol=0)
    assert torch.equal(frames, before)


def test_contrast_is_anchored_in_the_clip_not_the_frame(frames):
    """A deviation from torchvision on (t c h w): a clip of a dark and a bright frame keeps the two apart at factor 0."""
    flat = torch.stack([torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)], 2)
    out = adjust_contrast(flat, torch.tensor([0.0]))
    torch.testing.assert_close(out, torch.full_like(flat, 0.5), atol=1e-3, rtol=0)


def test_grey_and_solarise_equal_torchvision(frames):
    wanted = oracle.rgb_to_grayscale(frames.transpose(1, 2), 3).transpose(1, 2)
    torch.testing.assert_close(to_grey(frames), wanted, atol=1e-6, rtol=0)
    assert torch.equal(solarise(frames, 0.5), oracle.solarize(frames, 0.5))


def test_jitter_in_each_of_the_24_orders(frames):
    orders = torch.tensor(list(itertools.permutations(range(4))))
    clips = frames[:1].repeat(24, 1, 1, 1, 1)
    factors = torch.tensor([[1.3, 0.6, 1.5, 0.1]]).repeat(24, 1)
    steps = (oracle.adjust_brightness, oracle.adjust_contrast, oracle.adjust_saturation, oracle.adjust_hue)
    got = jitter(clips.clone(), factors, orders)
    for out, clip, order in zip(got, clips, orders.tolist(), strict=True):
        wanted = tall(clip)
        for step in order:
            wanted = steps[step](wanted, float(factors[0, step]))
        torch.testing.assert_close(tall(out), wanted, atol=1e-5, rtol=0)


def test_neutral_jitter_changes_nothing(frames):
    out = jitter(frames.clone(), torch.tensor([[1.0, 1, 1, 0]] * 3), torch.arange(4).repeat(3, 1))
    assert torch.equal(out, frames)


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_blur_equals_torchvision(frames, kernel):
    sigmas = (0.1, 0.9, 2.0)
    got = gaussian_blur(frames, torch.tensor(sigmas), kernel)
    for clip, out, sigma in zip(frames, got, sigmas, strict=True):
        wanted = oracle.gaussian_blur(clip.transpose(0, 1), [kernel, kernel], [sigma, sigma]).transpose(0, 1)
        torch.testing.assert_close(out, wanted, atol=1e-6, rtol=0)


def test_blur_wider_than_the_picture_keeps_the_mean_in_range():
    out = gaussian_blur(torch.ones(1, 3, 1, 3, 1), torch.tensor([2.0]), 9)
    torch.testing.assert_close(out, torch.ones(1, 3, 1, 3, 1))


def test_kernel_side():
    assert [kernel_side(s) for s in (224, 112, 64, 10)] == [23, 11, 7, 1]
