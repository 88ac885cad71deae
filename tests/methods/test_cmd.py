from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reelvec.core import Batch, Clips, Stream
from reelvec.data.index import index
from reelvec.data.streams import read_clips
from reelvec.methods.cmd import Cmd, CmdConfig
from reelvec.views import make_view

PLAIN = {"size": 32, "area": [1.0, 1.0], "aspect": [0.1, 10.0], "flip": 0.0, "mean": [0.0] * 3, "std": [1.0] * 3}
"""a view that shows the whole picture as it is"""


def clip_view(method, batch, at):
    return make_view(batch.clip(Stream.RGB, 0), method.config.view, at.draws(batch, "clip"))


def with_frames(batch, stream, frames):
    return replace(batch, streams={**batch.streams, stream: Clips(frames, batch.streams[stream].size)})


def slow_contrast(query, keys, temperature):
    """Card, section 6: q_is against all k_jsc, right where j = i, the place is s and c = 0."""
    losses = []
    for i, q in enumerate(query):
        for s, place in enumerate(q):
            powers = torch.stack([(place * k).sum() / temperature for k in keys.flatten(0, 2)]).exp()
            right = ((place * keys[i, 0, s]).sum() / temperature).exp()
            losses.append(-(right / powers.sum()).log())
    return torch.stack(losses).mean()


def test_the_loss_is_context_plus_motion(small):
    method = small.method("cmd", context_weight=0.5, motion_weight=2.0).eval()
    batch, at = small.batch(method.needs(), videos=3), small.at(0)
    view = clip_view(method, batch, at)
    with torch.no_grad():
        outputs = method.step(batch, at)
        tokens, motion = method.visual(view.frames), method.motion_views(batch, view, at)
        clip = method.clip_head(tokens.mean((2, 3, 4)))
        context = method.context_head(method.context(method.key_frame_view(batch, at)).mean((2, 3, 4)))
        query = method.prediction_head(method.decoder(tokens).flatten(0, 1)).unflatten(0, (3, -1))
        maps = torch.stack([method.motion(motion[:, c]).flatten(2).mT for c in range(motion.shape[1])], 1)
        keys = method.motion_head(maps.flatten(0, 2)).unflatten(0, maps.shape[:3])
    clip, context, query, keys = (F.normalize(x.double(), dim=-1) for x in (clip, context, query, keys))
    wanted = {"context": slow_contrast(clip[:, None], context[:, None, None], 0.1), "motion": slow_contrast(query, keys, 0.1)}
    wanted["loss"] = 0.5 * wanted["context"] + 2 * wanted["motion"]
    assert set(outputs) == set(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(outputs[name].double(), value, rtol=1e-5, atol=1e-5)


def test_a_term_of_weight_zero_reads_nothing_and_builds_nothing(small):
    context = small.method("cmd", motion_weight=0.0)
    assert [need.stream for need in context.needs().streams] == [Stream.RGB, Stream.KEYFRAMES]
    assert not any(name.startswith(("motion", "decoder", "prediction")) for name, _ in context.named_parameters())
    motion = small.method("cmd", context_weight=0.0)
    assert [need.stream for need in motion.needs().streams] == [Stream.RGB, Stream.MOTION_VECTORS]
    assert not any(name.startswith(("context", "clip")) for name, _ in motion.named_parameters())
    for method, term in ((context, "context"), (motion, "motion")):
        outputs = method.step(small.batch(method.needs()), small.at(0))
        assert set(outputs) == {"loss", term}
        assert torch.equal(outputs["loss"], outputs[term])
        outputs["loss"].backward()
        assert all(p.grad is not None for p in method.parameters())
        assert method.embeddings(small.batch(method.needs()), small.at(0)).shape[1] == 2


def test_the_papers_clip_target_and_places(small):
    config = CmdConfig()
    assert config.clip_span == 61
    # "interval 2": frames 61 and 62 lie between, the vectors of frame 63 lead from 62 to it, as map 62 does here
    assert (config.target, config.span) == (62, 70)
    assert config.other_starts == list(range(55))
    needs = small.method("cmd", **{k: getattr(config, k) for k in ("frames", "stride", "motion_frames")}).needs()
    assert [(n.stream, n.frames, n.stride) for n in needs.streams] == [
        (Stream.RGB, 16, 4), (Stream.KEYFRAMES, 4, 20), (Stream.MOTION_VECTORS, 70, 1),
    ]  # fmt: skip
    assert needs.clips == 1


def test_the_papers_networks_read_98_places_and_write_49():
    method = Cmd(CmdConfig())
    assert method.decoder.read_positions.shape == (98, 512)
    assert method.decoder.written_positions.shape == (49, 512)
    kept, card = method.encoders()["visual"]
    assert card.arguments == {"stem_stride": 2, "max_pool": True, "fine_map": False}
    assert kept.body.network is method.visual.body.network
    assert (card.needs.streams[0].frames, card.size, card.mean) == (16, 112, (0.485, 0.456, 0.406))


def numbered_vectors(method, videos):
    """Maps of motion that hold their own number, tenths of a pixel, in u."""
    need = method.needs().need(Stream.MOTION_VECTORS)
    frames = torch.zeros(videos, 1, 2, need.frames, 5, 6)
    frames[:, :, 0] = torch.arange(need.frames)[:, None, None] / 10
    return frames


GOP = 12
MOVES = np.array([(1 + 5 * k % 7, -(k % 3)) for k in range(40)])
"""right and down, in pixels: how the picture moves to frame k from the frame before"""
PLACES = np.cumsum(MOVES, 0)
PANNED = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (200, 400, 3), np.uint8), (0, 0), 1.5).astype(np.float32)
PANNED = ((PANNED - PANNED.mean()) * 2.5 + 128).clip(0, 255).astype(np.uint8)


