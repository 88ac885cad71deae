"""What a step computes is counted beside the run, and compared with what the device can do."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reelvec.core import EncoderCard, Method, Needs, Progress, Stream, StreamNeed
from reelvec.engine import flops
from reelvec.engine.flops import Peak, count_flops, peak_of, size_of, utilisation_in_words
from reelvec.methods import METHODS
from tests.methods.conftest import make_batch, progress, small_method

CPU = torch.device("cpu")


class OneLayer(Method):
    """A product of b x 10 and 10 x 5."""

    accumulates = True
    needs = after_step = embeddings = encoders = None

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(10, 5, bias=False)

    def step(self, batch, at):
        return {"loss": self.layer(torch.ones(len(batch), 10)).sum()}


def test_a_product_counts_twice_its_size_and_again_for_its_gradient():
    batch = make_batch(small_method("rho_moco").needs(), 6)
    assert count_flops(OneLayer(), batch, Progress(0, 1, 0.0, 0), "fp32") == 2 * (2 * 10 * 5)


@pytest.mark.parametrize("name", METHODS)
def test_two_videos_tell_of_all_and_the_method_stays_as_it_is(name, monkeypatch):
    method = small_method(name)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    generator = torch.get_rng_state()
    batch = make_batch(method.needs(), 6)
    by_two = count_flops(method, batch, progress(0), "fp32")
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    assert all(weight.grad is None for weight in method.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    monkeypatch.setattr(flops, "_FEW", 6)
    assert by_two == pytest.approx(count_flops(method, batch, progress(0), "fp32"), rel=0.05)
    assert by_two > 1e5


def test_chunks_computed_twice_count_once():
    method = small_method("rho_moco")
    batch = make_batch(method.needs(), 4)
    whole = count_flops(method, batch, progress(0), "fp32")
    for module in method.modules():
        module.chunk = 1
    assert count_flops(method, batch, progress(0), "fp32") == whole


def test_a_clip_of_r3d_18_costs_what_torchvision_says():
    need = StreamNeed(stream=Stream.RGB, frames=16, stride=1)
    card = EncoderCard(
        name="visual", architecture="r3d_18", channels=3, needs=Needs(streams=(need,)), size=112, mean=(0.5,) * 3,
        std=(0.5,) * 3, method="rho_moco",
    )  # fmt: skip
    parameters, flops = size_of(card)
    assert flops == pytest.approx(2 * 40.697e9, rel=0.001)  # it counts a product and its sum as one
    assert parameters == 33_371_472 - 400 * 512 - 400  # without the layer that names 400 classes


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_counts_on_every_device(device):
    query = torch.randn(2, 4, 32, 16, device=device, requires_grad=True)
    with flops.FlopCounterMode(display=False, custom_mapping=flops._ATTENTION_ON_CPU) as counter:
        out = F.scaled_dot_product_attention(query, query, query)
    assert counter.get_total_flops() == 2 * 2 * (2 * 4 * 32 * 32 * 16)
    if device == "cpu":
        with flops.FlopCounterMode(display=False, custom_mapping=flops._ATTENTION_ON_CPU) as counter:
            out.sum().backward()
        assert counter.get_total_flops() >= 4 * 2 * (2 * 4 * 32 * 32 * 16)


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H200", 989e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA L4", 121e12)],
)
def test_a_known_gpu_has_the_peak_of_its_data_sheet(name, peak, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak_of(torch.device("cuda"), "bf16").flops_per_second == peak


@pytest.mark.parametrize("name", ["NVIDIA RTX A4000", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "Something new"])
def test_another_one_is_measured(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(flops, "_timed", lambda device, kind: 5e12)
    peak = peak_of(torch.device("cuda"), "bf16")
    assert peak.flops_per_second == 5e12
    assert "measured" in peak.origin


def test_a_cpu_is_measured_without_a_draw():
    generator = torch.get_rng_state()
    assert 1e8 < peak_of(CPU, "fp32").flops_per_second < 1e14
    assert torch.equal(torch.get_rng_state(), generator)


def test_the_words_hold_share_and_origin():
    words = utilisation_in_words(3e12, 0.01, Peak(1e15, "what its maker states"))
    assert words.startswith("One step computes 3 TFLOP, 300 TFLOP a second: 30.0% of 1 PFLOP a second")
