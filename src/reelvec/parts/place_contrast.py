"""Contrast place by place: a feature is to find its own place, of its own video and time, among all others (InfoNCE)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.collectives import gather_with_gradient, rank
from reelvec.core.shapes import Float
from reelvec.parts.full_precision import full_precision


@full_precision
def place_contrast(query: Float[Tensor, "b s d"], keys: Float[Tensor, "b c s d"], temperature: float) -> Float[Tensor, ""]:
    """Compute the mean over videos i and places s of -log e^(q_is.k_is0/t) / sum_jzc e^(q_is.k_jzc/t).

    `keys` are c maps of each video, the first of which is the right one: negatives are other places z, other maps c and
    other videos j, those of all processes, gathered with gradient. Inputs have unit length; every process holds equally many
    videos, so that the mean of the processes' losses is the loss of the whole batch. With one place and one map it is the
    contrast within a batch in one direction. Two matrices of (b s) x (all b c s) numbers are in memory at a time.
    """
    videos, maps, places = keys.shape[:3]
    logits = query.flatten(0, 1) @ gather_with_gradient(keys).flatten(0, 2).T / temperature  # (b s), (all b c s)
    video = torch.arange(videos, device=query.device)[:, None] + rank() * videos
    right = video * maps * places + torch.arange(places, device=query.device)
    return F.cross_entropy(logits, right.flatten())
