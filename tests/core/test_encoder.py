"""An encoder in chunks: the gradient of the whole batch, from the activations of a part of it."""

import copy

import pytest
import torch
from torch import nn

from reelvec.backbones import build_encoder
from reelvec.core import Encoder


def plain() -> Encoder:
    """A network without batch norm."""
    body = nn.Sequential(nn.Conv3d(3, 4, 3, 2, 1), nn.GELU(), nn.Conv3d(4, 6, 3, 2, 1), nn.GELU())
    return Encoder("plain", body, 3, 6)


def loss_of(encoder: Encoder, clips: torch.Tensor) -> torch.Tensor:
    """A contrast of every clip with every other: no sum over parts of the batch."""
    vectors = nn.functional.normalize(encoder.features(clips))
    return torch.logsumexp(vectors @ vectors.T * 5, 1).mean()


def clips(videos: int = 8) -> torch.Tensor:
    return torch.randn(videos, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
def test_gradients_equal_those_of_the_whole_batch(chunk):
    torch.manual_seed(0)
    whole = plain()
    parts = copy.deepcopy(whole)
    parts.chunk = chunk
    losses = [loss_of(encoder, clips()) for encoder in (whole, parts)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)
    for loss in losses:
        loss.backward()
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_less_is_kept_for_the_gradient():
    def kept(chunk: int | None) -> int:
        encoder, total = build_encoder("tiny", 3), 0
        encoder.chunk = chunk

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            encoder.features(clips())
        return total

    assert kept(2) < kept(None) / 4


def test_batch_norm_counts_each_chunk_once():
    torch.manual_seed(0)
    once = build_encoder("tiny", 3)
    twice = copy.deepcopy(once)
    twice.chunk = 2
    for part in clips(6).split(2):  # what a chunk should do to the running statistics
        once(part)
    loss_of(twice, clips(6)).backward()
    for name, buffer in once.named_buffers():
        torch.testing.assert_close(dict(twice.named_buffers())[name], buffer)


def test_without_gradient_chunks_give_the_same():
    encoder = plain()
    with torch.no_grad():
        whole = encoder(clips())
        encoder.chunk = 2
        torch.testing.assert_close(encoder(clips()), whole)


@pytest.mark.parametrize("frames", [1, 4])
def test_a_map_is_the_same_in_bfloat16_but_for_its_precision(frames):
    torch.manual_seed(0)
    encoder = build_encoder("tiny")
    clip = torch.randn(6, 3, frames, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(clip)
    torch.testing.assert_close(half.float(), encoder(clip), rtol=0.1, atol=0.1)
