import resource
import signal

import pytest
import torch
from torch import nn

from reelvec.core import ReelvecError, RunFolder
from reelvec.core import run_folder as run_folder_module
from reelvec.engine.checkpoint import load_step, save_step
from reelvec.engine.config import OptimiserConfig
from reelvec.engine.optimisers import build_optimiser


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def a_step(net, optimiser, x):
    optimiser.zero_grad()
    net(x).square().sum().backward()
    optimiser.step()


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_what_is_loaded_goes_on_bit_for_bit(tmp_path, name):
    x, settings, run = torch.randn(8, 4), OptimiserConfig(name=name, lr=0.01), RunFolder(tmp_path)
    straight = network()
    optimiser = build_optimiser(straight, settings)
    for _ in range(3):
        a_step(straight, optimiser, x)
    save_step(run, 3, straight, optimiser, keep=2)
    resumed = network(seed=1)
    other = build_optimiser(resumed, settings)
    load_step(run, 3, resumed, other)
    for _ in range(3):
        a_step(straight, optimiser, x)
        a_step(resumed, other, x)
    for name_, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name_]), name_


def test_only_the_newest_steps_are_kept(tmp_path):
    run, net = RunFolder(tmp_path), network()
    for step in (1, 2, 3):
        save_step(run, step, net, build_optimiser(net, OptimiserConfig()), keep=2)
    assert run.saved_steps() == [2, 3]


@pytest.mark.parametrize("file", ["method.safetensors", "optimizer.safetensors", "state.json"])
def test_a_file_cut_short_is_named_and_the_step_before_it_too(tmp_path, file):
    run, net = RunFolder(tmp_path), network()
    optimiser = build_optimiser(net, OptimiserConfig(name="adamw"))
    a_step(net, optimiser, torch.randn(8, 4))
    for step in (1, 2):
        save_step(run, step, net, optimiser, keep=2)
    path = run.step_folder(2) / file
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ReelvecError, match="goes on from step 1"):
        load_step(run, 2, net, optimiser)


def test_weights_of_another_network_are_refused(tmp_path):
    run, net = RunFolder(tmp_path), network()
    save_step(run, 1, net, build_optimiser(net, OptimiserConfig()), keep=2)
    other = nn.Linear(4, 4)
    with pytest.raises(ReelvecError, match="another network"):
        load_step(run, 1, other, build_optimiser(other, OptimiserConfig()))


def test_a_full_disk_leaves_the_last_step_and_no_rubbish(tmp_path, monkeypatch):
    run, net = RunFolder(tmp_path), network()
    optimiser = build_optimiser(net, OptimiserConfig())
    save_step(run, 1, net, optimiser, keep=2)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder_module.os, "replace", full)
    with pytest.raises(ReelvecError, match="No space left on device"):
        save_step(run, 2, net, optimiser, keep=2)
    assert run.saved_steps() == [1]
    assert [p.name for p in (tmp_path / "steps").iterdir()] == ["000001"]


def test_a_write_that_fails_inside_the_library_is_told_in_words(tmp_path):
    """A limit on the size of files stands in for a full disk: it needs no rights and no small disk."""
    run, net = RunFolder(tmp_path), network()
    optimiser = build_optimiser(net, OptimiserConfig())
    save_step(run, 1, net, optimiser, keep=2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(ReelvecError, match="free some space"):
            save_step(run, 2, net, optimiser, keep=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert run.saved_steps() == [1]
