"""torchvision's video networks behind the `Encoder` contract: the feature map instead of class scores.

Their weights are licensed and hosted by torchvision; a local file is loaded by path, nothing is fetched.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision.models import video
from torchvision.models.video.mvit import MSBlockConfig, MViT
from torchvision.ops import StochasticDepth

from reelvec.backbones.weights import load_weights
from reelvec.core.encoder import Encoder
from reelvec.core.errors import ReelvecError
from reelvec.core.shapes import Float


class StagesMap(nn.Module):
    """r3d_18, mc3_18, r2plus1d_18: what their last stage gives."""

    network: Any

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        network.fc = nn.Identity()

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Leave out pooling and classifier."""
        n = self.network
        return n.layer4(n.layer3(n.layer2(n.layer1(n.stem(clip)))))


class FeaturesMap(nn.Module):
    """s3d: what its features give, before pooling."""

    network: Any

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        network.classifier = nn.Identity()

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Leave out pooling and classifier; ReelvecError for clips that its five strides reduce to nothing."""
        time, height, width = clip.shape[2:]
        if time < 5 or min(height, width) < 17:
            raise ReelvecError(
                f"s3d on clips of {time} frames of {height}x{width}",
                "strides that need at least 5 frames of 17x17",
                "take longer or larger clips, or another backbone",
            )
        return self.network.features(clip)


class SwinMap(nn.Module):
    """swin3d_t: its normalised tokens with channels first."""

    network: Any

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        network.head = nn.Identity()

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Leave out pooling and classifier."""
        n = self.network
        return n.norm(n.features(n.pos_drop(n.patch_embed(clip)))).permute(0, 4, 1, 2, 3)


class MvitMap(nn.Module):
    """mvit_v2_s: its normalised tokens as a map, without the class token."""

    network: Any

    def __init__(self, network: nn.Module, frames: int, size: int) -> None:
        super().__init__()
        self.network, self.frames, self.size = network, frames, size
        network.head = nn.Identity()

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Leave out the classifier; ReelvecError for clips of another size than the network was built for."""
        if clip.shape[2:] != (self.frames, self.size, self.size):
            time, height, width = clip.shape[2:]
            raise ReelvecError(
                f"mvit_v2_s on clips of {time} frames of {height}x{width}",
                f"a network built for {self.frames} frames of {self.size}x{self.size}: its positions are learnt",
                f"build it with frames={time} size={height}",
            )
        n = self.network
        tokens = n.pos_encoding(n.conv_proj(clip).flatten(2).transpose(1, 2))
        grid = (n.pos_encoding.temporal_size, *n.pos_encoding.spatial_size)
        for block in n.blocks:
            tokens, grid = block(tokens, grid)
        return n.norm(tokens)[:, 1:].transpose(1, 2).unflatten(2, grid)


_HEADS = {StagesMap: "fc", FeaturesMap: "classifier", SwinMap: "head", MvitMap: "head"}


def _first_convolution(network: nn.Module) -> str:
    return next(name for name, module in network.named_modules() if isinstance(module, nn.Conv3d))


def _take_channels(network: nn.Module, channels: int) -> None:
    """Build the first convolution anew for another number of input channels, with torch's own initialisation."""
    name = _first_convolution(network)
    old = network.get_submodule(name)
    assert isinstance(old, nn.Conv3d)
    new = nn.Conv3d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    network.set_submodule(name, new)


def _prepare(network: nn.Module, head: str, channels: int, weights: str | None) -> nn.Module:
    if channels != 3:
        _take_channels(network, channels)
    if weights is not None:
        load_weights(network, weights, first=_first_convolution(network), head=head)
    return network


def convolutional(name: str, channels: int = 3, weights: str | None = None) -> Encoder:
    """r3d_18, mc3_18, r2plus1d_18 (512 features) or s3d (1024 features), for clips of any size."""
    wrap = FeaturesMap if name == "s3d" else StagesMap
    network = _prepare(getattr(video, name)(weights=None), _HEADS[wrap], channels, weights)
    return Encoder(name, wrap(network), channels, 1024 if name == "s3d" else 512)


def swin3d_t(channels: int = 3, weights: str | None = None) -> Encoder:
    """Video Swin, tiny: 768 features; patches of 2x4x4, clips of any size.

    Stochastic depth is off: it would draw from the global generator, and a step must not.
    """
    network = _prepare(video.swin3d_t(weights=None), _HEADS[SwinMap], channels, weights)
    for module in network.modules():
        if isinstance(module, StochasticDepth):
            module.p = 0.0
    return Encoder("swin3d_t", SwinMap(network), channels, 768)


def mvit_v2_s(channels: int = 3, weights: str | None = None, *, frames: int = 16, size: int = 224) -> Encoder:
    """MViT v2, small: 768 features; the size of its clips is part of the network.

    torchvision's weights are for 16 frames of 224. ReelvecError for sizes that its strides do not divide. Stochastic depth
    is off, as for `swin3d_t`.
    """
    if frames < 2 or frames % 2 or size < 32 or size % 32:
        raise ReelvecError(
            f"mvit_v2_s for {frames} frames of {size}x{size}",
            "strides of 2 in time and 32 in space",
            "choose an even number of frames and a size that is a multiple of 32",
        )
    network = MViT(
        spatial_size=(size, size),
        temporal_size=frames,
        block_setting=_mvit_v2_s_blocks(),
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
    )
    body = MvitMap(_prepare(network, _HEADS[MvitMap], channels, weights), frames, size)
    return Encoder("mvit_v2_s", body, channels, 768, frames=frames, size=size)


def _mvit_v2_s_blocks() -> list[MSBlockConfig]:
    """Four stages of 1, 2, 11, 2 blocks (MViTv2, table 8); torchvision's own builder has them for 224 pixels alone."""
    blocks = []
    for stage, (many, heads, key_stride) in enumerate(((1, 1, 8), (2, 2, 4), (11, 4, 2), (2, 8, 1))):
        width = 96 * heads
        for i in range(many):
            enters = stage > 0 and i == 0  # the first block of a stage doubles the width and halves the grid
            blocks.append(
                MSBlockConfig(
                    num_heads=heads,
                    input_channels=width // 2 if enters else width,
                    output_channels=width,
                    kernel_q=[3, 3, 3],
                    kernel_kv=[3, 3, 3],
                    stride_q=[1, 2, 2] if enters else [1, 1, 1],
                    stride_kv=[1, key_stride, key_stride],
                )
            )
    return blocks


r3d_18, mc3_18, r2plus1d_18, s3d = (partial(convolutional, n) for n in ("r3d_18", "mc3_18", "r2plus1d_18", "s3d"))
