"""Clips in planes: what they show, and that views get the same without making RGB of whole pictures."""

import pytest
import torch

from reelvec.core import Clips, Draws, PlaneClips
from reelvec.core.planes import planes_to_rgb
from reelvec.views import ViewConfig, apply_geometry, centre_view, make_view

TO_RGB = torch.tensor([[1.0, 0.0, 1.4, -180.0], [1.0, -0.34, -0.71, 135.0], [1.0, 1.77, 0.0, -227.0]])
SIZES = ((21, 26), (16, 30))


@pytest.fixture
def clips():
    """Two videos, two clips each, of mild colours: nothing is cut off at 0 or 255."""
    generator = torch.Generator().manual_seed(0)
    luma = torch.randint(100, 140, (2, 2, 1, 3, 21, 30), dtype=torch.uint8, generator=generator)
    chroma = torch.randint(115, 140, (2, 2, 2, 3, 11, 15), dtype=torch.uint8, generator=generator)
    matrices = torch.stack([TO_RGB, TO_RGB * 0.9])
    return PlaneClips(luma, chroma, matrices, torch.tensor(SIZES))


def mixed(clips: PlaneClips) -> torch.Tensor:
    """RGB pixel by pixel, floats."""
    out = torch.zeros(clips.shape)
    for b, (height, width) in enumerate(SIZES):
        for y in range(height):
            for x in range(width):
                yuv = torch.cat([clips.luma[b, ..., y, x], clips.chroma[b, ..., y // 2, x // 2]], 1).float()  # n 3 t
                ones = torch.ones(2, 1, 3)
                out[b, ..., y, x] = (clips.to_rgb[b] @ torch.cat([yuv, ones], 1)).clamp(0, 255)
    return out


def test_frames_are_rgb_of_every_pixel(clips):
    assert clips.frames.dtype == torch.uint8
    assert tuple(clips.frames.shape) == clips.shape
    assert (clips.frames - mixed(clips)).abs().max() < 0.5 + 1e-3


def test_a_box_is_cut_out_of_all_planes_at_odd_places_too(clips):
    whole = clips.box(slice(0, 2), 0, 21, 0, 30)
    for box in ((0, 21, 0, 30), (3, 10, 5, 18), (4, 9, 6, 7), (1, 2, 0, 1)):
        top, bottom, left, right = box
        assert torch.equal(clips.box(1, *box), whole[1, ..., top:bottom, left:right])
        assert torch.equal(clips.box(slice(0, 2), *box), whole[..., top:bottom, left:right])


def test_parts_and_clips_are_those_of_the_rgb_clips(clips):
    assert torch.equal(clips.at(1).frames, clips.frames[:, 1:])
    assert torch.equal(clips.part(slice(1, 2)).frames, clips.frames[1:])
    assert torch.equal(clips.to("cpu").frames, clips.frames)
    assert clips.decoded_bytes < 0.6 * Clips(clips.frames, clips.size).decoded_bytes


@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
@pytest.mark.parametrize("colour", ["after_crop", "before_crop"])
def test_a_view_of_planes_is_the_view_of_their_rgb(clips, arithmetic, colour):
    config = ViewConfig(
        size=12, jitter=0.8, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, grey=0.3, blur=0.5, std=(1, 1, 1),
        arithmetic=arithmetic, colour=colour,
    )  # fmt: skip
    planes, draws = clips.at(0), Draws(3, torch.tensor([4, 7]), "query")
    view, other = make_view(planes, config, draws), make_view(Clips(planes.frames, planes.size), config, draws)
    assert torch.equal(view.box, other.box)
    # a picture of uint8 is resized to uint8: of brightness and colours here, of red, green and blue there
    assert (view.frames - other.frames).abs().max() < (2.5 if arithmetic == "exact" else 4) / 255
    assert (
        apply_geometry(planes, view, 12) - apply_geometry(Clips(planes.frames, planes.size), view, 12)
    ).abs().max() < 2 / 255
    if colour == "after_crop":
        fresh = clips.at(0)
        make_view(fresh, config, draws)
        assert "frames" not in vars(fresh)  # no whole picture became RGB


def test_boxes_that_cut_pixels_show_the_same(clips):
    """The way that GPUs take."""
    planes = clips.at(1)
    rgb = Clips(planes.frames, planes.size)
    view = make_view(planes, ViewConfig(size=8), Draws(0, torch.tensor([1, 2]), "a"))
    moved = type(view)(view.frames, view.box * 0.97, view.flipped, view.picture, view.colours)
    assert (apply_geometry(planes, moved, 8) - apply_geometry(rgb, moved, 8)).abs().max() < 1 / 255
    assert (centre_view(planes, 8) - centre_view(rgb, 8)).abs().max() < 1 / 255


def test_what_the_matrix_gives_is_cut_off_at_black_and_white():
    planes = torch.tensor([0.0, 255.0]).expand(1, 3, 1, 1, 2)
    assert planes_to_rgb(planes, TO_RGB[None]).flatten().tolist() == [0, 255, 135, 122.25, 0, 255]
