import pytest
import torch
from torch import nn

from reelvec.parts import Queue, SyncedBatchNorm, nt_xent, sinkhorn, sync_batch_norms


def clips(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, 2, 3, 3, generator=generator, dtype=torch.float64).mul(3).add(7).to(dtype)


def test_one_process_is_torchs_own():
    ours, theirs = SyncedBatchNorm(4), nn.BatchNorm3d(4)
    for _ in range(2):
        assert torch.equal(ours(clips()), theirs(clips()))
    assert torch.equal(ours.eval()(clips()), theirs.eval()(clips()))
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), theirs.buffers(), strict=True))


def test_conversion_keeps_weights_and_names():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.BatchNorm1d(4), nn.LayerNorm(4)))
    weights, names = [id(p) for p in network.parameters()], list(network.state_dict())
    sync_batch_norms(network)
    assert isinstance(network[1], SyncedBatchNorm)
    assert isinstance(network[2][0], SyncedBatchNorm)
    assert isinstance(network[2][1], nn.LayerNorm)
    assert [id(p) for p in network.parameters()] == weights
    assert list(network.state_dict()) == names


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_two_processes_of_unequal_halves_are_one_batch(two_processes, dtype):
    ours = two_processes[dtype]
    tolerance = {"float64": 1e-10, "float32": 1e-4, "bfloat16": 3e-2}[dtype]
    x = clips(getattr(torch, dtype)).requires_grad_()
    norm = nn.BatchNorm3d(4).to(torch.float64 if dtype == "float64" else torch.float32)
    nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        output = norm(x)
    weight = torch.arange(output.numel(), dtype=output.dtype).reshape(output.shape).sin()
    (output * weight).sum().backward()
    expected = {
        "output": output.detach(),
        "gradient": x.grad,
        "running_mean": norm.running_mean,
        "running_var": norm.running_var,
    }
    for name, value in expected.items():
        torch.testing.assert_close(ours[name].to(value.dtype), value, rtol=tolerance, atol=tolerance, msg=name)
    for name in ("weight", "bias"):  # each process has the gradient of its half: the sum is that of the whole
        torch.testing.assert_close(ours[f"{name}_gradient"], getattr(norm, name).grad, rtol=tolerance, atol=10 * tolerance)


def test_two_processes_share_losses_codes_and_queues(two_processes):
    """NT-Xent, Sinkhorn and the queue on halves of a batch equal those on the whole."""
    halves = two_processes["collected"]
    first, second = (torch.nn.functional.normalize(clips(torch.float64).flatten(1)[:, o : o + 8]) for o in (0, 20))
    first.requires_grad_()
    loss = nt_xent(first, second, 0.1)
    loss.backward()
    assert halves["loss"].item() == pytest.approx(loss.item())
    torch.testing.assert_close(halves["gradient"] / 2, first.grad)  # DDP's mean over processes
    torch.testing.assert_close(halves["codes"], sinkhorn(first.detach(), 0.05, 3))
    torch.manual_seed(0)
    queue = Queue(10, 8)
    for _ in range(2):
        queue.push(second)
    torch.testing.assert_close(halves["queue"], queue.keys)
