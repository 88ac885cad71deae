"""Structure of the networks that are written here, and of torchvision's where the wrapper takes them apart."""

import pytest
import torch
from torch import nn
from torchvision.models import video

from reelvec.backbones import build_encoder
from reelvec.core import ReelvecError


def kernels(stage):
    """Temporal kernels of the convolutions of a stage's blocks, block by block."""
    return [tuple(m.kernel_size[0] for m in block.modules() if isinstance(m, nn.Conv3d)) for block in stage]


def test_slow_r50_is_the_network_of_cvrl_and_modist():
    body = build_encoder("slow_r50").body
    assert body.stem[0].kernel_size == (5, 7, 7)
    assert body.stem[0].stride == (2, 2, 2)
    assert [len(stage) for stage in (body.res2, body.res3, body.res4, body.res5)] == [3, 4, 6, 3]
    for stage, first in ((body.res2, 1), (body.res3, 1), (body.res4, 3), (body.res5, 3)):
        assert all(block[:3] == (first, 1, 1) for block in kernels(stage))
        assert all(block.bn3.weight.abs().sum() == 0 for block in stage)
    strides = {m.stride[0] for m in list(body.modules())[2:] if isinstance(m, nn.Conv3d) and m is not body.stem[0]}
    assert strides == {1}  # only the stem steps in time


def test_slow_r50_halves_time_and_divides_space_by_32():
    encoder = build_encoder("slow_r50").eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 8, 64, 64)).shape == (1, 2048, 4, 2, 2)


def test_slow_r50_as_in_the_rho_study():
    encoder = build_encoder("slow_r50", stem_kernel=1, stem_stride=1, zero_init=False).eval()
    assert encoder.body.stem[0].kernel_size == (1, 7, 7)
    assert all(block.bn3.weight.min() == 1 for block in encoder.body.res5)
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 2048, 4, 1, 1)


@pytest.mark.parametrize("name", ["motion_r18", "motion_r50"])
def test_motion_networks_are_thin_and_2d_or_3d(name):
    flat, deep = build_encoder(name, 1), build_encoder(name, 1, temporal_kernel=3)
    assert flat.body.stem[0].weight.shape == (8, 1, 5, 7, 7)
    for stage in ("res2", "res3", "res4", "res5"):
        assert {k for block in kernels(getattr(flat.body, stage)) for k in block} == {1}
        assert all(block[0] == 3 for block in kernels(getattr(deep.body, stage)))


def test_a_motion_network_without_temporal_kernels_looks_at_each_frame_alone():
    encoder = build_encoder("motion_r18", 1, stem_kernel=1).eval()
    clip = torch.randn(1, 1, 4, 32, 32)
    with torch.no_grad():
        together, apart = encoder(clip), torch.cat([encoder(frame) for frame in clip.split(1, 2)], 2)
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize("name", ["tiny", "tiny_motion"])
def test_tiny_networks_see_the_order_of_frames(name):
    encoder = build_encoder(name, 1).eval()
    clip = torch.randn(1, 1, 8, 32, 32)
    assert not torch.allclose(encoder.features(clip), encoder.features(clip.flip(2)), atol=1e-3)


@pytest.mark.parametrize(("name", "head"), [("r3d_18", "fc"), ("mc3_18", "fc"), ("r2plus1d_18", "fc"), ("swin3d_t", "head")])
def test_the_map_of_torchvisions_networks_is_what_their_classifier_pools(name, head):
    """Pooled features through the network's own classifier give the scores of the network itself."""
    whole = getattr(video, name)(num_classes=5).eval()
    encoder = build_encoder(name)
    encoder.body.network.load_state_dict(whole.state_dict(), strict=False)
    clip = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(getattr(whole, head)(encoder.eval().features(clip)), whole(clip), atol=1e-5, rtol=1e-4)


def test_s3d_gives_the_map_before_its_classifier():
    whole = video.s3d(num_classes=5).eval()
    encoder = build_encoder("s3d").eval()
    encoder.body.network.load_state_dict(whole.state_dict(), strict=False)
    whole.avgpool = nn.Identity()  # its window of 2x7x7 asks for clips of 16x224x224
    clip = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        scores = whole.classifier(encoder(clip)).mean((2, 3, 4))
        torch.testing.assert_close(scores, whole(clip), atol=1e-5, rtol=1e-4)


def test_s3d_tells_that_a_clip_is_too_small():
    with pytest.raises(ReelvecError, match="at least 5 frames"):
        build_encoder("s3d")(torch.zeros(1, 3, 4, 32, 32))


def test_mvit_is_torchvisions_where_that_can_be_built():
    """Names and shapes at 16 x 224 x 224: the shapes of the relative positions tell all strides."""
    own = {k: v.shape for k, v in build_encoder("mvit_v2_s").body.network.state_dict().items()}
    assert own == {k: v.shape for k, v in video.mvit_v2_s().state_dict().items() if not k.startswith("head.")}


def test_mvit_gives_its_tokens_without_the_class_token():
    encoder = build_encoder("mvit_v2_s", 3, frames=4, size=64).eval()
    tokens, clip = [], torch.randn(1, 3, 4, 64, 64)
    encoder.body.network.norm.register_forward_hook(lambda module, inputs, output: tokens.append(output))
    with torch.no_grad():
        maps = encoder(clip)
        class_token = encoder.body.network(clip)  # torchvision's own forward; the classifier is an identity
    assert maps.shape == (1, 768, 2, 2, 2)
    assert torch.equal(tokens[0], tokens[1])
    assert torch.equal(class_token, tokens[0][:, 0])
    assert torch.equal(maps.flatten(2).transpose(1, 2), tokens[0][:, 1:])


def test_mvit_tells_which_clips_it_is_for():
    encoder = build_encoder("mvit_v2_s", 3, frames=4, size=32)
    with pytest.raises(ReelvecError, match="frames=8 size=64"):
        encoder(torch.zeros(1, 3, 8, 64, 64))
    with pytest.raises(ReelvecError, match="multiple of 32"):
        build_encoder("mvit_v2_s", 3, size=100)
