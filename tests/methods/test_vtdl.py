import pytest
import torch
import torch.nn.functional as F

from reelvec.backbones import build_encoder
from reelvec.core import Stream
from reelvec.methods._anchor_clips import basic_view
from reelvec.methods.vtdl import VtdlConfig
from reelvec.parts import Queue
from reelvec.parts.memory_bank import MemoryBank


def projected(encoder, head, view):
    with torch.no_grad():
        return F.normalize(head(encoder.features(view)), dim=1).double()


def hard_of(small, method, batch):
    """Project the other interval of each video."""
    view = basic_view(method.config, batch.clip(Stream.RGB, 1), small.at(0).draws(batch, "negative"))
    return projected(method.visual, method.head, view)


@pytest.mark.parametrize("negatives", ["queue", "bank"])
@pytest.mark.parametrize("hard_negative", ["other_interval", "none"])
@pytest.mark.parametrize("triplet_weight", [0.0, 0.3])
def test_the_loss_is_the_formula_of_the_card(small, negatives, hard_negative, triplet_weight):
    method = small.method("vtdl", negatives=negatives, hard_negative=hard_negative, triplet_weight=triplet_weight).eval()
    batch, memory = small.batch(method.needs()), method.memory.negatives().double()
    query_view, key_view = method.pair(batch, small.at(0))
    query = projected(method.visual, method.head, query_view)
    key = projected(method.slow_visual, method.slow_head, key_view)
    outputs = method.step(batch, small.at(0))
    total = 0.0
    for i, q in enumerate(query):
        below = [torch.exp(q @ key[i] / 0.07)]
        below += [torch.exp(q @ u / 0.07) for m, u in enumerate(memory) if negatives == "queue" or m != int(batch.rows[i])]
        if hard_negative == "other_interval":
            n = hard_of(small, method, batch)[i]
            below.append(torch.exp(q @ n / 0.07))
            margin = max(0.0, float((q - key[i]).norm() - (q - n).norm()) + 1.0)
            total += triplet_weight * margin / len(query)
        total += -torch.log(below[0] / sum(below)) / len(query)
    torch.testing.assert_close(outputs["loss"].double(), total, rtol=1e-4, atol=1e-5)
    assert ("triplet" in outputs) == (hard_negative == "other_interval"), "logged whether it is added or not"


def test_only_the_query_is_mixed_and_its_time_derivatives_stay_up_to_a_factor(small):
    plain, mixed = small.method("vtdl", mix="none"), small.method("vtdl")
    batch = small.batch(plain.needs())
    (query, key), (mixed_query, mixed_key) = (method.pair(batch, small.at(0)) for method in (plain, mixed))
    assert torch.equal(key, mixed_key)
    assert not torch.allclose(query, mixed_query, atol=1e-3)
    weight = small.at(0).draws(batch, "query").uniform("weight", 0.0, 0.1)
    for order in (1, 2, 3):
        torch.testing.assert_close(
            mixed_query.diff(n=order, dim=2),
            (1 - weight)[:, None, None, None, None] * query.diff(n=order, dim=2),
            atol=1e-4,
            rtol=1e-4,
        )
    changing = small.method("vtdl", mix="changing_frame").pair(batch, small.at(0))[0]
    assert not torch.allclose(changing.diff(dim=2), mixed_query.diff(dim=2), atol=1e-3)


def test_the_positive_is_of_the_same_interval_and_the_hard_negative_of_another(small):
    method = small.method("vtdl", mix_weight=0.0)
    needs = method.needs()
    assert (needs.clips, needs.times.rule, needs.times.min_seconds) == (2, "apart", 0.08)
    assert small.method("vtdl", hard_negative="none").needs().clips == 1
    batch = small.batch(needs)
    (stream,) = batch.streams
    for clip, same in ((0, False), (1, True)):
        changed = method.pair(small.change_clip(batch, stream, clip), small.at(0))
        assert [torch.equal(a, b) for a, b in zip(method.pair(batch, small.at(0)), changed, strict=True)] == [same, same]


def test_the_bank_keeps_the_key_of_each_video_at_its_row(small):
    method = small.method("vtdl", negatives="bank").eval()
    assert isinstance(method.memory, MemoryBank)
    batch = small.batch(method.needs(), first=22)  # 24 places: the last videos go on at the first
    before = method.memory.negatives()
    key = projected(method.slow_visual, method.slow_head, method.pair(batch, small.at(0))[1])
    method.step(batch, small.at(0))
    places = [22, 23, 0, 1, 2, 3]
    torch.testing.assert_close(method.memory.keys[places].double(), key, atol=1e-5, rtol=1e-4)
    assert torch.equal(method.memory.keys[4:22], before[4:22])


def test_a_bank_goes_on_where_it_was_saved(small):
    whole, first, second = (small.method("vtdl", seed=seed, negatives="bank") for seed in (0, 0, 7))

    def optimiser(method):
        return torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.01)

    small.train(whole, optimiser(whole), range(4))
    small.train(first, optimiser(first), range(2))
    second.load_state_dict(first.state_dict())
    small.train(second, optimiser(second), range(2, 4))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_the_queue_takes_keys_and_no_hard_negatives(small):
    method = small.method("vtdl")
    assert isinstance(method.memory, Queue)
    method.step(small.batch(method.needs()), small.at(0))
    assert int(method.memory.position) == 6


@pytest.mark.parametrize("wrong", [{"mix_weight": 1.0}, {"queue": 0}, {"temperature": -1.0}, {"triplet_weight": -0.1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VtdlConfig.model_validate(wrong)


def test_the_papers_clips_fit_the_papers_network():
    c = VtdlConfig()
    assert (c.encoder, c.frames, c.stride, c.view.size) == ("i3d", 16, 4, 224)
    encoder = build_encoder(c.encoder, 3, **c.encoder_arguments).eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, c.frames, c.view.size, c.view.size)).shape == (1, 1024, 2, 7, 7)
