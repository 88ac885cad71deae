"""The pipeline: what it depends on, what it does not, and the geometry it shares with other streams."""

import pytest
import torch
from pydantic import ValidationError
from torchvision.transforms.v2 import functional as oracle

from reelvec.core import Clips, Draws, PlaneClips, ReelvecError
from reelvec.core.planes import planes_to_rgb
from reelvec.views import ViewConfig, apply_geometry, centre_view, make_view, normalise
from reelvec.views.blur import gaussian_blur, kernel_side
from reelvec.views.colour import NEUTRAL
from reelvec.views.colour_matrix import apply_colour_matrix, colour_matrix
from reelvec.views.geometry import crop

FULL = ViewConfig(
    size=12, jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.3, blur=0.5, solarise=0.3,
)  # fmt: skip
SIZES = ((20, 26), (18, 18), (16, 30), (24, 14), (20, 26), (20, 26))


@pytest.fixture
def clips():
    """Six clips of different sizes in one tensor, zeros beside the pictures."""
    frames = torch.zeros(6, 1, 3, 4, 24, 30, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    for clip, (height, width) in zip(frames, SIZES, strict=True):
        clip[..., :height, :width] = torch.randint(0, 256, (3, 4, height, width), generator=generator)
    return Clips(frames, torch.tensor(SIZES))


def draws(numbers=range(6), seed=5, scope="query"):
    return Draws(seed, torch.tensor(list(numbers)), scope)


def one(clips, i):
    """Clip i alone, without its padding."""
    height, width = clips.size[i].tolist()
    return Clips(clips.frames[i : i + 1, ..., :height, :width], clips.size[i : i + 1])


@pytest.mark.parametrize("colour", ["after_crop", "before_crop"])
@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
def test_a_batch_equals_its_samples_one_by_one(clips, colour, consistent, arithmetic):
    """Neither batch-mates nor padding nor the place in the batch matter."""
    config = FULL.model_copy(update={"colour": colour, "consistent": consistent, "arithmetic": arithmetic})
    whole = make_view(clips, config, draws())
    rows = len(whole.box) // 6
    for i in range(6):
        alone = make_view(one(clips, i), config, draws([i]))
        mine = slice(i * rows, (i + 1) * rows)
        assert torch.equal(alone.box, whole.box[mine])
        assert torch.equal(alone.flipped, whole.flipped[mine])
        for field in ("factors", "order", "grey", "sigma", "solarised"):
            assert torch.equal(getattr(alone.colours, field), getattr(whole.colours, field)[mine])
        torch.testing.assert_close(alone.frames[0], whole.frames[i], atol=1e-5, rtol=0)


def test_a_view_depends_on_seed_number_and_scope_alone(clips):
    first = make_view(clips, FULL, draws()).frames
    torch.rand(3)
    assert torch.equal(first, make_view(clips, FULL, draws()).frames)
    for other in (draws(seed=6), draws(scope="key"), draws(range(1, 7))):
        assert not torch.allclose(first, make_view(clips, FULL, other).frames)


def test_the_global_generator_is_left_alone(clips):
    before = torch.get_rng_state()
    make_view(clips, FULL, draws())
    assert torch.equal(before, torch.get_rng_state())


def by_torchvision(clip, view, i, config):
    """Clip i (c t h w) through torchvision's operations with the view's parameters."""
    height, width = clip.shape[-2:]
    x0, y0, x1, y1 = (view.box[i] * torch.tensor([width, height, width, height])).round().int().tolist()
    drawn = view.colours

    def recolour(picture):  # (c t h w)
        steps = (oracle.adjust_brightness, oracle.adjust_contrast, oracle.adjust_saturation, oracle.adjust_hue)
        shape, picture = picture.shape[1:3], picture.flatten(1, 2)
        for step in drawn.order[i].tolist():
            if drawn.factors[i, step] != NEUTRAL[step]:
                picture = steps[step](picture, float(drawn.factors[i, step]))
        picture = picture.unflatten(1, shape).transpose(0, 1)
        if drawn.grey[i]:
            picture = oracle.rgb_to_grayscale(picture, 3)
        if drawn.sigma[i] > 0:
            picture = oracle.gaussian_blur(picture, [config.blur_kernel] * 2, [float(drawn.sigma[i])] * 2)
        if drawn.solarised[i]:
            picture = oracle.solarize(picture, config.solarise_threshold)
        return picture.transpose(0, 1)

    picture = clip.float() / 255
    if config.colour == "before_crop":
        picture = recolour(picture)
    size = [config.size] * 2
    picture = oracle.resized_crop(picture.transpose(0, 1), y0, x0, y1 - y0, x1 - x0, size, antialias=True).transpose(0, 1)
    picture = oracle.horizontal_flip(picture) if view.flipped[i] else picture
    if config.colour == "after_crop":
        picture = recolour(picture)
    return oracle.normalize(picture.transpose(0, 1), list(config.mean), list(config.std)).transpose(0, 1)


@pytest.mark.parametrize("colour", ["after_crop", "before_crop"])
def test_a_view_equals_torchvision_with_the_same_parameters(clips, colour):
    config = FULL.model_copy(update={"colour": colour, "blur_kernel": 5, "solarise": 0.0, "mean": (0.4, 0.5, 0.6)})
    view = make_view(clips, config, draws())
    assert view.flipped.any()
    assert not view.flipped.all()
    assert view.colours.grey.any()
    assert (view.colours.sigma > 0).any()
    for i in range(6):
        wanted = by_torchvision(one(clips, i).frames[0, 0], view, i, config)
        torch.testing.assert_close(view.frames[i], wanted, atol=2e-4, rtol=0)


def test_fast_arithmetic_is_near_the_exact_one_with_the_same_draws(clips):
    exact, fast = (
        make_view(clips, FULL.model_copy(update={"arithmetic": how, "hue": 0.0}), draws()) for how in ("exact", "fast")
    )
    for name in ("box", "flipped"):
        assert torch.equal(getattr(exact, name), getattr(fast, name))
    far = (exact.frames - fast.frames).abs() * FULL.std[0] * 255  # grey levels
    assert far.median() < 1.5  # rounding to uint8; where a step clamps, more
    assert far.mean() < 8


def planes_of(clips: Clips) -> PlaneClips:
    """Some planes of these sizes; the matrices give colours beyond black and white too."""
    draw = torch.Generator().manual_seed(3)
    batch, n, _, time, height, width = clips.shape
    luma = torch.randint(0, 256, (batch, n, 1, time, height, width), dtype=torch.uint8, generator=draw)
    half = ((height + 1) // 2, (width + 1) // 2)
    chroma = torch.randint(90, 166, (batch, n, 2, time, *half), dtype=torch.uint8, generator=draw)
    matrix = torch.tensor([[1.0, 0.0, 1.4, -179.0], [1.0, -0.34, -0.71, 135.0], [1.0, 1.77, 0.0, -226.0]])
    return PlaneClips(luma, chroma, matrix.expand(batch, 3, 4).contiguous(), clips.size)


@pytest.mark.parametrize("kind", ["rgb", "planes"])
def test_pixels_that_stay_bytes_are_the_floats_rounded(clips, kind):
    """Crop, one matrix of colours, blur: no step is more than its rounding away from the same on floats."""
    clips = planes_of(clips) if kind == "planes" else clips
    config = FULL.model_copy(update={"arithmetic": "fast", "solarise": 0.0, "mean": (0, 0, 0), "std": (1, 1, 1)})
    view = make_view(clips, config, draws())
    assert (view.colours.sigma > 0).any()
    assert view.colours.grey.any()
    floats = Clips(clips.box(slice(None), 0, clips.shape[-2], 0, clips.shape[-1]).float(), clips.size)
    values = crop(floats, view.box, view.flipped, config.size)
    rgb = (planes_to_rgb(values, clips.to_rgb) if kind == "planes" else values) / 255
    colours = colour_matrix(view.colours.factors, view.colours.order, view.colours.grey, rgb.mean((2, 3, 4)))
    apply_colour_matrix(rgb, colours)
    for i in range(len(rgb)):
        x = rgb[i : i + 1]
        if view.colours.sigma[i] > 0:
            x = gaussian_blur(x, view.colours.sigma[i : i + 1], config.blur_kernel or kernel_side(config.size))
        far = (view.frames[i] - x[0]).abs() * 255
        assert far.max() < 3, i  # half a level from each step, times what strengthens the colours after it
        assert far.mean() < 0.7, i


@pytest.mark.parametrize("kind", ["rgb", "planes"])
def test_bytes_are_the_same_under_autocast(clips, kind):
    clips = planes_of(clips) if kind == "planes" else clips
    config = FULL.model_copy(update={"arithmetic": "fast"})
    plain = make_view(clips, config, draws()).frames
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(make_view(clips, config, draws()).frames, plain)


def test_bytes_are_solarised_like_floats(clips):
    config = ViewConfig(size=12, solarise=1.0, mean=(0.4,) * 3, std=(0.2,) * 3, arithmetic="fast")
    plain = make_view(clips, config.model_copy(update={"solarise": 0.0}), draws()).frames * 0.2 + 0.4
    solarised = make_view(clips, config, draws()).frames * 0.2 + 0.4
    torch.testing.assert_close(solarised, torch.where(plain >= 0.5 - 1e-6, 1 - plain, plain), atol=1e-5, rtol=0)


def test_fast_crops_equal_torchvision_on_uint8(clips):
    plain = ViewConfig(size=12, mean=(0, 0, 0), std=(1, 1, 1), arithmetic="fast", flip=0.5)
    view = make_view(clips, plain, draws())
    for i in range(6):
        picture = one(clips, i).frames[0, 0].transpose(0, 1)
        height, width = picture.shape[-2:]
        x0, y0, x1, y1 = (view.box[i] * torch.tensor([width, height, width, height])).round().int().tolist()
        wanted = oracle.resized_crop(picture, y0, x0, y1 - y0, x1 - x0, [12, 12], antialias=True)
        wanted = oracle.horizontal_flip(wanted) if view.flipped[i] else wanted
        torch.testing.assert_close(view.frames[i].transpose(0, 1) * 255, wanted.float(), atol=1e-3, rtol=0)


def test_solarise_in_the_pipeline(clips):
    config = ViewConfig(size=12, solarise=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    plain = make_view(clips, config.model_copy(update={"solarise": 0.0}), draws()).frames
    solarised = make_view(clips, config, draws()).frames
    torch.testing.assert_close(solarised, torch.where(plain >= 0.5, 1 - plain, plain))


def test_probabilities_are_met():
    frames = Clips(torch.zeros(2000, 1, 3, 1, 4, 4, dtype=torch.uint8), torch.full((2000, 2), 4))
    view = make_view(frames, FULL.model_copy(update={"size": 2}), draws(range(2000)))
    jittered = (view.colours.factors != torch.tensor(NEUTRAL)).any(1)
    for drawn, wanted in (
        (view.flipped, 0.5), (jittered, 0.8), (view.colours.grey, 0.3), (view.colours.sigma > 0, 0.5),
        (view.colours.solarised, 0.3),
    ):  # fmt: skip
        assert abs(drawn.float().mean() - wanted) < 0.04
    factors = view.colours.factors[jittered]
    torch.testing.assert_close(factors.amin(0), torch.tensor([0.6, 0.6, 0.6, -0.1]), atol=0.01, rtol=0)
    torch.testing.assert_close(factors.amax(0), torch.tensor([1.4, 1.4, 1.4, 0.1]), atol=0.01, rtol=0)
    assert len({tuple(order) for order in view.colours.order.tolist()}) == 24


def test_frames_of_a_clip_share_their_draws_unless_told_otherwise(clips):
    still = Clips(clips.frames[:, :, :, :1].repeat(1, 1, 1, 4, 1, 1), clips.size)
    same = make_view(still, FULL, draws()).frames
    torch.testing.assert_close(same, same[:, :, :1].expand_as(same), atol=1e-5, rtol=0)
    view = make_view(still, FULL.model_copy(update={"consistent": False}), draws())
    assert view.box.shape == (24, 4)
    drawn = view.colours.factors[view.colours.factors[:, 0] != 1]
    assert len(drawn.unique(dim=0)) == len(drawn)  # no two frames share their draws, within a clip or across
    assert ((view.frames - view.frames[:, :, :1]).abs().amax((1, 3, 4))[:, 1:] > 0.05).all()


def test_the_same_geometry_for_another_stream(clips):
    plain = ViewConfig(size=12, mean=(0.0,), std=(1.0,))
    edges = Clips(clips.frames[:, :, :1], clips.size)
    for config in (plain, plain.model_copy(update={"consistent": False})):
        view = make_view(edges, config, draws())
        torch.testing.assert_close(apply_geometry(edges, view, 12), view.frames)


def test_a_geometry_by_frame_fits_the_same_frames_alone(clips):
    view = make_view(clips, FULL.model_copy(update={"consistent": False}), draws())
    with pytest.raises(ReelvecError, match="consistent=true"):
        apply_geometry(Clips(clips.frames[:, :, :1, :2], clips.size), view, 12)


def test_flow_turns_with_the_flip_and_grows_with_the_resize(clips):
    """A point carried by the flow lands in the view where the carried point's own coordinates say."""
    flow = torch.tensor([3.0, -2.0])[None, None, :, None, None, None].expand(6, 1, 2, 4, 24, 30).half()
    view = make_view(clips, FULL, draws())
    assert view.flipped.any()
    assert not view.flipped.all()
    got = apply_geometry(Clips(flow, clips.size), view, 8, vectors=True)

    def place(point, i):  # pixels of the picture -> pixels of the view of side 8
        height, width = clips.size[i].tolist()
        x0, y0, x1, y1 = (view.box[i] * torch.tensor([width, height, width, height])).tolist()
        x, y = (point[0] - x0) / (x1 - x0) * 8, (point[1] - y0) / (y1 - y0) * 8
        return torch.tensor([8 - x if view.flipped[i] else x, y])

    for i in range(6):
        moved = place((13.0, 8.0), i) - place((10.0, 10.0), i)
        torch.testing.assert_close(got[i, :, 0, 3, 3], moved, atol=1e-3, rtol=1e-3)


def test_motion_vectors_on_their_coarse_grid_equal_flow(clips):
    """An eighth of the size, but in pixels of the picture: a constant field gives the same view as full-size flow."""
    clips = Clips(torch.zeros(2, 1, 3, 4, 48, 64, dtype=torch.uint8), torch.tensor([[48, 64], [40, 48]]))
    view = make_view(clips, FULL, draws(range(2)))
    flow = Clips(torch.full((2, 1, 2, 4, 48, 64), 5.0), clips.size)
    vectors = Clips(torch.full((2, 1, 2, 4, 6, 8), 5.0, dtype=torch.float16), clips.size // 8)
    wanted = apply_geometry(flow, view, 8, vectors=True)
    torch.testing.assert_close(apply_geometry(vectors, view, 8, vectors=True), wanted, atol=1e-2, rtol=0)
    torch.testing.assert_close(
        centre_view(vectors, 8, vectors=True, cell=8), centre_view(flow, 8, vectors=True), atol=1e-2, rtol=0
    )


def test_centre_view_equals_torchvision(clips):
    got = centre_view(clips, 12)
    for i, (height, width) in enumerate(SIZES):
        side = min(height, width)
        picture = (one(clips, i).frames[0, 0].float() / 255).transpose(0, 1)
        wanted = oracle.resized_crop(picture, (height - side) // 2, (width - side) // 2, side, side, [12, 12], antialias=True)
        torch.testing.assert_close(got[i].transpose(0, 1), wanted, atol=1e-5, rtol=0)


def test_normalise():
    frames = torch.rand(2, 2, 3, 4, 4)
    wanted = (frames - torch.tensor([0.1, 0.2])[:, None, None, None]) / torch.tensor([0.5, 2.0])[:, None, None, None]
    torch.testing.assert_close(normalise(frames, (0.1, 0.2), (0.5, 2.0)), wanted)


def test_views_are_float32_under_autocast(clips):
    plain = make_view(clips, FULL, draws()).frames
    with torch.autocast("cpu", torch.bfloat16):
        cast = make_view(clips, FULL, draws()).frames
    assert cast.dtype == torch.float32
    assert torch.equal(plain, cast)


def test_wrong_channels_are_told(clips):
    edges = Clips(clips.frames[:, :, :1], clips.size)
    with pytest.raises(ReelvecError, match="3 numbers for mean"):
        make_view(edges, FULL, draws())
    with pytest.raises(ReelvecError, match="set jitter=0, grey=0, blur=0, solarise=0"):
        make_view(edges, FULL.model_copy(update={"mean": (0.0,), "std": (1.0,)}), draws())


@pytest.mark.parametrize(
    "wrong", [{"flip": 1.5}, {"area": (0.0, 1.0)}, {"area": (0.5, 0.3)}, {"aspect": (2.0, 1.0)}, {"blur_kernel": 4},
              {"blur_sigma": (0.0, 1.0)}, {"size": 0}, {"colour": "never"}, {"flipp": 0.5}],
)  # fmt: skip
def test_wrong_settings_are_told(wrong):
    with pytest.raises(ValidationError):
        ViewConfig(**({"size": 12} | wrong))
