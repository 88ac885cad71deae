import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reelvec.methods._rho_clips import rho_views
from reelvec.methods.rho_moco import RhoMocoConfig
from reelvec.parts import momentum_schedule


def projected(encoder, head, views):
    return [F.normalize(head(encoder.features(view)), dim=1) for view in views]


@pytest.mark.parametrize("clips", [1, 2, 3])
def test_the_loss_is_the_papers(small, clips):
    method = small.method("rho_moco", clips=clips)
    batch, negatives = small.batch(method.needs()), method.queue.keys.clone()
    views = rho_views(method.config, batch, small.at(0))
    with torch.no_grad():
        queries = projected(method.visual, method.head, views)
        keys = projected(method.slow_visual, method.slow_head, views)
    total = 0.0
    for i, query in enumerate(queries):
        of_query = []
        for j, key in enumerate(keys):
            if j != i:
                below = (query @ negatives.T / 0.1).exp().sum(1)
                above = ((query * key).sum(1) / 0.1).exp()
                of_query.append(-(above / (above + below)).log().mean())
        total += sum(of_query) / len(of_query)  # mean over keys, sum over queries
    outputs = method.step(batch, small.at(0))
    torch.testing.assert_close(outputs["loss"], total)
    torch.testing.assert_close(outputs["per_query"], total / max(clips, 2))


def test_the_keys_of_all_clips_enter_the_queue_video_by_video(small):
    method = small.method("rho_moco", clips=3)
    batch = small.batch(method.needs(), videos=2)
    with torch.no_grad():
        keys = projected(method.slow_visual, method.slow_head, rho_views(method.config, batch, small.at(0)))
    untouched = method.queue.keys[6:].clone()
    method.step(batch, small.at(0))["loss"].backward()
    expected = torch.stack([keys[clip][video] for video in range(2) for clip in range(3)])
    torch.testing.assert_close(method.queue.keys[:6], expected)
    assert torch.equal(method.queue.keys[6:], untouched)


def test_one_clip_gives_two_augmentations_of_it(small):
    method = small.method("rho_moco", clips=1)
    batch = small.batch(method.needs())
    first, second = rho_views(method.config, batch, small.at(0))
    assert batch.start_seconds.shape[1] == 1
    assert not torch.equal(first, second)


def test_the_slow_network_moves_after_the_step_alone(small):
    method = small.method("rho_moco")
    at = small.at(4)
    before = [p.clone() for p in method.slow_visual.parameters()]
    method.step(small.batch(method.needs()), at)
    assert all(torch.equal(a, b) for a, b in zip(before, method.slow_visual.parameters(), strict=True))
    with torch.no_grad():
        for weight in method.visual.parameters():
            weight.add_(1)
    method.after_step(at)
    momentum = momentum_schedule(0.4, method.config.momentum)
    for old, slow, fast in zip(before, method.slow_visual.parameters(), method.visual.parameters(), strict=True):
        torch.testing.assert_close(slow, momentum * old + (1 - momentum) * fast)


def test_clips_lie_anywhere_unless_limits_are_set(small):
    assert small.method("rho_moco").needs().times.rule == "anywhere"
    times = small.method("rho_moco", min_gap_seconds=0.5, max_gap_seconds=2.0).needs().times
    assert (times.rule, times.min_seconds, times.max_seconds) == ("near", 0.5, 2.0)
    assert small.method("rho_moco", min_gap_seconds=1.0).needs().times.max_seconds is None


def test_the_projector_has_three_layers_and_no_norm(small):
    layers = list(small.method("rho_moco").head)
    assert sum(isinstance(layer, nn.Linear) for layer in layers) == 3
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in layers)


@pytest.mark.parametrize("wrong", [{"clips": 0}, {"temperature": 0.0}, {"momentum": 1.5}, {"queue": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RhoMocoConfig.model_validate(wrong)
