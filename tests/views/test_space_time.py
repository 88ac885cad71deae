"""The sampling grid against its formulas, and against the ways in which a network could tell a bend without looking."""

import math

import pytest
import torch

from reelvec.core import Clips, Draws, ReelvecError
from reelvec.views.space_time import Bends, Limits, SpaceTimeConfig, blur_by_place, clock, frame_numbers, space_time_view

SCALES = [(1.0, 1.0), (1.5, 1.0), (1.0, 1.5), (2.0, 1.0), (1.0, 2.0)]
TILTS = [(0.0, 0.0), (0.3, 0.0), (-0.3, 0.0), (0.0, 0.3), (0.0, -0.3)]
LIMITS = Limits(stretch=2.0, tilt=0.3)


def bends(stretch=(1.0, 1.0), tilt=(0.0, 0.0), interval=1, c=0.0, backwards=False, many=1):
    values = (torch.tensor([value] * many) for value in (stretch, tilt, interval, c, backwards))
    return Bends(*values)


def settings(**changes):
    plain = {"size": 48, "flip": 0.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "equal_blur": False}
    return SpaceTimeConfig(**{**plain, **changes})


def view(frames, bent, limits=LIMITS, config=None, shown=4, size=None):
    """Look at one (3 t h w) uint8 clip as often as there are bends."""
    many = len(bent.clock)
    height, width = size or frames.shape[-2:]
    clips = Clips(frames.expand(many, 1, *frames.shape), torch.tensor([[height, width]] * many))
    draws = Draws(0, torch.zeros(many, dtype=torch.int64), "view")  # equal numbers: equal places and colours
    return space_time_view(clips, bent, limits, shown, config or settings(), draws)


def all_of(values, **fixed):
    each = [bends(**fixed, **value) for value in values]
    return Bends(*(torch.cat([getattr(e, n) for e in each]) for n in ("stretch", "tilt", "interval", "clock", "backwards")))


def ramps(side=96, times=4):
    """A picture that says in red and green where it is, in pixels' centres."""
    line = torch.arange(side, dtype=torch.uint8)
    picture = torch.stack([line.expand(side, side), line[:, None].expand(side, side), torch.zeros(side, side).byte()])
    return picture[:, None].expand(3, times, side, side).contiguous()


@pytest.mark.parametrize("stretch", SCALES)
@pytest.mark.parametrize("tilt", TILTS)
def test_every_pixel_reads_where_the_formulas_say(stretch, tilt):
    seen = view(ramps(), bends(stretch, tilt))[0] * 255 + 0.5  # pixel i covers i to i + 1
    half = 0.875 * (48 - 0.5) * (1 - 0.3)
    plain = view(ramps(), bends())[0] * 255 + 0.5
    centre_x, centre_y = plain[0, 0, 0].mean().item(), plain[1, 0, :, 0].mean().item()
    for row, column in [(0, 0), (5, 40), (47, 47), (24, 3)]:
        x, y = (column + 0.5) / 24 - 1, (row + 0.5) / 24 - 1
        depth = 1 + tilt[0] * x + tilt[1] * y
        expected_x = centre_x + half * x / depth / stretch[0]
        expected_y = centre_y + half * y / depth / stretch[1]
        assert seen[0, 0, row, column].item() == pytest.approx(expected_x, abs=0.02)
        assert seen[1, 0, row, column].item() == pytest.approx(expected_y, abs=0.02)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_things_grow_towards_the_right_for_positive_h_also_in_a_mirror(flip):
    seen = view(ramps(), bends(tilt=(0.3, 0.0)), config=settings(flip=flip))[0, 0, 0, 24]
    step = seen.diff().abs()
    assert step[0] > 2 * step[-1]  # small steps through the picture: large things


def test_the_clock_is_the_cards():
    for c in (0.0, 2.0, -2 / 3):
        for share in (0.0, 0.2, 0.7, 1.0):
            assert clock(torch.tensor(share), torch.tensor(c)).item() == pytest.approx((1 + c) * share / (1 + c * share))
    share = torch.linspace(0, 1, 9)
    mirrored = 1 - clock(1 - share, torch.tensor(-2 / 3).expand(9))
    torch.testing.assert_close(clock(share, torch.tensor(2.0).expand(9)), mirrored)  # c and -c / (1 + c) are mirror images


def test_frames_are_the_nearest_on_the_clock():
    draws = Draws(0, torch.tensor([4]), "x")
    assert frame_numbers(bends(interval=3), 8, 22, draws).tolist() == [[0, 3, 6, 9, 12, 15, 18, 21]]
    fast_first = frame_numbers(bends(interval=3, c=2.0), 8, 22, draws)[0]
    assert fast_first.tolist() == [round(21 * 3 * k / 7 / (1 + 2 * k / 7)) for k in range(8)]
    slow_first = frame_numbers(bends(interval=3, c=-2 / 3), 8, 22, draws)[0]
    assert (slow_first == 21 - fast_first.flip(0)).all()
    assert frame_numbers(bends(interval=3, backwards=True), 8, 22, draws)[0].tolist() == list(range(21, -1, -3))


