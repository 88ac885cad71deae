import torch

from reelvec.core import Batch, Clips, Needs, Progress, Stream, StreamNeed


def made():
    frames = torch.arange(2 * 3 * 1 * 2 * 2 * 2, dtype=torch.uint8).reshape(2, 3, 1, 2, 2, 2)
    clips = Clips(frames, torch.tensor([[2, 2], [1, 2]]))
    numbers = torch.tensor([4, 5])
    return Batch({Stream.RGB: clips}, numbers, numbers, torch.zeros(2, 3), torch.ones(2))


def test_a_clip_is_cut_out_with_its_sizes():
    batch = made()
    clip = batch.clip(Stream.RGB, 1)
    assert clip.frames.shape == (2, 1, 1, 2, 2, 2)
    assert torch.equal(clip.frames[:, 0], batch.streams[Stream.RGB].frames[:, 1])
    assert len(batch) == 2


def test_a_part_holds_whole_videos():
    whole, part = made(), made().part(slice(1, 2))
    assert len(part) == 1
    assert torch.equal(part.streams[Stream.RGB].frames, whole.streams[Stream.RGB].frames[1:])
    assert torch.equal(part.streams[Stream.RGB].size, whole.streams[Stream.RGB].size[1:])
    assert (part.numbers.tolist(), part.rows.tolist()) == ([5], [5])
    assert part.start_seconds.shape == (1, 3)


def test_moving_keeps_every_part():
    moved = made().to("meta")
    assert moved.streams[Stream.RGB].frames.device.type == "meta"
    assert {moved.numbers.device.type, moved.rows.device.type, moved.start_seconds.device.type} == {"meta"}


def test_what_steers_the_work_stays_on_the_host():
    """Fetching it back would make every view wait for the device."""
    whole = made()
    moved = whole.to("meta").to("meta").part(slice(0, 1))
    assert torch.equal(moved.streams[Stream.RGB].size, whole.streams[Stream.RGB].size[:1])
    draws, at = Progress(0, 1, 0.0, seed=3).draws(moved, "view"), Progress(0, 1, 0.0, seed=3)
    assert draws.numbers.device.type == "meta"
    for drawn in (draws.on_host().uniform("x"), draws.within("inner").on_host().uniform("x")):
        assert drawn.device.type == "cpu"
    assert torch.equal(draws.on_host().uniform("x"), at.draws(whole, "view").uniform("x")[:1])
    assert torch.equal(at.draws(whole, "view").on_host().uniform("x"), at.draws(whole, "view").uniform("x"))


def test_needs_find_a_stream():
    need = StreamNeed(stream=Stream.RGB, frames=8, stride=2)
    assert Needs(streams=(need,)).need(Stream.RGB) == need
