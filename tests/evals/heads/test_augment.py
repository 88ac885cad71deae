"""RandAugment against timm's own operations on PIL pictures, which are VideoMAE's; random erasing against its rule."""

import numpy as np
import pytest
import torch
from PIL import Image

from reelvec.core import Clips, Draws
from reelvec.evals.heads.augment import OPERATIONS, PAPERS, Augment

FAR = {
    "exact": ("AutoContrast", "Equalize", "Invert", "PosterizeIncreasing", "SolarizeIncreasing", "SolarizeAdd"),
    "rounded": ("ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing"),
    "resampled": ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"),
}


def smooth_frames(many: int = 2) -> torch.Tensor:
    """Frames of slow waves: neither rounding nor the filter of a resampling says much about them."""
    y, x = torch.meshgrid(torch.arange(36.0), torch.arange(48.0), indexing="ij")
    waves = [128 + 90 * torch.sin(x / (9 + c) + y / (7 + c + t) + t) for t in range(many) for c in range(3)]
    return torch.stack(waves).round().to(torch.uint8).unflatten(0, (many, 3))


def timms(frames: torch.Tensor, name: str, strength: float, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Let timm carry out its operation of this name on each frame."""
    timm = pytest.importorskip("timm.data.auto_augment")
    monkeypatch.setattr(timm, "_randomly_negate", lambda value: value if strength >= 0 else -value)
    level = timm.LEVEL_TO_ARG[name]
    arguments = level(10 * abs(strength), {"translate_pct": 0.45}) if level else ()
    fill = {"fillcolor": (128,) * 3, "resample": Image.Resampling.BILINEAR}
    pictures = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames]
    changed = [np.array(timm.NAME_TO_OP[name](picture, *arguments, **fill)) for picture in pictures]
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("strength", [0.0, 0.31, 0.7, -0.7, 0.97])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_timms(name: str, strength: float, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = smooth_frames()
    ours = OPERATIONS[name](frames, strength)
    assert ours.dtype == torch.uint8
    apart = (ours.int() - timms(frames, name, strength, monkeypatch).int()).abs()
    if name in FAR["exact"]:
        assert apart.max() <= (1 if name == "AutoContrast" else 0)
    elif name in FAR["rounded"]:
        assert apart.max() <= 2
    else:
        # where the picture ends PIL takes grey at once, torchvision fades into it
        assert (apart <= 2).float().mean() > 0.93
        assert apart.float().mean() < 3


def test_all_operations_are_timms(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm.data.auto_augment")
    assert list(OPERATIONS) == timm._RAND_INCREASING_TRANSFORMS
    assert set(OPERATIONS) == {name for names in FAR.values() for name in names}
    drawn = timm.rand_augment_transform("rand-m7-n4-mstd0.5-inc1", {})
    assert (drawn.num_layers, {op.prob for op in drawn.ops}) == (PAPERS.operations, {PAPERS.probability})
    assert {(op.magnitude, op.magnitude_std) for op in drawn.ops} == {(PAPERS.magnitude, PAPERS.spread)}


def test_draws_are_spread_as_they_should_be() -> None:
    drawn = PAPERS.drawn(Draws(0, torch.arange(4000)))
    steps = [step for of_one in drawn for step in of_one]
    assert len(steps) == pytest.approx(4000 * 4 / 2, rel=0.03)
    names, strengths = [name for name, _ in steps], torch.tensor([strength for _, strength in steps])
    assert all(names.count(name) == pytest.approx(len(steps) / 15, rel=0.15) for name in OPERATIONS)
    assert strengths.sign().mean().abs() < 0.03
    assert strengths.abs().mean() == pytest.approx(0.7, abs=0.003)
    assert strengths.abs().std() == pytest.approx(0.05, rel=0.05)
    assert Augment(operations=2, magnitude=10, spread=2).drawn(Draws(0, torch.arange(50)))  # and never beyond 10
    beyond = Augment(operations=2, magnitude=10, spread=2).drawn(Draws(0, torch.arange(200)))
    assert max(abs(strength) for steps in beyond for _, strength in steps) == 1.0


def test_a_clip_is_changed_by_its_own_draw_the_same_in_all_frames() -> None:
    still = smooth_frames(1)[0][None, None, :, None].expand(12, 1, 3, 5, 36, 48)
    clips = Clips(still, torch.tensor([[36, 48]] * 12))
    whole = PAPERS.pictures(clips, Draws(3, torch.arange(12))).frames
    assert whole.dtype == torch.uint8
    assert torch.equal(whole, whole[:, :, :, :1].expand_as(whole))
    assert sum(not torch.equal(one, still[0]) for one in whole) > 6
    part = PAPERS.pictures(Clips(still[5:8], clips.size[5:8]), Draws(3, torch.arange(5, 8))).frames
    assert torch.equal(part, whole[5:8])
    assert torch.equal(still, clips.frames)
    assert Augment().pictures(clips, Draws(3, torch.arange(12))) is clips


def test_padding_stays_out_of_it() -> None:
    """The picture is 20 x 30 in a tensor of 36 x 48: what is beside it neither changes it nor is changed."""
    frames = smooth_frames()[None, None].transpose(2, 3).clone()
    alone = Clips(frames[..., :20, :30].clone(), torch.tensor([[20, 30]]))
    beside = Clips(frames, torch.tensor([[20, 30]]))
    for number in range(20):
        draws = Draws(0, torch.tensor([number]))
        padded = PAPERS.pictures(beside, draws).frames
        assert torch.equal(padded[..., :20, :30], PAPERS.pictures(alone, draws).frames)
        assert torch.equal(padded[..., 20:, :], frames[..., 20:, :])


def test_a_box_of_some_clips_becomes_noise() -> None:
    many, (height, width) = 600, (24, 20)
    views = torch.full((many, 1, 2, height, width), 9.0)
    found = Augment(erasing=0.25).erased(views.clone(), Draws(0, torch.arange(many)))
    erased = found != 9.0
    assert torch.equal(erased[:, :, :1], erased[:, :, 1:])  # the same place in all frames
    happened = erased.flatten(1).any(1)
    assert happened.float().mean() == pytest.approx(0.25, abs=0.04)
    assert not torch.equal(found[happened][:, :, 0], found[happened][:, :, 1])  # other noise in each
    noise = found[erased]
    assert (noise.mean().item(), noise.std().item()) == pytest.approx((0.0, 1.0), abs=0.02)
    shares, aspects = [], []
    for box in erased[happened][:, 0, 0]:
        rows, columns = box.any(1).nonzero()[:, 0], box.any(0).nonzero()[:, 0]
        tall, wide = len(rows), len(columns)
        assert int(box.sum()) == tall * wide == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        shares.append(tall * wide / (height * width))
        aspects.append(tall / wide)
    assert 0.01 < min(shares) < 0.05
    assert 0.28 < max(shares) < 0.36
    assert np.mean(shares) == pytest.approx((0.02 + 1 / 3) / 2, abs=0.02)
    assert 0.2 < min(aspects) < 0.5
    assert 2 < max(aspects) < 5
    part = Augment(erasing=0.25).erased(views[40:90].clone(), Draws(0, torch.arange(40, 90)))
    assert torch.equal(part, found[40:90])
    assert Augment().erased(views, Draws(0, torch.arange(many))) is views


def test_what_is_done_is_said() -> None:
    assert "magnitude 7 +- 0.5 of 10, 4 of 15 operations" in PAPERS.in_words
    assert PAPERS.in_words.endswith("random erasing 0.25")
    assert Augment().in_words == ""
