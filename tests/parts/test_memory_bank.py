import torch

from reelvec.parts import memory_bank
from reelvec.parts.memory_bank import MemoryBank


def keys(*values, dim=3):
    return torch.tensor(values)[:, None].expand(-1, dim).float()


def test_starts_with_unit_vectors():
    torch.testing.assert_close(MemoryBank(16, 4).negatives().norm(dim=1), torch.ones(16))


def test_every_video_has_its_place_and_keeps_its_last_key():
    bank = MemoryBank(6, 3)
    before = bank.negatives()
    bank.write(torch.tensor([4, 1]), keys(10, 11))
    bank.write(torch.tensor([1, 5]), keys(12, 13))
    assert bank.negatives()[[4, 1, 5], 0].tolist() == [10, 12, 13]
    assert torch.equal(bank.negatives()[[0, 2, 3]], before[[0, 2, 3]])


def test_a_place_that_stands_twice_in_a_batch_holds_the_last():
    bank = MemoryBank(4, 3)
    bank.write(torch.tensor([2, 0, 2, 2, 1]), keys(1, 2, 3, 4, 5))
    assert bank.negatives()[:3, 0].tolist() == [2, 5, 4]


def test_videos_beyond_the_size_share_places():
    bank = MemoryBank(5, 3)
    assert bank.places(torch.tensor([3, 8, 13, 4])).tolist() == [3, 3, 3, 4]
    bank.write(torch.tensor([3, 13]), keys(1, 2))
    assert bank.negatives()[3, 0] == 2


def test_two_processes_write_what_one_writes(monkeypatch):
    """Rows and keys are gathered alike, first process first, so a video that both hold ends the same on both."""
    rows, values = (torch.tensor([0, 3]), torch.tensor([3, 2])), (keys(1, 2), keys(3, 4))
    one, banks = MemoryBank(5, 3), [MemoryBank(5, 3), MemoryBank(5, 3)]
    for bank in banks:
        bank.load_state_dict(one.state_dict())
    one.write(torch.cat(rows), torch.cat(values))
    both = {tensor.data_ptr(): torch.cat(pair) for pair in (rows, values) for tensor in pair}
    monkeypatch.setattr(memory_bank, "gather", lambda x: both[x.data_ptr()])
    for process, bank in enumerate(banks):
        bank.write(rows[process], values[process])
        assert torch.equal(bank.keys, one.keys)


def test_negatives_are_a_copy():
    bank = MemoryBank(4, 3)
    read = bank.negatives()
    bank.write(torch.tensor([0]), keys(9))
    assert (read[0] != 9).all()


def test_keeps_float32_for_keys_in_bfloat16():
    bank = MemoryBank(4, 3)
    bank.write(torch.tensor([0]), keys(1).bfloat16())
    assert bank.negatives().dtype == torch.float32
