from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reelvec.core import Encoder, EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.evals.dense.frame_folders import FrameSequence
from reelvec.evals.dense.frame_maps import FrameMaps, pixel_maps, refuse_motion

CPU = torch.device("cpu")


def card(frames: int, stream: Stream = Stream.RGB) -> EncoderCard:
    need = StreamNeed(stream=stream, frames=frames, stride=2)
    return EncoderCard(
        name="visual", architecture="made", channels=3, needs=Needs(streams=(need,), clips=1), size=16,
        mean=(0.5,) * 3, std=(0.25,) * 3, method="none",
    )  # fmt: skip


class Body(nn.Module):
    """Notes what it is shown; gives every `step`-th frame, averaged over cells of 4 x 4."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.clips: list[Tensor] = []

    def forward(self, clip: Tensor) -> Tensor:
        self.clips.append(clip)
        return nn.functional.avg_pool3d(clip[:, :, :: self.step], (1, 4, 4))


@pytest.fixture
def sequence(tmp_path: Path) -> FrameSequence:
    """Ten frames; frame t is 20 t all over, with a black pixel in the upper left corner."""
    paths = []
    for number in range(10):
        picture = np.full((16, 24, 3), 20 * number, np.uint8)
        picture[0, 0] = 0
        paths.append(tmp_path / f"{number:05d}.png")
        cv2.imwrite(str(paths[-1]), picture)
    return FrameSequence("made", tuple(paths), (None,) * 10)


def shade(number: int) -> float:
    return (20 * number / 255 - 0.5) / 0.25


def made(step: int, frames: int, **how: str) -> tuple[FrameMaps, Body]:
    body = Body(step)
    return FrameMaps(Encoder("made", body, 3, 3), card(frames), CPU, **how), body


def test_windows_follow_one_another_and_end_in_zeros(sequence: FrameSequence) -> None:
    maps, body = made(1, 4)
    found = list(maps.of(sequence, (16, 24)))
    assert len(found) == 10
    assert found[0].shape == (3, 4, 6)
    assert [one[0, 3, 3].item() for one in found] == pytest.approx([shade(number) for number in range(10)], abs=1e-5)
    assert [clip.shape[2] for clip in body.clips] == [4, 4, 4]
    assert body.clips[2][:, :, 2:].abs().max() == 0
    assert "zeros after the last" in maps.in_words


def test_windows_may_end_in_copies(sequence: FrameSequence) -> None:
    maps, body = made(1, 4, filled="copies of it")
    list(maps.of(sequence, (16, 24)))
    assert torch.equal(body.clips[2][:, :, 3], body.clips[2][:, :, 1])
    assert "copies of it after the last" in maps.in_words


def test_maps_are_interpolated_in_time(sequence: FrameSequence) -> None:
    maps, _ = made(2, 4)
    found = [one[0, 3, 3].item() for one in maps.of(sequence, (16, 24))]
    # maps of frames 0 and 2 stand at a quarter and three quarters of the window: 0, 0.25, 0.75 of the way, 1
    wanted = [shade(0), 0.75 * shade(0) + 0.25 * shade(2), 0.25 * shade(0) + 0.75 * shade(2), shade(2)]
    assert found[:4] == pytest.approx(wanted, abs=1e-5)


def test_each_frame_repeated(sequence: FrameSequence) -> None:
    maps, body = made(2, 4, clips="repeated")
    found = [one[0, 3, 3].item() for one in maps.of(sequence, (16, 24))]
    assert found == pytest.approx([shade(number) for number in range(10)], abs=1e-5)
    assert len(body.clips) == 10
    assert all(torch.equal(clip[:, :, 0], clip[:, :, 3]) for clip in body.clips)


def test_one_frame_at_a_time_and_no_more_is_held(sequence: FrameSequence, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = FrameSequence.frame
    monkeypatch.setattr(FrameSequence, "frame", lambda self, number: read.append(number) or plain(self, number))
    maps, body = made(1, 1)
    walk = maps.of(sequence, (8, 12))
    next(walk)
    assert read == [0]
    assert body.clips[0].shape == (1, 3, 1, 8, 12)
    assert maps.in_words == "each frame alone"
    windows = made(1, 4)[0].of(sequence, (8, 12))
    next(windows)
    assert read == [0, 0, 1, 2, 3]


def test_a_size_that_the_network_cannot_read(sequence: FrameSequence) -> None:
    maps, _ = made(1, 4)
    with pytest.raises(ReelvecError, match="size=16,16"):
        list(maps.of(sequence, (3, 3)))


def test_features_that_are_not_finite(sequence: FrameSequence) -> None:
    class Broken(nn.Module):
        def forward(self, clip: Tensor) -> Tensor:
            return clip.log()

    maps = FrameMaps(Encoder("made", Broken(), 3, 3), card(4), CPU)
    with pytest.raises(ReelvecError, match="not finite"):
        list(maps.of(sequence, (16, 24)))


def test_pixels_need_no_network(sequence: FrameSequence) -> None:
    one, *_, last = pixel_maps(sequence, (16, 24), (2, 3), card(4))
    assert one.shape == (48, 2, 3)
    assert last[0, 0, 0] < last[0, 1, 1] == pytest.approx(shade(9), abs=1e-5)  # the black pixel is a part of its own cell


@pytest.mark.parametrize("stream", [Stream.FLOW, Stream.FLOW_EDGES, Stream.MOTION_VECTORS])
def test_encoders_of_motion_are_refused(stream: Stream) -> None:
    refuse_motion(card(4), "measure")
    with pytest.raises(ReelvecError, match="encoder=visual"):
        refuse_motion(card(4, stream), "measure")


def test_real_networks(sequence: FrameSequence, tmp_path: Path) -> None:
    from reelvec.backbones import build_encoder

    maps = FrameMaps(build_encoder("tiny"), card(8), CPU)
    found = list(maps.of(sequence, (32, 48)))
    assert len(found) == 10
    assert found[0].shape == (128, 2, 3)
