"""Networks of which it is known what they know, and answers of which it is known how many are right."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KnowsMotion(nn.Module):
    """How what changes moves from frame to frame: correlation of residues at small shifts; blind to what is always there."""

    def forward(self, clips: Tensor) -> Tensor:
        residue = clips.mean(1) - clips.mean((1, 2))[:, None]  # b t h w
        now, then = residue[:, :-1], residue[:, 1:]
        shifts = [(y, x) for y in range(-3, 4) for x in range(-3, 4)]
        moved = torch.stack([(now.roll(shift, (2, 3)) * then).mean((2, 3)) for shift in shifts], -1)  # b t-1 shifts
        return F.normalize(moved.flatten(1), dim=1, eps=1e-6)[..., None, None, None]


class KnowsScene(nn.Module):
    """The texture of the middle frame: its spectrum, in bands of direction and of fineness."""

    def forward(self, clips: Tensor) -> Tensor:
        frame = clips[:, :, clips.shape[2] // 2].mean(1)
        spectrum = torch.fft.fft2(frame - frame.mean((1, 2), keepdim=True)).abs().log1p()
        return F.adaptive_avg_pool2d(torch.fft.fftshift(spectrum, (1, 2)), 12).flatten(1)[..., None, None, None]


def hits(share: float, many: int = 200) -> Tensor:
    """Return for so many videos 1 where the answer is right, else 0."""
    return (torch.arange(many) < round(share * many)).double()
