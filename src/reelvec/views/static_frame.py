"""Temporal-consistent augmentation (VTDL, arXiv 2008.02129): a fixed picture laid over all frames of a clip.

x'_t = a x_t + b with b the same at all times: differences of frames of every order are those of x times a, so motion is what
the augmentation leaves alone.
"""

import torch
from torch import Tensor

from reelvec.core.draws import Draws
from reelvec.core.shapes import Float
from reelvec.core.spans import counted_as


@counted_as("views")
def add_picture(
    frames: Float[Tensor, "b c t h w"], scale: Float[Tensor, "b"], picture: Float[Tensor, "b c #t h w"]
) -> Float[Tensor, "b c t h w"]:
    """Return scale x frames + picture. Time derivatives stay, up to `scale`, where the picture is one for all frames."""
    return torch.addcmul(picture, frames, scale[:, None, None, None, None])


@counted_as("views")
def mix_own_frame(
    frames: Float[Tensor, "b c t h w"], largest: float, draws: Draws, *, changing: bool = False
) -> Float[Tensor, "b c t h w"]:
    """Mix a clip with one of its own frames: x'_t = (1 - w) x_t + w x_k, w uniform in [0, largest), k any frame.

    With `changing`, k is drawn anew for each t: as strong, but time derivatives are lost. It shows what keeping them is worth.
    Mixing normalised frames is mixing pictures: the weights sum to 1.
    """
    time = frames.shape[2]
    weight = draws.uniform("weight", 0.0, largest)
    chosen = (draws.uniform("frame", many=time if changing else 1) * time).long()
    picture = torch.take_along_dim(frames, chosen[:, None, :, None, None], 2)
    return add_picture(frames, 1 - weight, picture * weight[:, None, None, None, None])
