"""Local weights: loaded whole, or refused with a reason."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import video

from reelvec.backbones import build_encoder
from reelvec.core import ReelvecError


@pytest.fixture(scope="module")
def network():
    return video.mc3_18(num_classes=7)


@pytest.fixture
def pth(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "mc3.pth")
    return tmp_path / "mc3.pth"


def test_weights_from_pth_and_safetensors_agree(network, pth, tmp_path):
    save_file(network.state_dict(), tmp_path / "mc3.safetensors")
    for path in (pth, tmp_path / "mc3.safetensors"):
        body = build_encoder("mc3_18", 3, weights=str(path)).body
        assert torch.equal(body.network.layer4[0].conv1[0].weight, network.layer4[0].conv1[0].weight)
        assert torch.equal(body.network.stem[1].running_var, network.stem[1].running_var)


def test_other_channels_take_the_mean_over_colours(network, pth):
    """A picture with equal channels gives the same answer, whatever their number."""
    three = build_encoder("mc3_18", 3, weights=str(pth)).eval()
    one, two = (build_encoder("mc3_18", c, weights=str(pth)).eval() for c in (1, 2))
    kernel = network.stem[0].weight
    torch.testing.assert_close(one.body.network.stem[0].weight, kernel.mean(1, keepdim=True) * 3)
    grey = torch.randn(1, 1, 4, 32, 32)
    with torch.no_grad():
        wanted = three(grey.expand(-1, 3, -1, -1, -1))
        torch.testing.assert_close(one(grey), wanted, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(two(grey.expand(-1, 2, -1, -1, -1)), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["tiny", "motion_r18", "slow_r50"])
def test_own_networks_take_weights_too(name, tmp_path):
    encoder = build_encoder(name, 1)
    torch.save(encoder.body.state_dict(), tmp_path / "w.pt")
    again = build_encoder(name, 1, weights=str(tmp_path / "w.pt"))
    for key, value in encoder.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)
    assert "weights" not in again.arguments


def test_an_absent_file_is_told(tmp_path):
    with pytest.raises(ReelvecError, match="no such file"):
        build_encoder("mc3_18", 3, weights=str(tmp_path / "absent.pth"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", None])
def test_an_unreadable_file_is_told(pth, tmp_path, suffix, content):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(pth.read_bytes()[:1000] if content is None else content)
    with pytest.raises(ReelvecError, match="cannot be read as weights"):
        build_encoder("mc3_18", 3, weights=str(path))


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(ReelvecError, match="cannot be read as weights"):
        build_encoder("mc3_18", 3, weights=str(tmp_path / "module.pth"))


def test_something_else_than_a_state_dict_is_told(network, tmp_path):
    torch.save({"model": network.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pth")
    with pytest.raises(ReelvecError, match="not a plain dictionary of tensors"):
        build_encoder("mc3_18", 3, weights=str(tmp_path / "checkpoint.pth"))


def test_weights_of_another_network_are_told(pth):
    with pytest.raises(ReelvecError, match="missing") as error:
        build_encoder("r2plus1d_18", 3, weights=str(pth))
    assert "unknown" in str(error.value)
    with pytest.raises(ReelvecError, match="of another shape"):
        build_encoder("r3d_18", 3, weights=str(pth))
