"""What a training step costs: rho_moco beside the same step made as in SlowFast and as with lightly, modist beside rho_moco.

    python benchmarks/training_step.py                                  tiny and r3d_18 on one core
    python benchmarks/training_step.py --device cuda --batch 32         on a GPU, without tiny

All get the same decoded clips and make the same views of them by the same code; network, heads, temperature, queue and
optimiser are the same. A step: both clips of a video are queries, with a gradient, and keys, without; loss, backward pass,
optimiser, slow network, queue. Contenders take turns, step by step.

- SlowFast-style: the order of work of SlowFast's released MoCo, written here anew: slow weights as fresh tensors, all keys in
  one shuffled batch, then a forward and a backward pass for each query, its logits against a copy of the queue.
- lightly: its MoCo example, once for each direction: update_momentum, NTXentLoss with a memory bank, MoCoProjectionHead.

"views alone" is the part of a step that all have in common.
"""

import copy
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measuring import (
    Row,
    absent,
    arguments,
    figure,
    finish,
    machine,
    moving_frames,
    one_thread,
    ratio,
    table,
    take_turns,
    write_video,
)
from torch import Tensor, nn

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Method, Progress
from reelvec.data.index import index
from reelvec.data.loader import ClipLoader, EvenPlan
from reelvec.engine.config import RunConfig, merge, parse_settings, read_yaml
from reelvec.methods import METHODS
from reelvec.methods._rho_clips import rho_views
from reelvec.parts.heads import mlp
from reelvec.verbs.pretrain import build_method, recipe_path

NETWORKS = {
    "tiny": (72, ["queue=4096"], []),
    "r3d_18": (
        128,
        ["queue=65536", "encoder=r3d_18", "short_side=128", "view.size=112", "hidden=2048", "dim=128"],
        ["motion_encoder=motion_r18"],
    ),
}
"""height of the videos, settings over the CPU recipes, and those of modist alone"""

AT = Progress(step=0, total=1000, epoch=0.0, seed=0)
MOMENTUM = 0.994


class Pooled(nn.Module):
    """A backbone as anyone would call it: the mean of its feature map."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, clips: Tensor) -> Tensor:
        return self.body(clips).mean((2, 3, 4))


def by_reelvec(method: Method, batch: Batch) -> Callable[[], None]:
    """A step as the training loop makes it."""
    optimiser = torch.optim.AdamW((p for p in method.parameters() if p.requires_grad), lr=1e-3)

    def step() -> None:
        optimiser.zero_grad()
        method.step(batch, AT)["loss"].backward()
        optimiser.step()
        method.after_step(AT)

    return step


def by_slowfast_style(c: Any, views: Callable[[], list[Tensor]], device: str) -> Callable[[], None]:
    encoder = build_encoder(c.encoder, 3, **c.encoder_arguments)
    head = mlp([encoder.dim, c.hidden, c.hidden, c.dim], batch_norm=False)
    fast = nn.Sequential(Pooled(encoder.body), head).to(device).train()
    slow = copy.deepcopy(fast).requires_grad_(False)
    queue = F.normalize(torch.randn(c.queue, c.dim, device=device))
    optimiser = torch.optim.AdamW(fast.parameters(), lr=1e-3)
    place = 0

    @torch.no_grad()
    def keys_of(clips: list[Tensor]) -> list[Tensor]:
        trained = dict(fast.named_parameters())
        for name, weight in slow.named_parameters():
            weight.data = trained[name].data * (1 - MOMENTUM) + weight.data * MOMENTUM
        together = torch.cat(clips)
        order = torch.randperm(len(together), device=device)
        keys = F.normalize(slow(together[order]))[order.argsort()]
        return list(keys.chunk(len(clips)))

    def step() -> None:
        nonlocal place
        clips = views()
        keys = keys_of(clips)
        optimiser.zero_grad()
        for i, clip in enumerate(clips):
            query = F.normalize(fast(clip))
            negatives = query @ queue.clone().T
            others = [key for j, key in enumerate(keys) if j != i]
            logits = torch.cat([torch.cat([(query * key).sum(1, keepdim=True), negatives], 1) for key in others])
            F.cross_entropy(logits / c.temperature, torch.zeros(len(logits), dtype=torch.long, device=device)).backward()
        optimiser.step()
        for key in keys:
            queue[place : place + len(key)] = key
            place = (place + len(key)) % len(queue)

    return step


def by_lightly(c: Any, views: Callable[[], list[Tensor]], device: str) -> Callable[[], None]:
    from lightly.loss import NTXentLoss
    from lightly.models.modules import MoCoProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum

    encoder = build_encoder(c.encoder, 3, **c.encoder_arguments)
    backbone = Pooled(encoder.body).to(device).train()
    head = MoCoProjectionHead(encoder.dim, c.hidden, c.dim, num_layers=3).to(device).train()
    slow_backbone, slow_head = copy.deepcopy(backbone), copy.deepcopy(head)
    deactivate_requires_grad(slow_backbone)
    deactivate_requires_grad(slow_head)
    criterion = NTXentLoss(temperature=c.temperature, memory_bank_size=(c.queue, c.dim)).to(device)
    optimiser = torch.optim.AdamW([*backbone.parameters(), *head.parameters()], lr=1e-3)

    def step() -> None:
        first, second = views()
        update_momentum(backbone, slow_backbone, m=MOMENTUM)
        update_momentum(head, slow_head, m=MOMENTUM)
        loss = sum(
            criterion(head(backbone(query)), slow_head(slow_backbone(key)).detach())
            for query, key in ((first, second), (second, first))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def recipe(method: str, settings: list[str]) -> Method:
    """Return a method with its CPU recipe and some settings over it."""
    content = merge(read_yaml(recipe_path(f"{method}-cpu")), parse_settings(settings), METHODS[method].Config)
    return build_method(RunConfig.model_validate(content)).train()


def clips_of(method: Method, height: int, videos: int) -> Batch:
    """Read a batch of both streams from videos made for it."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            write_video(
                Path(folder) / f"{seed}.mp4", moving_frames(height * 4 // 3, height, 48, seed), gop=12, preset="ultrafast"
            )
            for seed in range(videos)
        ]
        found, needs = index(paths, workers=0), method.needs()
        with ClipLoader(found, needs, EvenPlan(found, needs, clips=2), videos) as loader:
            return next(iter(loader.batches()))


