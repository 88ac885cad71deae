import pytest
import torch
import torch.nn.functional as F

from reelvec.core import Batch, Clips, Progress, Stream
from reelvec.engine.config import merge, parse_settings
from reelvec.methods.modist import Modist
from reelvec.views import ViewConfig

AT = Progress(step=3, total=10, epoch=0.5, seed=0)
VIEW = ViewConfig(size=16, area=(0.5, 1.0), jitter=0.8, brightness=0.4)


def settings(**changes):
    small = {"encoder": "tiny", "motion_encoder": "tiny_motion", "frames": 4, "motion_frames": 4, "view": VIEW}
    return Modist.Config(**{**small, "queue": 12, "hidden": 16, "dim": 8, **changes})


def made_batch(method, videos=4):
    """Clips with a picture of their own for each video, and whatever motion stream the method asks for."""
    random = torch.Generator().manual_seed(1)
    streams = {}
    for need in method.needs().streams:
        channels, kind = {
            Stream.RGB: (3, torch.uint8),
            Stream.FLOW_EDGES: (1, torch.uint8),
            Stream.FLOW: (2, torch.float16),
        }[need.stream]
        frames = torch.rand(videos, 2, channels, need.frames, 24, 20, generator=random)
        frames = frames * 4 - 2 if kind == torch.float16 else frames * 255
        streams[need.stream] = Clips(frames.to(kind), torch.tensor([[24, 20]] * videos))
    numbers = torch.arange(videos)
    return Batch(streams, numbers, numbers, torch.zeros(videos, 2), torch.ones(videos))


def made(**changes):
    torch.manual_seed(0)
    return Modist(settings(**changes))


def slow_info_nce(query, key, negatives, temperature):
    total = 0.0
    for q, k in zip(query, key, strict=True):
        positive = torch.exp(q @ k / temperature)
        total += -torch.log(positive / (positive + sum(torch.exp(q @ n / temperature) for n in negatives)))
    return total / len(query)


@pytest.mark.parametrize("motion_pair", ["same_clip", "other_clip"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_loss_is_the_formula_of_the_card(motion_pair, symmetric):
    method = made(motion_pair=motion_pair, symmetric=symmetric, cross_weight=0.7, motion_weight=0.3, visual_weight=1.5)
    batch = made_batch(method)
    rgb, motion = method.views(batch, AT)
    method.eval()  # batch statistics would move while the slow version looks twice
    with torch.no_grad():
        v, m, kv, km = (
            [F.normalize(head(net.features(x)), dim=1) for x in clips]
            for net, head, clips in (
                (method.visual, method.visual_head, rgb),
                (method.motion, method.motion_head, motion),
                (method.slow_visual, method.slow_visual_head, rgb),
                (method.slow_motion, method.slow_motion_head, motion),
            )
        )
        q_v, q_m, t = method.visual_queue.negatives(), method.motion_queue.negatives(), 0.1
        expected, queries = 0.0, [0, 1] if symmetric else [0]
        for i in queries:
            j = i if motion_pair == "same_clip" else 1 - i
            expected += 1.5 * slow_info_nce(v[i], kv[1 - i], q_v, t) / len(queries)
            expected += 0.7 * slow_info_nce(v[i], km[j], q_m, t) / len(queries)
            expected += 0.7 * slow_info_nce(m[i], kv[j], q_v, t) / len(queries)
            expected += 0.3 * slow_info_nce(m[i], km[1 - i], q_m, t) / len(queries)
        loss = method.step(batch, AT)["loss"]
    assert torch.allclose(loss, torch.as_tensor(expected), rtol=1e-4)


@pytest.mark.parametrize("motion_input", ["edge_a", "edge_b", "flow_uv", "flow_rgb", "frame_diff"])
def test_every_motion_input_trains_both_pathways(motion_input):
    method = made(motion_input=motion_input)
    out = method.step(made_batch(method), AT)
    out["loss"].backward()
    assert torch.isfinite(out["loss"])
    for net in (method.visual, method.motion, method.visual_head, method.motion_head):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    assert all(p.grad is None for p in method.slow_visual.parameters())


def test_motion_maps_share_crop_and_flip_with_their_clip():
    """Where RGB and edges hold the same picture, they must still agree after the view."""
    method = made(view=ViewConfig(size=16, mean=(0.0,) * 3, std=(1.0,) * 3))
    batch = made_batch(method)
    grey = batch.streams[Stream.RGB].frames[:, :, :1]
    batch.streams[Stream.RGB] = Clips(grey.expand(-1, -1, 3, -1, -1, -1).contiguous(), batch.streams[Stream.RGB].size)
    batch.streams[Stream.FLOW_EDGES] = Clips(grey.contiguous(), batch.streams[Stream.RGB].size)
    rgb, motion = method.views(batch, AT)
    for clip, maps in zip(rgb, motion, strict=True):
        assert torch.allclose(clip[:, :1], maps, atol=1e-5)
    assert not torch.allclose(rgb[0], rgb[1], atol=1e-2)  # two clips, two draws


def test_a_flipped_flow_turns_round():
    method = made(
        motion_input="flow_uv", edge_clamp=100.0, view=ViewConfig(size=16, area=(1.0, 1.0), aspect=(0.5, 2.0), flip=1.0)
    )
    batch = made_batch(method)
    flow = torch.zeros_like(batch.streams[Stream.FLOW].frames)
    flow[:, :, 0], flow[:, :, 1] = 1.0, 2.0
    batch.streams[Stream.FLOW] = Clips(flow, batch.streams[Stream.FLOW].size)
    _, motion = method.views(batch, AT)
    assert (motion[0][:, 0] < 0).all()
    assert (motion[0][:, 1] > 0).all()


def test_queues_take_the_keys_after_the_loss_and_slow_networks_follow():
    method = made(momentum=0.9)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.step(made_batch(method), AT)["loss"].backward()
    assert int(method.visual_queue.position) == int(method.motion_queue.position) == 8
    assert torch.equal(method.visual_queue.negatives()[8:], before["visual_queue.keys"][8:])
    weight, slow = next(method.visual.parameters()), next(method.slow_visual.parameters())
    with torch.no_grad():
        weight.add_(1.0)
    method.after_step(AT)
    assert torch.allclose(slow, before["visual." + next(name for name, _ in method.visual.named_parameters())] + 0.1, atol=1e-6)


def test_both_pathways_are_kept_where_the_motion_pathway_can_be_fed():
    assert set(made().encoders()) == {"visual", "motion"}
    assert set(made(motion_input="frame_diff").encoders()) == {"visual"}
    _, card = made(motion_input="flow_uv", edge_clamp=8.0).encoders()["motion"]
    assert card.needs.streams[0].stream == Stream.FLOW
    assert card.std == (8.0 * 16 / 256,) * 2


def test_the_papers_stems_can_be_made_alike_and_its_blur_is_three_pixels_wide():
    assert Modist.Config().view.blur_kernel == 3
    changes = parse_settings(["motion_encoder_arguments.stem_stride=2", "queue=8"])
    method = Modist(Modist.Config.model_validate(merge({}, changes, Modist.Config)["settings"]))
    visual, motion = (network.body.stem[0] for network in (method.visual, method.motion))
    assert (visual.kernel_size, visual.stride) == (motion.kernel_size, motion.stride) == ((5, 7, 7), (2, 2, 2))
