"""Small versions of every method, and batches made by arithmetic: the same on every machine."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from reelvec.core import Batch, Clips, Progress, Stream
from reelvec.methods import METHODS

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = {
    "size": 32, "short_side": 40, "queue": 24, "hidden": 16, "dim": 8, "prototypes": 5, "stride": 2, "clips": 2,
    "decoder_dim": 16,
}  # fmt: skip
FORMS = {name: (name, {}) for name in METHODS} | {
    "dsm of dsm-cpu": ("dsm", {"hard_negative": "flow_warp", "head_batch_norm": True}),
    "vtdl with a bank": ("vtdl", {"negatives": "bank"}),
}
"""every method's default, and forms of which the default shows nothing: another stream, another memory"""
CHANNELS = {Stream.RGB: 3, Stream.FLOW: 2, Stream.FLOW_EDGES: 1, Stream.MOTION_VECTORS: 2, Stream.KEYFRAMES: 3}


def recipe(name, kind):
    return yaml.safe_load((RECIPES / f"{name}-{kind}.yaml").read_text(encoding="utf-8"))


def shrink(settings):
    """Shorten the paper's settings for a CPU until a step takes milliseconds; what recipes say elsewhere plays no part."""
    small = {}
    for key, value in settings.items():
        if key.endswith("encoder_arguments"):
            small[key] = {}
        elif key.endswith("encoder"):
            small[key] = "tiny_motion" if key.startswith(("motion", "context")) else "tiny"
        elif isinstance(value, dict):
            small[key] = shrink(value)
        else:
            small[key] = 4 if key.endswith("frames") else SMALL.get(key, value)
    return small


def small_method(name, seed=0, **changes):
    torch.manual_seed(seed)
    kind = METHODS[name]
    return kind(kind.Config.model_validate({**shrink(kind.Config().model_dump()), **changes})).train()


def make_batch(needs, videos=6, first=0):
    """Videos with numbers first, first + 1, ...: waves that move, for every stream that is needed and no other."""
    streams = {need.stream: clips_of(need, needs, videos, first) for need in needs.streams}
    numbers = torch.arange(first, first + videos)
    starts = numbers[:, None] * 0.5 + torch.arange(needs.clips) * 0.25
    return Batch(streams, numbers, numbers.clone(), starts.float(), torch.ones(videos))


def clips_of(need, needs, videos, first):
    height, width = needs.short_side, needs.short_side + 8
    if need.stream == Stream.MOTION_VECTORS:
        height, width = height // 8, width // 8
    b, n, c, t, y, x = (
        torch.arange(size, dtype=torch.float64).reshape([-1 if i == axis else 1 for i in range(6)])
        for axis, size in enumerate((videos, needs.clips, CHANNELS[need.stream], need.frames, height, width))
    )
    b = b + first
    phase = (0.2 + 0.07 * b) * x + (0.5 - 0.03 * b) * y + (0.4 * b + 0.9 * c) * t + 1.7 * c + 2.1 * n + b * b
    wave = (phase.sin() + 1) / 2 * (1 - 0.3 * (x / width) * (y / height))
    integral = need.stream in (Stream.RGB, Stream.FLOW_EDGES)
    frames = (wave * 255).to(torch.uint8) if integral else (wave * 4 - 2).half()
    return Clips(frames, torch.tensor([[height, width]] * videos))


def progress(step):
    return Progress(step=step, total=10, epoch=1.5 + step, seed=3)


def train(method, optimiser, steps, videos=6, first=0):
    """Take some steps as the loop does; return the losses."""
    losses = []
    for step in steps:
        batch = make_batch(method.needs(), videos, first + 10 * step)
        optimiser.zero_grad()
        loss = method.step(batch, progress(step))["loss"]
        loss.backward()
        optimiser.step()
        method.after_step(progress(step))
        losses.append(loss.item())
    return losses


def change_clip(batch, stream, clip):
    """The same batch but for one clip of one stream."""
    clips = batch.streams[stream]
    frames = clips.frames.clone()
    frames[:, clip] = frames[:, clip].flip(2).flip(4)
    return replace(batch, streams={**batch.streams, stream: Clips(frames, clips.size)})


def pytest_generate_tests(metafunc):
    """A test that asks for `form` runs once for each line of FORMS."""
    if "form" in metafunc.fixturenames:
        metafunc.parametrize("form", FORMS)


@pytest.fixture
def small():
    """The functions of this file, for test modules (which cannot import one another)."""

    class Small:
        forms = FORMS
        method = staticmethod(small_method)
        batch = staticmethod(make_batch)
        at = staticmethod(progress)
        train = staticmethod(train)
        recipe = staticmethod(recipe)
        change_clip = staticmethod(change_clip)

    return Small
