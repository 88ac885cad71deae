"""Clips as a codec gives them: brightness at full size, two differences of colour at half of it (YUV 4:2:0)."""

from functools import cached_property

import torch
from torch import Tensor

from reelvec.core.batch import Clips
from reelvec.core.shapes import Float, Int, Shaped, UInt8


class PlaneClips(Clips):
    """RGB clips in half the bytes. Whoever asks for `frames` gets RGB; views go around that (`views.geometry.crop`)."""

    def __init__(
        self,
        luma: UInt8[Tensor, "b n 1 t h w"],
        chroma: UInt8[Tensor, "b n 2 t h2 w2"],
        to_rgb: Float[Tensor, "b 3 4"],
        size: Int[Tensor, "b 2"],
    ) -> None:
        """`to_rgb` makes R, G, B from 0 to 255 of (Y, U, V, 1); pixel (y, x) has the colour (y // 2, x // 2)."""
        # the fields of a frozen dataclass, of which `frames` is computed here
        for name, value in (("luma", luma), ("chroma", chroma), ("to_rgb", to_rgb), ("size", size)):
            object.__setattr__(self, name, value)

    luma: Tensor
    chroma: Tensor
    to_rgb: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the RGB clips."""
        return (*self.luma.shape[:2], 3, *self.luma.shape[3:])

    @property
    def device(self) -> torch.device:
        """Where the planes are."""
        return self.luma.device

    @cached_property
    def frames(self) -> Shaped[Tensor, "b n c t h w"]:
        """RGB, uint8; zeros at the right and bottom of smaller pictures."""
        return torch.cat([self._rgb(i) for i in range(len(self.luma))])

    @property
    def is_float(self) -> bool:
        """They are bytes."""
        return False

    @property
    def decoded_bytes(self) -> int:
        """Memory of the planes."""
        return self.luma.numel() + self.chroma.numel()

    def box(self, samples: int | slice, top: int, bottom: int, left: int, right: int) -> UInt8[Tensor, "*b n 3 t h w"]:
        """Cut one box out of all planes of a sample, or of each of several; not RGB: each colour stands for four pixels."""
        luma = self.luma[samples, ..., top:bottom, left:right]
        chroma = self.chroma[samples, ..., top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2]
        height, width = chroma.shape[-2:]
        # one copy: what is repeated is a view with strides of zero
        wide = chroma[..., :, None, :, None].expand(*chroma.shape[:-2], height, 2, width, 2).flatten(-4, -3).flatten(-2, -1)
        y, x = top % 2, left % 2
        return torch.cat([luma, wide[..., y : y + luma.shape[-2], x : x + luma.shape[-1]]], -4)

    def _rgb(self, sample: int) -> UInt8[Tensor, "1 n 3 t h w"]:
        height, width = self.size[sample].tolist()
        out = self.luma.new_zeros((1, *self.shape[1:]))
        planes = self.box(sample, 0, height, 0, width).float()
        mixed = planes_to_rgb(planes, self.to_rgb[sample].expand(len(planes), 3, 4))
        out[0, ..., :height, :width] = mixed.round_()
        return out

    def at(self, i: int) -> "PlaneClips":
        """Return clip i of every video."""
        return PlaneClips(self.luma[:, i : i + 1], self.chroma[:, i : i + 1], self.to_rgb, self.size)

    def part(self, samples: slice) -> "PlaneClips":
        """Return some of the videos."""
        return PlaneClips(self.luma[samples], self.chroma[samples], self.to_rgb[samples], self.size[samples])

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "PlaneClips":
        """Move the planes to a device; `size` stays on the CPU."""
        luma, chroma, to_rgb = (part.to(device, non_blocking=non_blocking) for part in (self.luma, self.chroma, self.to_rgb))
        return PlaneClips(luma, chroma, to_rgb, self.size)

    def pin(self) -> "PlaneClips":
        """Put the planes into pinned memory."""
        return PlaneClips(self.luma.pin_memory(), self.chroma.pin_memory(), self.to_rgb, self.size)


def planes_to_rgb(planes: Float[Tensor, "b 3 t h w"], to_rgb: Float[Tensor, "b 3 4"]) -> Float[Tensor, "b 3 t h w"]:
    """Mix Y, U and V (0 to 255) into R, G and B, cut off below 0 and above 255; a matrix for each of `b`."""
    with torch.autocast(planes.device.type, enabled=False):
        mixed = torch.baddbmm(to_rgb[..., 3:], to_rgb[..., :3], planes.flatten(2))
    return mixed.clamp_(0, 255).view(planes.shape)
