import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reelvec.backbones import build_encoder
from reelvec.core import Stream
from reelvec.methods.dsm import Dsm, DsmConfig
from reelvec.views import make_view

NEGATIVES = ["other_time", "flow_warp", "frame_shuffle", "none"]


def projected(encoder, head, view):
    with torch.no_grad():
        return F.normalize(head(encoder.features(view)), dim=1).double()


@pytest.mark.parametrize("hard_negative", NEGATIVES)
def test_the_loss_is_the_formula_of_the_card(small, hard_negative):
    method = small.method("dsm", hard_negative=hard_negative).eval()
    batch, memory = small.batch(method.needs()), method.queue.negatives().double()
    query_view, key_view = method.pair(batch, small.at(0))
    query = projected(method.visual, method.head, query_view)
    key = projected(method.slow_visual, method.slow_head, key_view)
    broken = method.broken(batch, small.at(0))
    total = 0.0
    for i, q in enumerate(query):
        below = [torch.exp(q @ key[i] / 0.07), *(torch.exp(q @ u / 0.07) for u in memory)]
        if broken is not None:
            below.append(torch.exp(q @ projected(method.visual, method.head, broken)[i] / 0.07))
        total += -torch.log(below[0] / sum(below)) / len(query)
    assert (broken is None) == (hard_negative == "none")
    torch.testing.assert_close(method.step(batch, small.at(0))["loss"].double(), total, rtol=1e-4, atol=1e-5)
    assert torch.allclose(method.queue.keys[:6].double(), key, atol=1e-5), "keys enter the queue, hard negatives do not"
    assert int(method.queue.position) == 6


def test_the_triplet_loss_is_the_formula_of_the_card(small):
    method = small.method("dsm", loss="triplet").eval()
    batch = small.batch(method.needs())
    query_view, key_view = method.pair(batch, small.at(0))
    q, k, n = (projected(method.visual, method.head, x) for x in (query_view, key_view, method.broken(batch, small.at(0))))
    total = 0.0
    for i in range(6):
        for negative in (n[i], n[5 - i]):
            total += max(0.0, float((q[i] - k[i]).norm() - (q[i] - negative).norm()) + 0.5) / 6
    assert method.step(batch, small.at(0))["loss"].item() == pytest.approx(total, rel=1e-4)
    assert not any(name.startswith(("slow", "queue")) for name in method.state_dict())


@pytest.mark.parametrize("settings", [{"loss": "triplet"}, *({"hard_negative": name} for name in NEGATIVES)])
def test_every_form_trains_all_weights(small, settings):
    method = small.method("dsm", **settings)
    (loss,) = small.train(method, torch.optim.SGD(method.parameters(), lr=0.01), range(1))
    assert torch.isfinite(torch.tensor(loss))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters() if p.requires_grad)


def test_a_hard_negative_has_a_gradient_and_batch_statistics_of_its_own(small):
    method = small.method("dsm")
    batch = small.batch(method.needs())
    passes = []
    method.visual.body.register_forward_hook(lambda module, inputs, output: passes.append((inputs[0], output)))
    method.step(batch, small.at(0))["loss"].backward()
    assert [len(inputs) for inputs, _ in passes] == [6, 6]
    assert torch.equal(passes[1][0], method.broken(batch, small.at(0)))
    assert passes[1][1].requires_grad


@pytest.mark.parametrize("warped", ["query", "key"])
@pytest.mark.parametrize("warp", ["spline", "bumps"])
def test_space_bends_on_one_side_and_alike_in_all_frames(small, warp, warped):
    plain = small.method("dsm", warp="none")
    bent = small.method("dsm", warp=warp, warped=warped)
    batch = small.batch(plain.needs())
    still = batch.streams[Stream.RGB].frames[:, :, :, :1].expand_as(batch.streams[Stream.RGB].frames).contiguous()
    batch.streams[Stream.RGB] = type(batch.streams[Stream.RGB])(still, batch.streams[Stream.RGB].size)
    changed = [torch.allclose(a, b) for a, b in zip(plain.pair(batch, small.at(0)), bent.pair(batch, small.at(0)), strict=True)]
    assert changed == [warped == "key", warped == "query"]
    for view in bent.pair(batch, small.at(0)):
        torch.testing.assert_close(view, view[:, :, :1].expand_as(view))
    assert torch.equal(plain.broken(batch, small.at(0)), bent.broken(batch, small.at(0)))


