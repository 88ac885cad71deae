import pytest
import torch
from torch import nn

from reelvec.backbones import build_encoder
from reelvec.evals.heads.layer_depth import blocks_of, depths, has_layer_norm, rate_groups, set_drop_path
from tests.evals.heads.clip_cases import small_encoder, small_transformer


def test_rates_fall_with_depth() -> None:
    encoder, head = small_transformer(), nn.Linear(16, 3)
    groups = rate_groups(encoder, [head], lr=1.0, decay=0.5, weight_decay=0.1)
    found = {id(weight): (group["lr"], group["weight_decay"]) for group in groups for weight in group["params"]}
    names = dict(encoder.named_parameters())
    assert len(found) == len(names) + 2
    body = {name.removeprefix("body."): found[id(weight)] for name, weight in names.items()}
    assert body["pos_embed"] == (0.5**4, 0.0)
    assert body["patch.weight"] == (0.5**4, 0.1)
    for i in range(3):
        assert body[f"blocks.{i}.mlp.weight"] == (0.5 ** (3 - i), 0.1)
        assert body[f"blocks.{i}.attention.in_proj_weight"] == (0.5 ** (3 - i), 0.1)
        assert body[f"blocks.{i}.attention.in_proj_bias"] == (0.5 ** (3 - i), 0.0)
        assert body[f"blocks.{i}.norm1.weight"] == (0.5 ** (3 - i), 0.0)
    assert body["norm.weight"] == (1.0, 0.0)
    assert found[id(head.weight)] == (1.0, 0.1)
    assert found[id(head.bias)] == (1.0, 0.0)
    assert all(group["rate"] == group["lr"] for group in groups)


def test_blocks_of_known_networks_are_found() -> None:
    with torch.device("meta"):
        mvit, swin, r3d = build_encoder("mvit_v2_s", frames=2, size=32), build_encoder("swin3d_t"), build_encoder("r3d_18")
    assert len(blocks_of(mvit)) == 16
    assert len(blocks_of(swin)) == 12
    of_swin, top = depths(swin)
    assert top == 13
    assert of_swin["body.network.patch_embed.proj.weight"] == 0
    # what merges patches between the second and the third block
    assert {depth for name, depth in of_swin.items() if ".features.1." in name} == {2}
    assert of_swin["body.network.norm.weight"] == 13
    assert [has_layer_norm(network) for network in (mvit, swin, r3d)] == [True, True, False]
    of_r3d, top = depths(r3d)
    assert set(of_r3d.values()) == {0}
    assert top == 1


def test_drop_path_rises_with_depth() -> None:
    encoder = small_transformer()
    assert set_drop_path(encoder, 0.3) == 3
    assert [block.drop.p for block in encoder.body.blocks] == pytest.approx([0.0, 0.15, 0.3])
    assert set_drop_path(small_encoder(), 0.3) == 0