def panned(number):
    """Cut a window of 64x48 out of a still picture, which moves through it."""
    x, y = 300 - PLACES[number][0], 60 - PLACES[number][1]
    return np.ascontiguousarray(PANNED[y : y + 48, x : x + 64])


@pytest.fixture(scope="module")
def panned_row(make_video, tmp_path_factory):
    """A file of H.264 as CMD wants it: a key frame in twelve, one reference, no B frames; 24 frames a second."""
    path = tmp_path_factory.mktemp("pan") / "pan.mp4"
    options = {"preset": "medium", "refs": "1", "crf": "10"}
    return index(make_video(path, frames=len(MOVES), gop=GOP, picture=panned, options=options)).row(0)


def batch_of(method, row, first, videos):
    """The clip that starts at frame `first`, as the loader gives it, under the numbers 0, 1, ... of as many samples."""
    streams = read_clips(row, method.needs(), [first / row.frames_per_second])
    size = {stream: torch.tensor([clips.shape[-2:]] * videos) for stream, clips in streams.items()}
    clips = {s: Clips(torch.from_numpy(x)[None].repeat(videos, 1, 1, 1, 1, 1), size[s]) for s, x in streams.items()}
    starts = torch.full((videos, 1), first / row.frames_per_second)
    return Batch(clips, torch.arange(videos), torch.zeros(videos, dtype=torch.int64), starts, torch.ones(videos))


@pytest.mark.parametrize(("first", "gap"), [(2, 0), (14, 2), (14, 0), (16, -3), (1, 3)])
def test_the_target_is_the_motion_to_the_frames_after_the_gap_of_a_real_file(small, panned_row, first, gap):
    """The last case meets key frame 12, to which no vectors lead: those to frame 13 stand in."""
    method = small.method("cmd", motion_gap=gap, other_times=0, short_side=48, motion_clamp=10.0, view=PLAIN)
    batch = batch_of(method, panned_row, first, videos=1)
    motion = method.motion_views(batch, clip_view(method, batch, small.at(0)), small.at(0))[0, 0] * 10
    last = first + (4 - 1) * 2  # of the clip
    wanted = [last + gap + 1 + i for i in range(4)]
    moves = [MOVES[k + 1] if k % GOP == 0 else MOVES[k] for k in wanted]
    torch.testing.assert_close(motion.flatten(2).median(2).values.T, torch.tensor(np.array(moves)).float(), atol=0.1, rtol=0)
    assert len({tuple(move) for move in moves}) > 1, "motion that is the same in all frames would show no shift in time"


def test_the_key_frame_is_the_last_i_frame_of_a_real_file_at_a_time_of_the_clip(small, panned_row):
    view = {**PLAIN, "size": 48, "aspect": [4 / 3, 4 / 3]}
    method = small.method("cmd", short_side=48, view=view)
    pictures = torch.from_numpy(np.stack([cv2.resize(panned(k), (48, 48), interpolation=cv2.INTER_AREA) for k in range(40)]))
    for first, keys in ((8, {0, 12}), (13, {12}), (25, {24})):
        shown = method.key_frame_view(batch_of(method, panned_row, first, videos=12), small.at(0))[:, :, 0] * 255
        missed = (shown[:, None] - pictures.movedim(3, 1).float()).abs().mean((2, 3, 4))  # of each sample from each frame
        assert set(missed.argmin(1).tolist()) == keys
        assert missed.min(1).values.max() < 0.3 * missed.median()