def test_the_flow_of_the_negative_is_cut_and_scaled_as_its_picture(small):
    view = {**small.method("dsm").config.view.model_dump(), "jitter": 0.0}
    method = small.method("dsm", hard_negative="flow_warp", rotation=0.0, view=view)
    batch = small.batch(method.needs())
    clips, draws = batch.streams[Stream.FLOW], small.at(0).draws(batch, "negative")
    plain = make_view(batch.clip(Stream.RGB, 0), method.config.view, draws)

    def broken(flow):
        batch.streams[Stream.FLOW] = type(clips)(torch.full_like(clips.frames, flow), clips.size)
        return method.broken(batch, small.at(0))

    torch.testing.assert_close(broken(0.0), plain.frames)
    factors = draws.uniform("flow", 0.01, 10.0, many=4)
    shown = (plain.box[:, 2:] - plain.box[:, :2]) * plain.picture.flip(1)  # pixels of the picture in the view: width, height
    shift = (factors[..., None] * 0.5 * 32 / shown[:, None]).clamp(max=20 * 32 / 224)  # (b, t, 2) pixels of the view
    theta = torch.zeros(6 * 4, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1
    theta[:, :, 2] = shift.flatten(0, 1) * 2 / 32
    grid = F.affine_grid(theta, [24, 3, 32, 32], align_corners=False)
    frames = plain.frames.transpose(1, 2).flatten(0, 1)
    expected = F.grid_sample(frames, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(broken(0.5), expected.unflatten(0, (6, 4)).transpose(1, 2), atol=1e-3, rtol=1e-3)


def test_what_is_needed_hangs_on_the_hard_negative():
    def needs(hard_negative):
        return Dsm(DsmConfig(encoder="tiny", queue=8, hard_negative=hard_negative)).needs()

    assert needs("other_time").clips == 2
    assert (needs("other_time").times.rule, needs("other_time").times.min_seconds) == ("apart", 0.08)
    assert [n.stream for n in needs("flow_warp").streams] == [Stream.RGB, Stream.FLOW]
    for name in ("flow_warp", "frame_shuffle", "none"):
        assert needs(name).clips == 1
    for name in ("other_time", "frame_shuffle", "none"):
        assert [n.stream for n in needs(name).streams] == [Stream.RGB]


def test_the_head_is_one_linear_layer_unless_a_hidden_one_is_asked_for():
    plain, deep = (
        Dsm(DsmConfig(encoder="tiny", queue=8, **more)).head for more in ({}, {"hidden": 16, "head_batch_norm": True})
    )
    assert [type(layer) for layer in plain] == [nn.Linear]
    assert [type(layer) for layer in deep] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"loss": "triplet", "hard_negative": "none"}, "hard_negative"),
        ({"head_batch_norm": True}, "hidden"),
        ({"temperature": 0.0}, "temperature"),
        ({"momentum": 1.5}, "momentum"),
        ({"rotation": -1.0}, "rotation"),
    ],
)
def test_impossible_settings_are_refused(wrong, named):
    with pytest.raises(ValueError, match=named):
        DsmConfig.model_validate(wrong)


def test_the_papers_clips_fit_the_papers_network():
    c = DsmConfig()
    assert (c.encoder, c.frames, c.stride, c.view.size) == ("i3d", 16, 4, 224)
    encoder = build_encoder(c.encoder, 3, **c.encoder_arguments).eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, c.frames, c.view.size, c.view.size)).shape == (1, 1024, 2, 7, 7)
