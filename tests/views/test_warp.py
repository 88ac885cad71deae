import pytest
import torch

from reelvec.core import Draws
from reelvec.views.warp import bump_grid, resample, spline_grid, still_grid, turned

CPU = torch.device("cpu")


def draws(videos=4):
    return Draws(3, torch.arange(videos), "query")


def pictures(videos=4, time=3, size=24):
    return torch.rand(videos, 2, time, size, size, generator=torch.Generator().manual_seed(0))


def slow_spline(net, values, points):
    """The thin-plate spline through values at the points of a net, by its own linear system and one point at a time."""

    def bend(a, b):
        squared = float(((a - b) ** 2).sum())
        return squared * torch.tensor(squared).log().item() if squared > 0 else 0.0

    many = len(net)
    system = torch.zeros(many + 3, many + 3, dtype=torch.float64)
    for i in range(many):
        for j in range(many):
            system[i, j] = bend(net[i], net[j])
        system[i, many:] = system[many:, i] = torch.tensor([1.0, *net[i]], dtype=torch.float64)
    solved = torch.linalg.solve(system, torch.cat([values, torch.zeros(3, 2, dtype=torch.float64)]))
    rows = [[bend(p, q) for q in net] + [1.0, float(p[0]), float(p[1])] for p in points]
    return torch.tensor(rows, dtype=torch.float64) @ solved


def test_the_still_grid_reads_every_pixel_where_it_is():
    frames = pictures()
    torch.testing.assert_close(resample(frames, still_grid(24, CPU).expand(4, -1, -1, -1)), frames)


def test_the_spline_is_the_thin_plate_through_what_was_moved():
    size, points = 9, 5
    grid = spline_grid(size, draws(2), 0.1, points)
    moved = draws(2).uniform("spline", -0.1, 0.1, many=2 * points**2).double().reshape(2, points**2, 2)
    line = torch.linspace(-1, 1, points, dtype=torch.float64)
    net = torch.stack([torch.stack([x, y]) for y in line for x in line])
    pixels = still_grid(size, CPU).double().reshape(-1, 2)
    for video in range(2):
        expected = slow_spline(net, net + moved[video], pixels)
        torch.testing.assert_close(grid[video].double().reshape(-1, 2), expected, atol=1e-5, rtol=1e-5)


def test_a_spline_never_folds_the_picture_and_a_reach_of_none_leaves_it():
    grid = spline_grid(48, draws(64), 0.1)
    along_x, along_y = grid.diff(dim=2)[:, :-1], grid.diff(dim=1)[:, :, :-1]
    assert (along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0] > 0).all()
    torch.testing.assert_close(spline_grid(12, draws(1), 0.0), still_grid(12, CPU))


@pytest.mark.parametrize("size", [224, 56])
def test_bumps_are_the_formula_of_the_card_scaled_by_the_size(size):
    """The last bump reads the picture that the bumps before it made, so points pass the bumps from the last to the first."""
    one, pixel = draws(12), 2 / 224
    many = 1 + (one.uniform("bumps") * 3).floor()
    assert set(many.tolist()) == {1.0, 2.0, 3.0}
    centres = (one.uniform("centres", 60 * pixel, 140 * pixel, many=6) / pixel).double().reshape(12, 3, 2)
    shifts = (one.uniform("shifts", 10 * pixel, 20 * pixel, many=6) / pixel).double().reshape(12, 3, 2)
    grid = (bump_grid(size, one).double() + 1) / pixel  # in pixels of a picture of 224
    line = (torch.arange(size, dtype=torch.float64) + 0.5) * 224 / size
    for video in range(12):
        for row, column in ((size // 2, size // 2), (size // 3, size // 2), (size // 2, size // 3), (0, 0)):
            p = torch.stack([line[column], line[row]])
            for bump in reversed(range(int(many[video]))):
                c, s = centres[video, bump], shifts[video, bump]
                if (p - c).norm() <= 3 * s.norm():
                    p = p - 0.5 / (3 * ((p - (c + s)).norm() / s.norm()) ** 4 + 1) * s
            torch.testing.assert_close(grid[video, row, column], p, atol=1e-3, rtol=1e-4)


def test_every_picture_gets_a_bump():
    assert (bump_grid(56, draws(64)) != still_grid(56, CPU)).any(-1).flatten(1).any(1).all()


def test_a_quarter_turn_is_counter_clockwise():
    frames = pictures(1)
    grid = turned(still_grid(24, CPU), torch.tensor([90.0]))
    torch.testing.assert_close(resample(frames, grid), frames.rot90(1, (3, 4)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("made", [lambda: spline_grid(24, draws()), lambda: bump_grid(24, draws())], ids=["spline", "bumps"])
def test_all_frames_bend_alike_and_no_two_videos(made):
    still = pictures()[:, :, :1].expand(-1, -1, 3, -1, -1)
    bent = resample(still, made())
    assert torch.equal(bent, bent[:, :, :1].expand_as(bent)), "a clip that stands still must not begin to move"
    assert not torch.equal(made()[0], made()[1])


def test_outside_the_picture_stands_its_border():
    frames = pictures(1)
    far = still_grid(24, CPU) + torch.tensor([3.0, 0.0])
    torch.testing.assert_close(resample(frames, far), frames[..., -1:].expand_as(frames))


def test_no_gradient_and_full_precision_under_autocast():
    frames = pictures().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        bent = resample(frames, spline_grid(24, draws()))
    assert bent.dtype == torch.float32
    assert not bent.requires_grad
    assert torch.equal(bent, resample(frames, spline_grid(24, draws())))
