"""What a method is handed: the clips of a batch of videos, and what was drawn to get them."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from reelvec.core.needs import Stream
from reelvec.core.shapes import Float, Int, Shaped


@dataclass(frozen=True)
class Clips:
    """One stream of a batch. Videos of different shapes share a tensor: the rest is zeros at the right and bottom."""

    frames: Shaped[Tensor, "b n c t h w"]
    size: Int[Tensor, "b 2"]
    """height and width of the part of each video's frames that is picture; on the CPU, as it says what to cut"""

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the frames: b n c t h w."""
        return tuple(self.frames.shape)

    @property
    def device(self) -> torch.device:
        """Where the frames are."""
        return self.frames.device

    @property
    def is_float(self) -> bool:
        """Whether the numbers are floats, not the bytes 0 to 255."""
        return self.frames.is_floating_point()

    @property
    def decoded_bytes(self) -> int:
        """Memory of the pictures."""
        return self.frames.numel() * self.frames.element_size()

    def box(self, samples: int | slice, top: int, bottom: int, left: int, right: int) -> Shaped[Tensor, "*b n c t h w"]:
        """Cut one box out of all frames of a sample, or of each of several."""
        return self.frames[samples, ..., top:bottom, left:right]

    def at(self, i: int) -> "Clips":
        """Return clip i of every video (n = 1)."""
        return Clips(self.frames[:, i : i + 1], self.size)

    def part(self, samples: slice) -> "Clips":
        """Return some of the videos."""
        return Clips(self.frames[samples], self.size[samples])

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Clips":
        """Move the frames to a device; `size` stays on the CPU."""
        return Clips(self.frames.to(device, non_blocking=non_blocking), self.size)

    def pin(self) -> "Clips":
        """Put the frames into pinned memory."""
        return Clips(self.frames.pin_memory(), self.size)


@dataclass(frozen=True)
class Batch:
    """`b` videos, `n` clips of each, every stream over the same times."""

    streams: dict[Stream, Clips]
    numbers: Int[Tensor, "b"]
    """running number of each sample in the run (epoch x videos + position): what random draws hang on"""
    rows: Int[Tensor, "b"]
    """row of each video in the index (after a replacement: of the video that was really read)"""
    start_seconds: Float[Tensor, "b n"]
    """where each clip starts in its video"""
    span_seconds: Float[Tensor, "b"]
    """time from a clip's first frame to the end of its last frame's step"""
    host_numbers: Int[Tensor, "b"] | None = None
    """of a batch on a device: the numbers on the CPU, so that nobody has to fetch them back"""

    def __len__(self) -> int:
        return len(self.numbers)

    def clip(self, stream: Stream, i: int) -> Clips:
        """Return clip i of every video as a `Clips` with n = 1."""
        return self.streams[stream].at(i)

    def part(self, samples: slice) -> "Batch":
        """Return some of the videos."""
        streams = {name: clips.part(samples) for name, clips in self.streams.items()}
        return Batch(
            streams=streams,
            numbers=self.numbers[samples],
            rows=self.rows[samples],
            start_seconds=self.start_seconds[samples],
            span_seconds=self.span_seconds[samples],
            host_numbers=None if self.host_numbers is None else self.host_numbers[samples],
        )

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Batch":
        """Move the pictures and all that was drawn to a device."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=non_blocking)

        streams = {name: clips.to(device, non_blocking) for name, clips in self.streams.items()}
        moved: dict[str, Any] = {
            name: move(getattr(self, name)) for name in ("numbers", "rows", "start_seconds", "span_seconds")
        }
        on_host = self.numbers if self.numbers.device.type == "cpu" else self.host_numbers
        return replace(self, streams=streams, host_numbers=on_host, **moved)

    def pin(self) -> "Batch":
        """Put the pictures into pinned memory, for copies that run beside the computation."""
        return replace(self, streams={name: clips.pin() for name, clips in self.streams.items()})
