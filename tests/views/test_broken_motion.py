import torch

from reelvec.core import Draws
from reelvec.views.broken_motion import shuffle_frames, warp_by_flow

DRAWS = Draws(3, torch.arange(3), "negative")


def pictures(time=4, size=16):
    return torch.rand(3, 2, time, size, size, generator=torch.Generator().manual_seed(0))


def test_what_stands_still_stays():
    frames = pictures()
    warped = warp_by_flow(frames, torch.zeros(3, 2, 4, 16, 16), 10.0, 5.0, DRAWS)
    torch.testing.assert_close(warped, frames)


def test_each_frame_moves_along_its_flow_by_a_factor_of_its_own():
    """A ramp reads its own coordinate: brighter by what the flow adds to it, along x and y alike."""
    line = torch.arange(32.0)
    ramps = torch.stack([line.expand(32, 32), line[:, None].expand(32, 32)])[None, :, None].expand(3, 2, 4, 32, 32)
    u, v = 0.7, -0.4
    flow = torch.tensor([u, v])[None, :, None, None, None].expand(3, 2, 4, 32, 32)
    change = (warp_by_flow(ramps, flow, 10.0, 100.0, DRAWS) - ramps)[:, :, :, 8:24, 8:24]
    factors = DRAWS.uniform("flow", 0.01, 10.0, many=4)
    torch.testing.assert_close(change[:, 0], (factors * u)[..., None, None].expand(3, 4, 16, 16), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(change[:, 1], (factors * v)[..., None, None].expand(3, 4, 16, 16), atol=1e-3, rtol=1e-3)
    assert len(factors.unique()) == factors.numel()


def test_no_pixel_reads_from_farther_than_the_reach():
    line = torch.arange(32.0).expand(3, 1, 4, 32, 32)
    flow = torch.full((3, 2, 4, 32, 32), 50.0)
    change = (warp_by_flow(line, flow, 10.0, 3.0, DRAWS) - line)[..., :28]
    assert change.max() <= 3.001


def test_shuffled_frames_are_the_same_frames_in_another_order_for_each_video():
    frames = torch.arange(8.0)[None, None, :, None, None].expand(3, 2, 8, 4, 4)
    shuffled = shuffle_frames(frames, DRAWS)[:, 0, :, 0, 0]
    assert torch.equal(shuffled.sort(1).values, torch.arange(8.0).expand(3, 8))
    assert len(shuffled.unique(dim=0)) == 3
    assert torch.equal(shuffle_frames(frames, DRAWS)[:, 1, :, 3, 3], shuffled)