@pytest.mark.parametrize("gap", [-3, 0, 2, 5])
def test_the_target_comes_after_the_gap_and_other_times_do_not_overlap_it(small, gap):
    method = small.method("cmd", motion_gap=gap, frames=16, other_times=2)
    config = method.config
    batch = small.batch(method.needs(), videos=40)
    batch = with_frames(batch, Stream.MOTION_VECTORS, numbered_vectors(method, 40))
    motion = method.motion_views(batch, clip_view(method, batch, small.at(0)), small.at(0))
    assert motion.shape[:4] == (40, 3, 2, 4)
    numbers = (motion[:, :, 0, :, 16, 16] * config.motion_clamp * 10).round().long()
    last = (16 - 1) * 2
    assert numbers[:, 0].tolist() == [[last + gap + i for i in range(4)]] * 40
    starts = numbers[:, 1:, 0]
    assert torch.equal(numbers[:, 1:], starts[..., None] + torch.arange(4))
    assert ((starts - numbers[:, :1, 0]).abs() >= 4).all()
    assert len(starts.unique()) > 10
    assert not torch.equal(starts[:, 0], starts[:, 1])
    assert not motion[:, :, 1].any()


def test_the_target_has_the_clips_crop_and_other_times_their_own(small):
    method = small.method("cmd", motion_clamp=1000.0, other_times=2)
    batch, at = small.batch(method.needs()), small.at(0)
    vectors = torch.zeros(6, 1, 2, method.config.span, 5, 6)
    vectors[:, :, 0] = torch.arange(6.0)  # each pixel holds its column
    batch = with_frames(batch, Stream.MOTION_VECTORS, vectors)
    view = clip_view(method, batch, at)
    columns = method.motion_views(batch, view, at)[:, :, 0, 0, 16] * 1000
    middle = columns[:, :, 15:17].mean(2) + 0.5
    wanted = (view.box[:, 0] + view.box[:, 2]) / 2 * 6
    torch.testing.assert_close(middle[:, 0], wanted, atol=0.3, rtol=0)
    assert torch.equal(columns[:, 0, 0] > columns[:, 0, -1], view.flipped)
    assert (middle[:, 1:] - wanted[:, None]).abs().max(0).values.min() > 0.3


def test_mirrored_and_resized_vectors_stay_as_released_unless_asked(small):
    as_released = small.method("cmd", motion_clamp=1.0, other_times=0, view={**PLAIN, "flip": 1.0})
    following = small.method("cmd", motion_clamp=1.0, other_times=0, view={**PLAIN, "flip": 1.0}, vectors_follow_view=True)
    batch, at = small.batch(as_released.needs()), small.at(0)
    batch = with_frames(batch, Stream.MOTION_VECTORS, torch.full((6, 1, 2, as_released.config.span, 5, 6), 0.5))
    (plain, follow) = (m.motion_views(batch, clip_view(m, batch, at), at)[:, 0] for m in (as_released, following))
    torch.testing.assert_close(plain, torch.full_like(plain, 0.5))
    torch.testing.assert_close(follow[:, 0], torch.full_like(follow[:, 0], -0.5 * 32 / 48))
    torch.testing.assert_close(follow[:, 1], torch.full_like(follow[:, 1], 0.5 * 32 / 40))


def test_vectors_are_clamped(small):
    method = small.method("cmd")
    batch, at = small.batch(method.needs()), small.at(0)
    vectors = torch.full((6, 1, 2, method.config.span, 5, 6), -25.0)
    vectors[:, :, 1] = 5.0
    batch = with_frames(batch, Stream.MOTION_VECTORS, vectors)
    motion = method.motion_views(batch, clip_view(method, batch, at), at)
    assert motion[:, :, 0].unique().tolist() == [-1.0]
    torch.testing.assert_close(motion[:, :, 1], torch.full_like(motion[:, :, 1], 0.5))


def test_one_key_frame_is_drawn_for_each_video_and_seen_by_itself(small):
    method = small.method("cmd", view=PLAIN)
    batch, at = small.batch(method.needs(), videos=40), small.at(0)
    shape = batch.streams[Stream.KEYFRAMES].frames.shape
    frames = (torch.arange(4) * 50).to(torch.uint8)[:, None, None].expand(shape).clone()
    picture = method.key_frame_view(with_frames(batch, Stream.KEYFRAMES, frames), at)
    assert picture.shape == (40, 3, 1, 32, 32)
    drawn = (picture[:, 0, 0, 0, 0] * 255 / 50).round()
    assert sorted(drawn.unique().tolist()) == [0, 1, 2, 3]
    torch.testing.assert_close(picture, (drawn * 50 / 255)[:, None, None, None, None].expand_as(picture))


def test_both_sides_learn(small):
    """Card, section 11: keys get gradients; nothing is detached on the way to the picture and the motion network."""
    method = small.method("cmd")
    method.step(small.batch(method.needs()), small.at(0))["loss"].backward()
    for network in (method.visual, method.context, method.motion):
        assert all(p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"context_weight": 0, "motion_weight": 0}, "one of the two"),
        ({"frames": 1, "motion_gap": 0}, "no room"),
        ({"motion_gap": -61}, "at least -60"),
        ({"decoder_dim": 30}, "multiple of decoder_heads"),
        ({"view": {**PLAIN, "consistent": False}}, "consistent"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        CmdConfig.model_validate(changes)
