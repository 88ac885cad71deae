import torch

from reelvec.parts import Queue, info_nce


def rows(first, count, dim=3):
    return torch.arange(first, first + count).float()[:, None].expand(count, dim).clone()


def test_starts_with_unit_vectors():
    torch.testing.assert_close(Queue(16, 4).negatives().norm(dim=1), torch.ones(16))


def test_the_oldest_go_first_also_where_batches_do_not_divide_the_size():
    queue, expected, sent = Queue(10, 3), [], 0
    for batch in (4, 4, 4, 1, 7, 3):
        queue.push(rows(sent, batch))
        expected, sent = [*expected, *range(sent, sent + batch)], sent + batch
        held = sorted(queue.negatives()[:, 0].tolist()) if sent >= 10 else None
        assert held is None or held == expected[-10:]
    assert int(queue.position) == sent % 10


def test_of_a_batch_larger_than_the_queue_the_last_stay():
    queue = Queue(5, 3)
    queue.push(rows(0, 2))
    queue.push(rows(2, 13))
    assert sorted(queue.negatives()[:, 0].tolist()) == [10, 11, 12, 13, 14]
    queue.push(rows(15, 2))
    assert sorted(queue.negatives()[:, 0].tolist()) == [12, 13, 14, 15, 16]


def test_negatives_are_a_copy():
    queue = Queue(8, 3)
    query = torch.nn.functional.normalize(torch.randn(2, 3)).requires_grad_()
    loss = info_nce(query, query.detach(), queue.negatives(), 0.1)
    queue.push(rows(0, 8))
    loss.backward()  # in place into what the loss has read would be an error here
    assert query.grad is not None


def test_is_saved_and_goes_on_where_it_was():
    queue, again = Queue(7, 3), Queue(7, 3)
    queue.push(rows(0, 5))
    again.load_state_dict(queue.state_dict())
    for q in (queue, again):
        q.push(rows(5, 5))
    assert torch.equal(queue.keys, again.keys)
    assert torch.equal(queue.position, again.position)


def test_keeps_float32_for_keys_in_bfloat16():
    queue = Queue(4, 3)
    queue.push(torch.ones(2, 3, dtype=torch.bfloat16))
    assert queue.negatives().dtype == torch.float32
