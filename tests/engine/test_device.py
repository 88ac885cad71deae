import pytest
import torch

from reelvec.core import ReelvecError
from reelvec.engine import device as device_module
from reelvec.engine.device import choose_device, leaving_cores_for


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there are two GPUs."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("name", ["auto", None, "cuda", "cuda:0"])
def test_the_gpu_is_found(gpus, name):
    assert choose_device(name) == torch.device("cuda:0")


def test_processes_of_one_machine_take_a_gpu_each(gpus, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("auto") == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ReelvecError, match="fewer --devices"):
        choose_device("cuda")


def test_without_a_gpu_auto_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device() == choose_device("auto") == choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:2", "gpu", "meta", "", "cuda:x"])
def test_a_device_that_is_not_there(gpus, name):
    with pytest.raises(ReelvecError, match="2 CUDA devices"):
        choose_device(name)


@pytest.fixture
def threads(monkeypatch):
    """Six cores, a computation of four threads."""
    before = torch.get_num_threads()
    monkeypatch.setattr(device_module, "usable_cores", lambda: 6)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("workers", "left"), [(0, 4), (2, 4), (3, 3), (6, 1), (9, 1)])
def test_workers_get_cores_and_torch_never_more_threads_than_it_had(threads, workers, left):
    with leaving_cores_for(workers):
        assert torch.get_num_threads() == left
    assert torch.get_num_threads() == 4


def test_threads_come_back_after_an_error(threads):
    with pytest.raises(RuntimeError), leaving_cores_for(5):
        raise RuntimeError
    assert torch.get_num_threads() == 4
