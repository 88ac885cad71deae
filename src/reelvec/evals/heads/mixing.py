"""Mixup (arXiv 1710.09412) and cutmix (1905.04899) of clips, drawn once for a batch as timm does it; targets that suit."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.shapes import Float, Int


def smoothed(labels: Int[Tensor, "b"], classes: int, smoothing: float) -> Float[Tensor, "b classes"]:
    """Return targets of 1 - smoothing for the right class, and the rest spread over all of them."""
    return F.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def mix(
    clips: Float[Tensor, "b c t h w"],
    targets: Float[Tensor, "b classes"],
    mixup: float,
    cutmix: float,
    rng: np.random.Generator,
) -> tuple[Float[Tensor, "b c t h w"], Float[Tensor, "b classes"]]:
    """Mix each clip with its opposite in the batch, by mixup or by cutmix, each half of the time where both are on.

    `mixup` and `cutmix` are the parameter of the symmetric beta distribution of the share that stays; 0 switches one off.
    Cutmix puts a box of the other clip, the same in all frames, in place of what was there.
    """
    if not mixup and not cutmix:
        return clips, targets
    cuts = bool(cutmix) and (not mixup or rng.random() < 0.5)
    share = float(rng.beta(cutmix, cutmix) if cuts else rng.beta(mixup, mixup))
    others = clips.flip(0)
    if not cuts:
        mixed = share * clips + (1 - share) * others
    else:
        height, width = clips.shape[-2:]
        side = (1 - share) ** 0.5
        y, x = rng.integers(height), rng.integers(width)
        top, bottom = (int(np.clip(y + sign * side * height / 2, 0, height)) for sign in (-1, 1))
        left, right = (int(np.clip(x + sign * side * width / 2, 0, width)) for sign in (-1, 1))
        mixed = clips.clone()
        mixed[..., top:bottom, left:right] = others[..., top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (height * width)  # what the picture's sides cut off is not mixed in
    return mixed, share * targets + (1 - share) * targets.flip(0)


def soft_cross_entropy(logits: Float[Tensor, "b classes"], targets: Float[Tensor, "b classes"]) -> Float[Tensor, ""]:
    """Return the mean of -sum(target log softmax(logit))."""
    return -(targets * torch.log_softmax(logits.float(), 1)).sum(1).mean()
