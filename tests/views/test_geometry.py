"""Crops against torchvision's, and the rule that draws them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as oracle

from reelvec.core import Clips, Draws
from reelvec.views.geometry import centre_boxes, crop, draw_boxes, resampling_matrix

BILINEAR = v2.InterpolationMode.BILINEAR


def clips(frames, height=None, width=None):
    return Clips(frames[:, None], torch.tensor([[height or frames.shape[-2], width or frames.shape[-1]]] * len(frames)))


def relative(box, height, width):
    return torch.tensor([box], dtype=torch.float32) / torch.tensor([width, height, width, height])


@pytest.mark.parametrize("size", [5, 16, 40])
@pytest.mark.parametrize("box", [(0, 0, 31, 23), (4, 3, 20, 21), (30, 22, 31, 23), (0, 5, 31, 7)])
@pytest.mark.parametrize("flipped", [False, True])
def test_crop_equals_torchvision(box, size, flipped):
    frames = torch.rand(1, 3, 4, 23, 31, generator=torch.Generator().manual_seed(0))
    x0, y0, x1, y1 = box
    wanted = oracle.resized_crop(frames[0].transpose(0, 1), y0, x0, y1 - y0, x1 - x0, [size, size], BILINEAR, antialias=True)
    wanted = oracle.horizontal_flip(wanted) if flipped else wanted
    got = crop(clips(frames), relative(box, 23, 31), torch.tensor([flipped]), size)
    torch.testing.assert_close(got[0].transpose(0, 1), wanted, atol=1e-5, rtol=0)


def test_enlarging_equals_torchvision_without_antialias_too():
    frames = torch.rand(1, 3, 2, 20, 20, generator=torch.Generator().manual_seed(0))
    wanted = oracle.resized_crop(frames[0].transpose(0, 1), 2, 3, 12, 10, [24, 24], BILINEAR, antialias=False)
    got = crop(clips(frames), relative((3, 2, 13, 14), 20, 20), torch.tensor([False]), 24)
    torch.testing.assert_close(got[0].transpose(0, 1), wanted, atol=1e-5, rtol=0)


def test_uint8_becomes_unit_range():
    frames = torch.randint(0, 256, (1, 3, 2, 9, 9), dtype=torch.uint8)
    got = crop(clips(frames), torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([False]), 9)
    torch.testing.assert_close(got, frames.float() / 255)


@settings(max_examples=50)
@given(height=st.integers(8, 40), width=st.integers(8, 40), number=st.integers(0, 10**9))
def test_padding_is_never_seen(height, width, number):
    frames = torch.full((1, 1, 1, 48, 48), float("nan"))
    frames[..., :height, :width] = 1
    batch = clips(frames, height, width)
    box = draw_boxes(batch.size, (0.05, 1.0), (0.5, 2.0), Draws(0, torch.tensor([number])))
    torch.testing.assert_close(crop(batch, box, torch.tensor([False]), 16), torch.ones(1, 1, 1, 16, 16))


def test_boxes_follow_the_rule_of_torchvision():
    """The first of ten candidates that fits, else a centred box: a loop over the same draws."""
    sizes = torch.tensor([[48, 64], [72, 72], [20, 200], [200, 20], [9, 9]] * 40)
    draws, area, aspect = Draws(3, torch.arange(len(sizes))), (0.5, 1.0), (0.75, 1.333)
    areas, ratios = draws.uniform("area", many=10), draws.uniform("aspect", many=10)
    boxes, fallbacks = draw_boxes(sizes, area, aspect, draws), 0
    for i, (height, width) in enumerate(sizes.tolist()):
        for k in range(10):
            ratio = math.exp(math.log(aspect[0]) + float(ratios[i, k]) * math.log(aspect[1] / aspect[0]))
            pixels = height * width * (area[0] + float(areas[i, k]) * (area[1] - area[0]))
            w, h = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
            if 0 < w <= width and 0 < h <= height:
                x = math.floor(float(draws.uniform("left")[i]) * (width - w + 1))
                y = math.floor(float(draws.uniform("top")[i]) * (height - h + 1))
                break
        else:
            fallbacks += 1
            w, h = min(width, round(height * aspect[1])), min(height, round(width / aspect[0]))
            x, y = (width - w) // 2, (height - h) // 2
        wanted = torch.tensor([x / width, y / height, (x + w) / width, (y + h) / height])
        torch.testing.assert_close(boxes[i], wanted, atol=1e-5, rtol=0)
    assert 0 < fallbacks < len(sizes)


def test_boxes_cover_their_ranges():
    sizes = torch.tensor([[100, 100]] * 4000)
    box = draw_boxes(sizes, (0.3, 0.6), (0.5, 2.0), Draws(0, torch.arange(4000)))
    width, height = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    area, aspect = width * height, width / height
    assert 0.29 < area.min() < 0.31
    assert 0.59 < area.max() < 0.61
    assert abs(area.mean() - 0.45) < 0.01
    assert 0.48 < aspect.min() < 0.55
    assert 1.8 < aspect.max() < 2.05
    assert abs(box[:, :2].mean() + box[:, 2:].mean() - 1) < 0.02  # no side is favoured


def test_centre_boxes():
    box = centre_boxes(torch.tensor([[48, 64], [65, 48]]))
    torch.testing.assert_close(box, torch.tensor([[8 / 64, 0, 56 / 64, 1], [0, 8 / 65, 1, 56 / 65]]))


def test_resampling_shrinks_with_the_mean():
    """An antialiased resize to one pixel weighs all pixels; a plain bilinear one would read two."""
    weights = resampling_matrix(torch.tensor([0.0]), torch.tensor([8.0]), 8, 1)[0, 0]
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))
