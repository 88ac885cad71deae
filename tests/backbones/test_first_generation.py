"""C3D, I3D and the residual networks of other depths than 18: sizes of maps, kernels, and what CMD changes in them."""

import pytest
import torch
from torch import nn

from reelvec.backbones import build_encoder
from reelvec.backbones.r3d import ordinary
from reelvec.core import ReelvecError


def convolutions(encoder):
    return [m for m in encoder.modules() if isinstance(m, nn.Conv3d)]


@pytest.mark.parametrize(
    ("name", "arguments", "size", "shape"),
    [
        ("c3d", {}, 112, (512, 2, 7, 7)),  # card of CMD: conv5 without its pool
        ("i3d", {}, 224, (1024, 2, 7, 7)),
        ("r3d_10", {}, 112, (512, 2, 7, 7)),
        ("r2plus1d_26", {"max_pool": True}, 112, (2048, 2, 4, 4)),
        ("r2plus1d_26", {"max_pool": True, "fine_map": True}, 112, (2048, 2, 7, 7)),  # 98 places
        ("r3d_26", {"max_pool": True, "fine_map": True}, 112, (2048, 2, 7, 7)),
    ],
)
def test_maps_of_sixteen_frames_are_those_of_the_papers(name, arguments, size, shape):
    encoder = build_encoder(name, 3, **arguments).eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 16, size, size)).shape == (1, *shape)


def test_the_motion_network_of_cmd_has_49_places():
    encoder = build_encoder("r3d_10", 2, stem_stride=1, max_pool=True).eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 2, 8, 112, 112)).shape == (1, 512, 1, 7, 7)


def test_c3d_has_eight_convolutions_of_three_with_norm_or_as_first_published():
    encoder = build_encoder("c3d")
    assert [(c.out_channels, c.kernel_size) for c in convolutions(encoder)] == [
        (width, (3, 3, 3)) for width in (64, 128, 256, 256, 512, 512, 512, 512)
    ]
    plain = build_encoder("c3d", batch_norm=False)
    assert not any(isinstance(m, nn.BatchNorm3d) for m in plain.modules())
    # conv1 to conv5 of Tran et al.: 27.66 M with biases
    assert sum(p.numel() for p in plain.parameters()) == 27_655_936


@pytest.mark.parametrize("shape", [(7, 16, 16), (8, 15, 20)])
def test_c3d_tells_that_a_clip_is_too_small(shape):
    with pytest.raises(ReelvecError, match="at least 8 frames of 16x16"):
        build_encoder("c3d")(torch.zeros(1, 3, *shape))


def test_single_pictures_are_looked_at_without_time():
    encoder = build_encoder("r2d_10").eval()
    assert {c.kernel_size[0] for c in convolutions(encoder)} == {1}
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder(clip), torch.cat([encoder(frame) for frame in clip.split(1, 2)], 2))


@pytest.mark.parametrize(("name", "depth"), [("r3d_10", 10), ("r3d_26", 26), ("r3d_34", 34), ("r3d_50", 50), ("r2d_10", 10)])
def test_depths_count_convolutions_and_the_classifier(name, depth):
    names = [n for n, m in build_encoder(name).named_modules() if isinstance(m, nn.Conv3d) and "downsample" not in n]
    assert len(names) + 1 == depth


def test_the_fine_map_is_pairs_of_the_third_stage_and_the_last_enlarged():
    encoder = build_encoder("r3d_10", fine_map=True, max_pool=True).eval()
    network, clip = encoder.body.network, torch.randn(1, 3, 8, 64, 64)
    with torch.no_grad():
        third = network.layer3(network.layer2(network.layer1(network.stem(clip))))
        last = network.layer4(third)
        assert third.shape == (1, 256, 2, 4, 4)
        enlarged = last.repeat_interleave(2, 3).repeat_interleave(2, 4)
        torch.testing.assert_close(encoder(clip), torch.cat([third[:, :, :1], third[:, :, 1:]], 1) + enlarged)
        kept = ordinary(encoder)
        torch.testing.assert_close(kept(clip), last)
        assert encoder(clip).shape == (1, 512, 1, 4, 4)  # as it was
    assert kept.arguments == {**encoder.arguments, "fine_map": False}
    again = build_encoder(kept.architecture, kept.channels, **kept.arguments).eval()
    again.load_state_dict(kept.state_dict())
    assert ordinary(again) is again


def test_a_fine_map_of_an_odd_third_stage_is_told():
    with pytest.raises(ReelvecError, match="multiple of 8"):
        build_encoder("r3d_10", fine_map=True)(torch.zeros(1, 3, 4, 32, 32))


def test_i3d_pads_as_tensorflow_does():
    """Strides leave a half, rounded up, of every side, odd or even."""
    encoder = build_encoder("i3d").eval()
    with torch.no_grad():
        for frames, side in ((9, 33), (16, 64), (1, 40)):
            halved = encoder.body.stem[0](torch.zeros(1, 3, frames, side, side))
            assert halved.shape[2:] == (-(-frames // 2), -(-side // 2), -(-side // 2))
    edge = encoder.body.stem[0]
    edge.norm = nn.Identity()
    edge.convolution = nn.Conv3d(1, 1, 7, 2, bias=False)
    nn.init.ones_(edge.convolution.weight)
    with torch.no_grad():  # of 8 missing 5: 2 before, 3 after
        seen = edge(torch.ones(1, 1, 8, 8, 8))[0, 0, :, 0, 0] / 5**2
    assert seen.tolist() == [5, 7, 6, 4]