def timed(work: dict[str, Callable[[], Any]], rounds: int, device: str) -> dict[str, list[float]]:
    def waited_for(step: Callable[[], Any]) -> None:
        step()
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    return take_turns({name: partial(waited_for, step) for name, step in work.items()}, rounds)


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    return figure(1000 * s for s in seconds)


def beside_peers(network: str, videos: int, rounds: int, device: str) -> Row:
    """Return a line: rho_moco and the peers, with equal heads."""
    height, settings, _ = NETWORKS[network]
    ours = recipe("rho_moco", ["head_batch_norm=false", *settings]).to(device)
    batch = clips_of(ours, height, videos).to(device)
    views = partial(rho_views, ours.config, batch, AT)
    work: dict[str, Callable[[], Any]] = {"rho_moco": by_reelvec(ours, batch)}
    work["SlowFast-style"] = by_slowfast_style(ours.config, views, device)
    if not absent(["lightly"]):
        work["lightly"] = by_lightly(ours.config, views, device)
    seconds = timed(work | {"views alone": views}, rounds, device)
    return {
        "network": network,
        "videos": videos,
        **{f"{who}, ms": milliseconds(taken) for who, taken in seconds.items()},
        **{f"{who} over rho_moco": ratio(seconds[who], seconds["rho_moco"]) for who in work if who != "rho_moco"},
    }


def modist_over_rho_moco(network: str, videos: int, rounds: int, device: str) -> Row:
    """Return a line: both by their CPU recipes, whose modist has one query of its two clips, and with both as queries."""
    height, settings, own = NETWORKS[network]
    rho_moco = recipe("rho_moco", settings).to(device)
    modist, symmetric = (recipe("modist", [*settings, *own, f"symmetric={both}"]).to(device) for both in ("false", "true"))
    batch = clips_of(modist, height, videos).to(device)
    work = {"rho_moco": rho_moco, "modist": modist, "modist, symmetric": symmetric}
    seconds = timed({name: by_reelvec(method, batch) for name, method in work.items()}, rounds, device)
    return {
        "visual network": network,
        "videos": videos,
        **{f"{who}, ms": milliseconds(taken) for who, taken in seconds.items()},
        **{f"{who} over rho_moco": ratio(seconds[who], seconds["rho_moco"]) for who in work if who != "rho_moco"},
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu (one thread) or cuda (default: cpu)")
    parser.add_argument("--batch", type=int, help="videos in a batch (default: 16 for tiny, 2 for r3d_18)")
    parser.add_argument("--network", choices=list(NETWORKS), help="only this one")
    given = parser.parse_args(argv)
    given.rounds = given.rounds or (1 if given.quick else 7)
    on_gpu = given.device.startswith("cuda")
    one_thread()
    described = machine("reelvec", "torch", "torchvision", "lightly", device=given.device)
    networks = [given.network] if given.network else ["tiny"] if given.quick else ["r3d_18"] if on_gpu else list(NETWORKS)
    batches = {name: given.batch or (2 if given.quick or name != "tiny" else 16) for name in networks}
    steps = [beside_peers(name, videos, given.rounds, given.device) for name, videos in batches.items()]
    modist = [modist_over_rho_moco(name, videos, given.rounds, given.device) for name, videos in batches.items()]
    where = "the GPU" if on_gpu else "one core"
    tables = [
        table("One step of MoCo", f"Milliseconds on {where}, decoding not counted; two clips of each video.", steps),
        table("modist over rho_moco", f"Milliseconds on {where}; both by their CPU recipes, the same visual network.", modist),
    ]
    finish("training_step", given, described, tables, absent(["lightly"]))


if __name__ == "__main__":
    main()