def test_the_first_frame_is_anywhere_that_leaves_room():
    numbers = frame_numbers(bends(interval=2, many=500), 4, 10, Draws(0, torch.arange(500), "x"))
    assert set(numbers[:, 0].tolist()) == {0, 1, 2, 3}
    assert ((numbers[:, -1] - numbers[:, 0]) == 6).all()


def test_too_short_a_clip_is_an_error_for_people():
    with pytest.raises(ReelvecError, match="read clips of 22 frames"):
        frame_numbers(bends(interval=3), 8, 21, Draws(0, torch.tensor([4]), "x"))


def test_a_still_clip_does_not_show_how_time_was_bent():
    """Shortcut control of the card: on frames that repeat, the classes of time must not be in the pixels at all."""
    picture = torch.randint(0, 256, (3, 1, 60, 70), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    times = [{"interval": i, "c": c, "backwards": b} for i in (1, 2, 8) for c in (0.0, 2.0, -2 / 3) for b in (False, True)]
    seen = view(picture.expand(3, 25, 60, 70).contiguous(), all_of(times, stretch=(1.5, 1.0)), config=settings(equal_blur=True))
    assert torch.equal(seen, seen[:1].expand_as(seen))
    assert torch.equal(seen, seen[:, :, :1].expand_as(seen))  # one grid for all frames: a still clip stays still


def test_an_empty_picture_shows_no_bend_and_no_border():
    """A wall of one colour, beside padding of another: nothing but the wall may be seen, whatever the bend."""
    frames = torch.full((3, 4, 60, 80), 200, dtype=torch.uint8)
    frames[:, :, 50:], frames[:, :, :, 64:] = 0, 0
    bent = all_of([{"stretch": s, "tilt": t} for s in SCALES for t in TILTS])
    for equal_blur in (False, True):
        seen = view(frames, bent, config=settings(equal_blur=equal_blur, crop=1.0), size=(50, 64))
        torch.testing.assert_close(seen, torch.full_like(seen, 200 / 255), rtol=0, atol=1e-5)


def width_of_a_line(bent, along, config):
    """Standard deviation, in pixels of the view, of what a line one pixel wide becomes at the middle of the view."""
    frames = torch.zeros(3, 1, 65, 65, dtype=torch.uint8)
    if along == "x":
        frames[:, :, :, 32] = 255
    else:
        frames[:, :, 32] = 255
    seen = view(frames, bent, config=config, shown=1)[0, 0, 0]
    profile = (seen if along == "x" else seen.T)[30:34].mean(0)  # a tilted line is straight over some rows
    place = torch.arange(len(profile))
    mean = (profile * place).sum() / profile.sum()
    return ((profile * (place - mean).square()).sum() / profile.sum()).sqrt().item()


@pytest.mark.parametrize("along", ["x", "y"])
def test_no_stretch_can_be_told_by_its_blur(along):
    """What interpolation blurs, hangs on the class; the added blur makes all classes equal."""
    still = {"size": 64, "crop": 1.0}
    blurred = [width_of_a_line(bends(s), along, settings(**still, equal_blur=True)) for s in SCALES]
    plain = [width_of_a_line(bends(s), along, settings(**still)) for s in SCALES]
    pixel = 64 / (2 * (32.5 - 0.5) * 0.7)
    assert blurred == pytest.approx([pixel * 2 * 1.3**2 / math.sqrt(6)] * 5, rel=0.05)
    assert max(plain) / min(plain) > 1.7  # the shortcut is there without it


@pytest.mark.parametrize("tilt", TILTS[1:])
def test_a_projection_is_as_blurred_at_one_side_as_at_the_other(tilt):
    """Noise of single pixels: without the added blur, its steps are far smaller where things are large."""
    noise = torch.randint(0, 256, (3, 16, 160, 160), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)

    def roughness(equal_blur):
        """Energy of the steps over the energy of what is stepped through: at the side that grows, then at the other."""
        seen = view(noise, bends(tilt=tilt), config=settings(size=96, equal_blur=equal_blur), shown=16)[0]
        seen = seen if tilt[0] else seen.mT
        seen = seen if sum(tilt) > 0 else seen.flip(3)
        sides = seen[..., -30:-6], seen[..., 6:30]
        return [(s.diff(dim=3).var() / s.var()).item() for s in sides]

    grown, other = roughness(False)
    assert other > 1.6 * grown
    grown, other = roughness(True)
    assert other == pytest.approx(grown, rel=0.35)


def test_a_blur_by_place_of_one_width_is_a_gaussian():
    picture = torch.zeros(1, 1, 21, 21)
    picture[0, 0, 10, 10] = 1
    seen = blur_by_place(picture, torch.tensor([1.5, 0.8]).expand(1, 21, 21, 2))[0, 0]
    place = torch.arange(21) - 10
    for axis, sigma in ((0, 1.5), (1, 0.8)):
        profile = seen.sum(axis)
        assert (profile * place.square()).sum().sqrt().item() == pytest.approx(sigma, rel=0.03)
    assert torch.equal(blur_by_place(picture, torch.zeros(1, 21, 21, 2)), picture)


def test_bends_without_end_are_refused():
    with pytest.raises(ValueError, match="infinity"):
        Limits(tilt=0.95)
