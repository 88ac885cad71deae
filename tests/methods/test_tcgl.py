from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.optim import AdamW

from reelvec.core import Clips, Draws, Stream
from reelvec.methods.tcgl import TcglConfig
from reelvec.parts.graph import GraphConvolution, chain
from reelvec.parts.snippet_order import all_orders

ORDER_ALONE = {"intra_weight": 0.0, "inter_weight": 0.0}


def of_clips(batch, change):
    clips = batch.streams[Stream.RGB]
    return replace(batch, streams={Stream.RGB: Clips(change(clips.frames), clips.size)})


def slow_contrast(u, v, temperature):
    """The formula of the card, for one graph."""
    u, v = F.normalize(u, dim=1), F.normalize(v, dim=1)
    total = 0.0
    for a, b in ((u, v), (v, u)):
        for i in range(len(a)):
            below = sum((a[i] @ b[j] / temperature).exp() for j in range(len(a)))
            below = below + sum((a[i] @ a[j] / temperature).exp() for j in range(len(a)) if j != i)
            total = total - ((a[i] @ b[i] / temperature).exp() / below).log() / (2 * len(a))
    return total


def test_the_loss_is_the_weighted_sum_of_the_cards_three_terms(small):
    method = small.method("tcgl", order_weight=0.5, intra_weight=2.0, inter_weight=0.25, frames=8, frame_sets=4).eval()
    batch, at, c = small.batch(method.needs()), small.at(0), method.config
    outputs = method.step(batch, at)
    views = method.views(batch, at)
    draws = at.draws(batch, "graph")

    def slow_graph(nodes, convolution, drawn):
        size = nodes.shape[1]
        edges = (drawn.uniform("edges", many=size * size) >= 0.2).view(-1, size, size) & chain(size)
        features = (drawn.uniform("features", many=nodes.shape[2]) >= 0.1)[:, None].float()
        losses = []
        for x, e, f in zip(nodes, edges, features, strict=True):
            u = method.projection(convolution(x[None], chain(size)[None]))[0]
            v = method.projection(convolution(x[None] * f, e[None]))[0]
            losses.append(slow_contrast(u, v, c.temperature))
        return sum(losses) / len(losses)

    with torch.no_grad():
        snippets = torch.stack([method.visual.features(views[:, i]) for i in range(3)], 1)
        sets = [torch.stack([method.visual.features(views[:, i, :, 2 * k : 2 * k + 2]) for k in range(4)], 1) for i in range(3)]
        inter = slow_graph(snippets, method.inter, draws.within("inter"))
        intra = sum(slow_graph(sets[i], method.intra[i], draws.within(f"intra{i}")) for i in range(3)) / 3
        truth, logits = method.tell_order(snippets, at.draws(batch, "order"))
        order = sum(-(row.softmax(0)[k].log()) for row, k in zip(logits, truth.tolist(), strict=True)) / len(batch)
    for name, expected in (("order", order), ("intra", intra), ("inter", inter)):
        torch.testing.assert_close(outputs[name], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(outputs["loss"], 0.5 * order + 2.0 * intra + 0.25 * inter, rtol=1e-4, atol=1e-5)
    assert outputs["order_accuracy"].item() == pytest.approx((logits.argmax(1) == truth).float().mean().item())


@pytest.mark.parametrize("term", ["order", "intra", "inter"])
def test_each_term_alone_trains_all_that_it_has(term, small):
    method = small.method("tcgl", **{f"{other}_weight": 0.0 for other in ("order", "intra", "inter") if other != term})
    outputs = method.step(small.batch(method.needs()), small.at(0))
    assert set(outputs) == {"loss", term} | ({"order_accuracy"} if term == "order" else set())
    outputs["loss"].backward()
    # single frames (the shrunken sets) show the column of changes none
    names = [n for n, _ in method.named_parameters() if not (term == "intra" and n.startswith("visual.body.changes"))]
    assert all(method.get_parameter(n).grad.abs().sum() > 0 for n in names)
    assert hasattr(method, "projection") == (term != "order")
    assert hasattr(method, "order_head") == (term == "order")


def test_structure_alone_does_not_tell_the_order(small):
    """The leak that the card found: with three snippets that look the same, nothing may hang on their order."""
    method = small.method("tcgl").eval()
    batch = of_clips(small.batch(method.needs(), videos=1), lambda frames: frames[:, :1].expand_as(frames).contiguous())
    many = 600
    snippets = method.visual.features(method.views(batch, small.at(0)).flatten(0, 1)).expand(many, -1, -1)
    truth, logits = method.tell_order(snippets, Draws(3, torch.arange(many), "order"))
    torch.testing.assert_close(logits, logits[:1].expand_as(logits))
    assert set(truth.tolist()) == set(range(6))
    assert (logits.argmax(1) == truth).float().mean().item() == pytest.approx(1 / 6, abs=0.05)


def test_the_structure_of_the_inter_graph_would_tell_the_order(small):
    """Why the test above is not empty: through true neighbours, equal snippets become unequal, and the middle one shows."""
    same = torch.ones(6, 3, 5)
    mixed = GraphConvolution(5, 4)(same, chain(3).expand(6, 3, 3))
    shown = mixed.take_along_dim(all_orders(3)[:, :, None], 1)
    groups = [[0, 5], [1, 4], [2, 3]]  # orders that show the middle snippet second, third, first
    for group in groups:
        torch.testing.assert_close(shown[group[0]], shown[group[1]])
    assert all(not torch.allclose(shown[a[0]], shown[b[0]]) for a in groups for b in groups if a != b)


def test_the_order_head_gives_no_gradient_to_the_graphs(small):
    method = small.method("tcgl")
    method.step(small.batch(method.needs()), small.at(0))["order"].backward()
    assert all(p.grad is None for part in (method.intra, method.inter, method.projection) for p in part.parameters())


def order_accuracy(small, method, change, steps):
    """Train by `step` on changed clips of 16 videos; the share of orders told rightly in the second half of the steps."""
    optimiser, right = AdamW(method.parameters(), lr=3e-3), []
    for step in range(steps):
        batch = of_clips(small.batch(method.needs(), videos=16, first=16 * step), change)
        outputs = method.step(batch, small.at(step))
        optimiser.zero_grad()
        outputs["loss"].backward()
        optimiser.step()
        right.append(outputs["order_accuracy"].item())
    return sum(right[steps // 2 :]) / (steps - steps // 2)


def test_the_order_is_learnt_where_the_videos_tell_it(small):
    """Videos that grow brighter have an order that one snippet's brightness tells."""

    def grow_brighter(frames):
        brighter = torch.arange(frames.shape[1])[None, :, None, None, None, None] * 60.0
        return (frames[:, :1, :, :1].float() / 3 + brighter).expand_as(frames).to(torch.uint8).contiguous()

    assert order_accuracy(small, small.method("tcgl", **ORDER_ALONE, order_hidden=32), grow_brighter, steps=50) > 0.7


def test_training_on_still_videos_with_all_terms_tells_no_order(small):
    """The graphs know the true neighbours: nothing of that may reach the order head by way of what they teach the encoder.

    Where a head sees it (a node takes the sum of its neighbours: two for the middle snippet), half of the orders are told.
    """
    view = {**small.recipe("tcgl", "paper")["settings"]["view"], "size": 16}
    accuracy = {}
    for head in ("fair", "leaking"):
        method = small.method("tcgl", view=view, short_side=20, order_hidden=256)
        assert min(method.config.order_weight, method.config.intra_weight, method.config.inter_weight) == 1
        if head == "leaking":
            tell = method.tell_order
            method.tell_order = lambda snippets, draws, tell=tell: tell(chain(3).float() @ snippets, draws)
        accuracy[head] = order_accuracy(small, method, lambda frames: frames[:, :1, :, :1].expand_as(frames).contiguous(), 24)
    near_chance = {head: abs(share - 1 / 6) < 0.1 for head, share in accuracy.items()}  # 192 draws: the deviation is 0.027
    assert near_chance == {"fair": True, "leaking": False}, accuracy


def test_the_snippets_of_a_video_share_their_crop_and_follow_one_another(small):
    method = small.method("tcgl", view={**small.recipe("tcgl", "cpu")["settings"]["view"], "size": 16})
    batch = of_clips(small.batch(method.needs()), lambda frames: frames[:, :1].expand_as(frames).contiguous())
    views = method.views(batch, small.at(0))
    assert torch.equal(views, views[:, :1].expand_as(views))
    assert not torch.allclose(views[0], views[1])
    needs = method.needs()
    assert (needs.clips, needs.times.rule, needs.times.min_seconds) == (3, "sequence", 0.32)


def test_sets_are_neighbouring_frames(small):
    method = small.method("tcgl", frames=6, frame_sets=3, order_weight=0.0, inter_weight=0.0)
    seen = []
    method.visual.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    method.visual.features = lambda clip: method.visual(clip).mean((2, 3, 4))
    batch = small.batch(method.needs(), videos=2)
    views = method.views(batch, small.at(0))
    method.step(batch, small.at(0))
    (sets,) = seen
    expected = [views[b, i, :, 2 * k : 2 * k + 2] for b in range(2) for i in range(3) for k in range(3)]
    assert torch.equal(sets, torch.stack(expected))


@pytest.mark.parametrize(("frames", "shown"), [(4, 8), (3, 9), (8, 8)])
def test_sets_too_short_for_c3d_are_shown_again(frames, shown, small):
    method = small.method("tcgl", encoder="c3d", frames=4 * frames, frame_sets=4)
    views = torch.randn(2, 3, 3, 4 * frames, 8, 8)
    sets = method.frame_sets(views)
    assert sets.shape == (2, 3, 4, 3, shown, 8, 8)
    for k in range(4):
        for t in range(shown):
            assert torch.equal(sets[:, :, k, :, t], views[:, :, :, k * frames + t % frames])


def test_c3d_learns_from_sets_of_four_frames(small):
    view = {**small.recipe("tcgl", "paper")["settings"]["view"], "size": 16}
    arguments = {"remove_temporal_mean": True}
    method = small.method("tcgl", encoder="c3d", encoder_arguments=arguments, frames=8, frame_sets=2, view=view)
    outputs = method.step(small.batch(method.needs(), videos=2), small.at(0))
    outputs["loss"].backward()
    assert {"order", "intra", "inter"} < set(outputs)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.visual.parameters())


def test_views_of_a_graph_differ_by_what_is_dropped_alone(small):
    method = small.method("tcgl", dropped_edges=0.0, masked_features=0.0)
    nodes, draws = torch.randn(4, 3, method.visual.dim), small.at(0).draws(small.batch(method.needs(), videos=4), "graph")
    projected = method.projection(method.inter(nodes, chain(3).expand(4, 3, 3)))
    expected = sum(slow_contrast(u, u, 0.5) for u in projected) / 4
    torch.testing.assert_close(method.contrast(nodes, method.inter, draws), expected)
    noisy = small.method("tcgl", dropped_edges=0.5, masked_features=0.5)
    assert noisy.contrast(nodes, noisy.inter, draws) > expected


@pytest.mark.parametrize("wrong", [{"frame_sets": 5}, {"snippets": 5}, {"temperature": 0.0}, {"dropped_edges": 1.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TcglConfig.model_validate(wrong)


def test_no_term_at_all_is_refused():
    with pytest.raises(ValueError, match="weights"):
        TcglConfig(order_weight=0.0, intra_weight=0.0, inter_weight=0.0)
