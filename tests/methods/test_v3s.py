from dataclasses import replace
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch.optim import AdamW

from reelvec.core import Clips, Draws, Stream
from reelvec.methods.v3s import V3s, V3sConfig

FACTORS = ("space_scale", "space_projection", "time_scale", "time_projection")
TIME = {"space_scale_weight": 0.0, "space_projection_weight": 0.0}


def still(batch):
    """The same batch, each video its first frame all along."""
    clips = batch.streams[Stream.RGB]
    frames = clips.frames[:, :, :, :1].expand_as(clips.frames).contiguous()
    return replace(batch, streams={Stream.RGB: Clips(frames, clips.size)})


def drifting(needs, videos, first):
    """Textures that drift at one pixel per frame: the speed at which they are seen tells the interval."""
    need, side = needs.streams[0], needs.short_side
    generator = torch.Generator().manual_seed(first)
    coarse = torch.rand(videos, 3, (side + need.frames) // 4 + 2, side // 4, generator=generator)
    wide = F.interpolate(coarse, scale_factor=4, mode="bilinear")
    frames = torch.stack([wide[:, :, t : t + side, :side] for t in range(need.frames)], 2)
    return Clips((frames[:, None] * 255).to(torch.uint8), torch.tensor([[side, side]] * videos))


def test_the_loss_is_the_weighted_sum_of_cross_entropies(small):
    weights = {f"{factor}_weight": weight for factor, weight in zip(FACTORS, (1.0, 0.5, 2.0, 0.25), strict=True)}
    method = small.method("v3s", **weights).eval()
    batch = small.batch(method.needs())
    outputs = method.step(batch, small.at(0))
    view, classes = method.view(batch, small.at(0), "view0")
    features, total = method.visual.features(view).double(), 0.0
    for factor in FACTORS:
        logits = features @ method.heads[factor].weight.double().T + method.heads[factor].bias.double()
        losses = [-(row[k] - row.exp().sum().log()) for row, k in zip(logits, classes[factor].tolist(), strict=True)]
        right = [row.argmax().item() == k for row, k in zip(logits, classes[factor].tolist(), strict=True)]
        torch.testing.assert_close(outputs[factor].double(), sum(losses) / 6, rtol=1e-5, atol=1e-6)
        assert outputs[f"{factor}_accuracy"].item() == pytest.approx(sum(right) / 6)
        total = total + weights[f"{factor}_weight"] * sum(losses) / 6
    torch.testing.assert_close(outputs["loss"].double(), total, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_target_alone_bends_nothing_else(factor, small):
    method = small.method("v3s", **{f"{other}_weight": 0.0 for other in FACTORS if other != factor})
    batch = small.batch(method.needs())
    outputs = method.step(batch, small.at(0))
    assert set(outputs) == {"loss", factor, f"{factor}_accuracy"}
    assert set(method.heads) == {factor}
    _, classes = method.view(batch, small.at(0), "view0")
    bends, count = method.bends(classes), len(batch)
    plain = {
        "space_scale": (bends.stretch, torch.ones(count, 2)),
        "space_projection": (bends.tilt, torch.zeros(count, 2)),
        "time_scale": (bends.interval, torch.ones(count).long()),
        "time_projection": (bends.clock, torch.zeros(count)),
    }
    for name, (bent, straight) in plain.items():
        assert torch.equal(bent, straight) == (name != factor), name
    assert method.limits().stretch == (2.0 if factor == "space_scale" else 1.0)
    assert method.limits().tilt == (0.3 if factor == "space_projection" else 0.0)
    assert method.needs().streams[0].frames == (3 * 8 + 1 if factor == "time_scale" else 4)


def test_still_clips_hold_nothing_of_the_classes_of_time(small):
    """Shortcut control of the card: the same pixels whatever the class, so no head can be above chance."""
    method = small.method("v3s", direction=True)
    batch = still(small.batch(method.needs()))
    seen = []
    for interval, projection in ((0, 0), (3, 1), (2, 5)):
        changed = {"time_scale": interval, "time_projection": projection}

        def drawn(draws, real=method.classes, changed=changed):
            return {name: torch.full_like(c, changed[name]) if name in changed else c for name, c in real(draws).items()}

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(method, "classes", drawn)
            seen.append(method.view(batch, small.at(0), "view0")[0])
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_heads_of_time_learn_from_what_moves_and_stay_at_chance_on_what_stands_still(small):
    accuracy = {}
    for kind in ("drifting", "still"):
        method = small.method("v3s", **TIME, time_projection_weight=0.0, time_scales=[1, 4])
        optimiser = AdamW(method.parameters(), lr=3e-3)
        right = []
        for step in range(45):
            batch = small.batch(method.needs(), videos=16, first=16 * step)
            clips = drifting(method.needs(), 16, step)
            batch = replace(batch, streams={Stream.RGB: clips})
            outputs = method.step(still(batch) if kind == "still" else batch, small.at(step))
            optimiser.zero_grad()
            outputs["loss"].backward()
            optimiser.step()
            right.append(outputs["time_scale_accuracy"].item())
        accuracy[kind] = sum(right[-20:]) / 20
    assert accuracy["drifting"] > 0.8
    assert abs(accuracy["still"] - 0.5) < 0.1  # 320 draws: the standard deviation is 0.028


def test_classes_are_independent_and_equally_frequent(small):
    method = small.method("v3s", direction=True)
    classes = method.classes(Draws(3, torch.arange(6000), "class"))
    sizes = {"space_scale": 5, "space_projection": 5, "time_scale": 4, "time_projection": 6}
    for factor, size in sizes.items():
        counts = torch.bincount(classes[factor], minlength=size)
        assert len(counts) == size
        assert (counts / 6000 - 1 / size).abs().max() < 0.02
        for other in FACTORS:
            if other != factor:
                table = torch.bincount(classes[factor] * sizes[other] + classes[other], minlength=size * sizes[other])
                assert (table / 6000 - 1 / (size * sizes[other])).abs().max() < 0.02


def test_backwards_is_the_second_half_of_the_classes(small):
    method = small.method("v3s", **TIME, direction=True)
    bends = method.bends({"time_scale": torch.zeros(6).long(), "time_projection": torch.arange(6)})
    assert bends.clock.tolist() == pytest.approx([0, 2, -2 / 3] * 2)
    assert bends.backwards.tolist() == [False] * 3 + [True] * 3


def test_what_is_read_holds_the_largest_interval_and_no_more(small):
    assert V3s(V3sConfig()).needs().streams[0].frames == 15 * 8 + 1
    method = small.method("v3s", **TIME, time_scale_weight=0.0, plain_interval=3)
    assert method.needs().streams[0].frames == 3 * 3 + 1


def test_the_encoder_is_fed_plain_clips(small):
    _, card = small.method("v3s", plain_interval=2).encoders()["visual"]
    assert (card.needs.streams[0].frames, card.needs.streams[0].stride) == (4, 2)


def test_the_recipe_of_the_generated_set_fits_into_its_videos(small):
    method = V3s(V3sConfig.model_validate(small.recipe("v3s", "cpu")["settings"]))
    need = method.needs().streams[0]
    assert Fraction(need.frames, 24) < 1  # 24 frames; a longer clip would be looped, and its seam would tell the speed


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({f"{factor}_weight": 0.0 for factor in FACTORS}, "weights"),
        ({"time_scales": [2]}, "time_scales"),
        ({"time_scales": [2, 2]}, "time_scales"),
        ({"time_projections": [0.0, -1.0]}, "time_projections"),
        ({"space_scales": [[1.0, 1.0], [0.5, 1.0]]}, "space_scales"),
        ({"space_projections": [[0.0, 0.0], [0.6, 0.0]]}, "space_projections"),
        ({"space_scale_weight": -1.0}, "space_scale_weight"),
    ],
)
def test_impossible_settings_are_refused(wrong, named):
    with pytest.raises(ValueError, match=named):
        V3sConfig.model_validate(wrong)
