"""Every backbone by its name: map, channels, size, gradients, and errors a person can read."""

import pytest
import torch

from reelvec.backbones import BACKBONES, build_encoder
from reelvec.core import ReelvecError

VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = {
    "mvit_v2_s": {"frames": 4, "size": 32},
    "videomae": {"config": {**VIT, "image_size": 32, "num_frames": 4, "intermediate_size": 64}},
    "vjepa2": {"config": {**VIT, "crop_size": 32}},
}
"""arguments that make a backbone fit the clips of these tests"""
MAPS = {
    "r3d_18": (512, 1, 2, 2), "mc3_18": (512, 4, 2, 2), "r2plus1d_18": (512, 1, 2, 2), "s3d": (1024, 1, 1, 1),
    "mvit_v2_s": (768, 2, 1, 1), "swin3d_t": (768, 2, 1, 1), "slow_r50": (2048, 2, 1, 1), "motion_r18": (64, 4, 1, 1),
    "motion_r50": (256, 4, 1, 1), "tiny": (128, 1, 2, 2), "tiny_motion": (64, 1, 2, 2), "c3d": (512, 1, 2, 2),
    "timm:resnet18": (512, 4, 1, 1), "videomae": (32, 2, 2, 2), "vjepa2": (32, 2, 2, 2),
    "i3d": (1024, 1, 1, 1), "r2d_10": (512, 4, 2, 2), "r3d_10": (512, 1, 2, 2), "r3d_26": (2048, 1, 2, 2),
    "r3d_34": (512, 1, 2, 2), "r3d_50": (2048, 1, 2, 2), "r2plus1d_10": (512, 1, 2, 2), "r2plus1d_26": (2048, 1, 2, 2),
}  # fmt: skip
"""feature maps of clips of 4 x 32 x 32 (s3d, c3d: 8 x 32 x 32)"""
MILLIONS = {
    "r3d_18": 33.17, "mc3_18": 11.49, "r2plus1d_18": 31.30, "s3d": 7.91, "mvit_v2_s": 34.12, "swin3d_t": 27.85,
    "slow_r50": 31.67, "motion_r18": 0.178, "motion_r50": 0.375, "tiny": 0.246, "tiny_motion": 0.073, "c3d": 27.66,
    "timm:resnet18": 11.18, "videomae": 0.0663, "vjepa2": 0.0746,
    "i3d": 12.29, "r2d_10": 4.91, "r3d_10": 14.36, "r3d_26": 26.50, "r3d_34": 63.48, "r3d_50": 46.16,
    "r2plus1d_10": 12.49, "r2plus1d_26": 29.98,
}  # fmt: skip
"""weights; torchvision's figures less the classifier, CVRL's 31.7 M, I3D's 12.29 M"""


NAMES = ["timm:resnet18" if name == "timm" else name for name in BACKBONES]


def clip(name, channels):
    frames = 8 if name in ("s3d", "c3d") else 4
    return torch.randn(2, channels, frames, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_map_gradients_size_and_randomness(name):
    channels = 1 if "motion" in name else 3
    encoder = build_encoder(name, channels, **SMALL.get(name, {})).train()
    assert (encoder.architecture, encoder.channels, encoder.dim) == (name, channels, MAPS[name][0])
    generator = torch.get_rng_state()
    maps = encoder(clip(name, channels))
    assert torch.equal(generator, torch.get_rng_state())  # a step must not depend on it
    assert tuple(maps.shape) == (2, *MAPS[name])
    maps.square().sum().backward()
    assert not [n for n, p in encoder.named_parameters() if p.grad is None]
    # the positions of mvit depend on the size of its clips: 34.23 M at 16 x 224 x 224
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(MILLIONS[name], rel=3e-3)


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_can_be_built_again_from_what_it_knows(name):
    first = build_encoder(name, 2, **SMALL.get(name, {}))
    again = build_encoder(first.architecture, first.channels, **first.arguments)
    again.load_state_dict(first.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(clip(name, 2)), first.eval()(clip(name, 2)))


def test_without_the_temporal_mean_what_stands_still_plays_no_part():
    encoder = build_encoder("tiny", 3, remove_temporal_mean=True).eval()
    moving = clip("tiny", 3)
    scene = torch.randn(2, 3, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(encoder(moving + scene), encoder(moving), atol=1e-4, rtol=1e-3)
        assert not torch.allclose(build_encoder("tiny").eval()(moving + scene), encoder(moving), atol=1e-2)
        again = build_encoder(encoder.architecture, 3, **encoder.arguments).eval()
        again.load_state_dict(encoder.state_dict())
        torch.testing.assert_close(again(moving), encoder(moving))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ReelvecError, match="tiny_motion"):
        build_encoder("resnet")


def test_an_unknown_argument_lists_the_known():
    with pytest.raises(ReelvecError, match="stem_kernel") as error:
        build_encoder("slow_r50", 3, stem_kernels=1)
    assert "stem_kernels" in error.value.asked
    with pytest.raises(ReelvecError, match="timm:NAME"):
        build_encoder("timm")
    for argument in ("name", "depth", "kind"):
        with pytest.raises(ReelvecError, match="its arguments are"):
            build_encoder("r3d_18", 3, **{argument: 1})


def test_a_wrong_value_is_told():
    with pytest.raises(ReelvecError, match="temporal_kernels=3"):
        build_encoder("slow_r50", 3, temporal_kernels=3)
