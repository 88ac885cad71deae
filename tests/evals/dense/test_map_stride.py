import pytest
import torch

from reelvec.backbones import build_encoder
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.evals.dense.map_stride import with_map_stride


def card(architecture: str) -> EncoderCard:
    need = StreamNeed(stream=Stream.RGB, frames=4, stride=1)
    return EncoderCard(
        name="visual", architecture=architecture, channels=3, needs=Needs(streams=(need,), clips=1), size=64,
        mean=(0.5,) * 3, std=(0.25,) * 3, method="none",
    )  # fmt: skip


@pytest.mark.parametrize(("architecture", "own", "asked"), [("tiny", 16, 8), ("tiny", 16, 4), ("r3d_10", 16, 8)])
def test_maps_get_finer_and_weights_stay(architecture: str, own: int, asked: int) -> None:
    encoder = build_encoder(architecture).eval()
    finer = with_map_stride(encoder, card(architecture), asked)
    clip = torch.rand(1, 3, 4, 64, 96)
    with torch.no_grad():
        coarse, fine = encoder(clip), finer(clip)
    assert coarse.shape[3:] == (64 // own, 96 // own)
    assert fine.shape[3:] == (64 // asked, 96 // asked)
    assert fine.shape[:3] == coarse.shape[:3]  # time is left alone
    assert all(torch.equal(a, b) for a, b in zip(encoder.state_dict().values(), finer.state_dict().values(), strict=True))


def test_it_is_the_dense_version_of_the_last_layer() -> None:
    """With the last stride gone, every second cell is what it was: its input has not changed."""
    encoder = build_encoder("tiny").eval()
    clip = torch.rand(1, 3, 8, 64, 64)
    with torch.no_grad():
        assert torch.allclose(with_map_stride(encoder, card("tiny"), 8)(clip)[..., ::2, ::2], encoder(clip), atol=1e-5)


def test_none_is_the_network_itself() -> None:
    encoder = build_encoder("tiny")
    assert with_map_stride(encoder, card("tiny"), None) is encoder


@pytest.mark.parametrize("asked", [32, 12, 0])
def test_strides_that_it_does_not_have(asked: int) -> None:
    with pytest.raises(ReelvecError, match="use map_stride=16"):
        with_map_stride(build_encoder("tiny"), card("tiny"), asked)


def test_networks_whose_strides_are_something_else() -> None:
    with pytest.raises(ReelvecError, match="leave map_stride"):
        with_map_stride(build_encoder("swin3d_t"), card("swin3d_t"), 8)
