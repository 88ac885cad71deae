"""The loop: one screen that takes a method, a loader and settings from one saved step to the last."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from reelvec.backbones import save_encoder
from reelvec.core import Batch, Encoder, Method, Progress, ReelvecError, RunFolder, collectives, write_json
from reelvec.core.spans import span
from reelvec.data.held import HeldLoader
from reelvec.data.loader import ClipLoader
from reelvec.engine.checkpoint import load_step, save_step
from reelvec.engine.config import RunConfig, steps_of_run, warmup_of_run
from reelvec.engine.distributed import exchange_gradients
from reelvec.engine.flops import count_flops, peak_of, utilisation_in_words
from reelvec.engine.health import Health, judge, measure_health
from reelvec.engine.log import RunLog, losses_of, newest, read_log
from reelvec.engine.optimisers import build_optimiser, set_learning_rate
from reelvec.engine.stop_signals import StopSignals
from reelvec.engine.time_spent import WARM_UP, TimeSpent, exact_views
from reelvec.engine.time_spent import verdict as verdict_on_time
from reelvec.parts.schedules import warmup_cosine
from reelvec.parts.synced_batch_norm import sync_batch_norms

Event = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    step: int
    total: int
    verdict: str
    clips_per_second: float
    waiting_share: float
    losses: dict[str, float]


class _Step(nn.Module):
    """`step` as a `forward`, which is what DistributedDataParallel wraps."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        return self.method.step(batch, at)


def sample_numbers(step: int, part: int, config: RunConfig, rank: int, world: int) -> range:
    """Return the running numbers of the samples that one process sees in one part of one step.

    All parts and processes of a step together see numbers step * batch ... (step + 1) * batch - 1, each once.
    """
    of_part = config.batch // config.accumulate
    of_process = of_part // world
    start = step * config.batch + part * of_part + rank * of_process
    return range(start, start + of_process)


def check_batch(config: RunConfig, method: Method, videos: int, world: int) -> None:
    """Refuse a batch that cannot be made or divided, before anything is decoded."""
    if videos < config.batch:
        raise ReelvecError(
            f"train with {config.batch} videos in a batch",
            f"{videos} usable videos",
            f"use batch={max(2, videos // 2)} or fewer, or add videos",
        )
    if config.batch % (config.accumulate * world):
        raise ReelvecError(
            f"divide a batch of {config.batch} into {config.accumulate} parts on {world} processes",
            "a remainder",
            f"choose batch as a multiple of {config.accumulate * world}",
        )
    if config.accumulate > 1 and not method.accumulates:
        raise ReelvecError(
            f"accumulate={config.accumulate} with {config.method}",
            "a loss that compares all videos of a batch at once, so parts of it give another loss",
            "use accumulate=1 and chunk=N, which saves memory and leaves the loss whole, or a method with a queue "
            "(rho_moco, modist)",
        )


def train(
    method: Method,
    config: RunConfig,
    run: RunFolder,
    loader: ClipLoader | HeldLoader,
    probe: Batch | None,
    videos: int,
    device: torch.device,
    on_event: Callable[[Event], None],
) -> Ended:
    """Train to the end from the newest saved step of the run folder, or from the start.

    `loader` gives the batches of the sample numbers it is asked for; `probe` is the fixed batch of the health panel (first
    process only). Every process of a run calls this; the first one writes.
    """
    rank, world = collectives.rank(), collectives.world()
    check_batch(config, method, videos, world)
    total, warmup = steps_of_run(config, videos), warmup_of_run(config, videos)
    method.to(device)
    for module in method.modules():
        if isinstance(module, Encoder):
            module.chunk = config.chunk
            if config.compile:
                module.body.compile()
    if world > 1 and config.sync_batch_norm:
        sync_batch_norms(method)
    optimiser = build_optimiser(method, config.optimiser)
    saved = run.saved_steps()
    start = saved[-1] if saved else 0
    log = RunLog(run.log, start) if rank == 0 else None
    told = read_log(run.log) if rank == 0 else []
    verdict = newest(told, "verdict").get("verdict", "starting")
    row = newest(told, "loss")
    logged = losses_of(row)
    if saved:
        load_step(run, start, method, optimiser)
        if start >= total:
            on_event({"kind": "message", "text": f"all {total} steps are done"})
            return Ended(total, total, verdict, row.get("clips_per_second", 0.0), row.get("waiting_share", 0.0), logged)
        on_event({"kind": "message", "text": f"going on from step {start} of {total}"})
    forward: nn.Module = _Step(method)
    if world > 1:
        forward = exchange_gradients(forward, device)
    health: list[Health] = [Health(row["step"], **row["health"]) for row in told if "health" in row]
    health_every = config.health_every or max(1, total // 10)
    pace = _Pace(config.batch * method.needs().clips, loader, total)
    asked = (sample_numbers(s, a, config, rank, world) for s in range(start, total) for a in range(config.accumulate))
    batches: Iterator[Batch] = loader.batches(asked)
    trainable = [p for p in method.parameters() if p.requires_grad]
    flops = 0.0

    def at(step: int) -> Progress:
        return Progress(step, total, step * config.batch / videos, config.seed, rank)

    def check_health(step: int) -> str:
        if probe is None or rank != 0:
            return verdict
        health.append(measure_health(method, probe, at(step), config.batch))
        word, advice = judge(health, at(step).share)
        assert log is not None
        log.write({"step": step, "health": health[-1].values(), "verdict": word})
        on_event({"kind": "health", "step": step, "values": health[-1].values(), "verdict": word, "advice": advice})
        return word

    def save(step: int) -> None:
        if rank == 0:
            save_step(run, step, method, optimiser, config.keep)
            for name, (encoder, card) in method.encoders().items():
                save_encoder(run.encoder, name, encoder, card.model_copy(update={"step": step}))
            _write_quarantine(run, loader)
            on_event({"kind": "saved", "step": step})

    if start == 0:
        verdict = check_health(0)
    with StopSignals() as stop, closing(TimeSpent(device)) as spent:
        for step in range(start, total):
            method.train()
            set_learning_rate(
                optimiser, warmup_cosine(step, total, config.optimiser.lr, warmup_steps=warmup, start=config.warmup_lr)
            )
            optimiser.zero_grad(set_to_none=True)
            numbers: dict[str, Tensor] = {}
            for part in range(config.accumulate):
                with span("clips"):
                    batch = next(batches).to(device)
                last = part == config.accumulate - 1
                if step == start and part == 0 and total - start > WARM_UP:  # by all processes: a step may exchange keys
                    flops = count_flops(method, batch, at(step), config.precision) * config.batch / world
                with (
                    span("networks"),
                    _sum_gradients_when(forward, last),
                    torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"),
                ):
                    outputs = forward(batch, at(step))
                    (outputs["loss"] / config.accumulate).backward()
                for name, value in outputs.items():
                    numbers[name] = numbers.get(name, 0) + value.detach().float() / config.accumulate
            # on a GPU every look at a number stops the queue of work: look where something is written anyway
            look = device.type == "cpu" or _due(step + 1, total, config.log_every, config.save_every, health_every)
            if look:
                logged = _mean_over_processes(numbers)
                _refuse_non_finite(logged, step, run)
            with span("optimiser"):
                if config.clip_grad is not None:
                    nn.utils.clip_grad_norm_(trainable, config.clip_grad)
                optimiser.step()
                method.after_step(at(step))
            done = step + 1
            pace.step()
            if rank == 0 and (shares := spent.step(last=done == total)) is not None:
                assert log is not None
                peak = peak_of(device, config.precision)
                mfu = flops / spent.step_seconds / peak.flops_per_second
                log.write({"step": done, "time_shares": shares, "step_flops": flops, "mfu": round(mfu, 4)})
                words = verdict_on_time(
                    shares, device.type == "cuda", loader.workers,
                    in_rgb=config.pictures == "rgb" and method.needs().in_planes() != method.needs(),
                    exact_views=exact_views(config.settings),
                )  # fmt: skip
                words += f" {utilisation_in_words(flops, spent.step_seconds, peak)}."
                on_event({"kind": "message", "text": words})
            if rank == 0 and _due(done, total, config.log_every):
                assert log is not None
                lr = optimiser.param_groups[0]["lr"]
                log.write({"step": done, "lr": lr, **logged, "clips_per_second": round(pace.clips_per_second, 2),
                           "waiting_share": round(pace.waiting_share, 4)})  # fmt: skip
            if rank == 0:
                on_event({"kind": "progress", "step": done, "total": total, "losses": logged, **pace.report(done)})
            if _due(done, total, health_every):
                verdict = check_health(done)
            stopping = stop.asked if world == 1 else look and _any_process(stop.asked, device)
            if _due(done, total, config.save_every) or stopping:
                save(done)
            if stopping:
                raise KeyboardInterrupt
    _write_quarantine(run, loader)
    return Ended(total, total, verdict, pace.clips_per_second, pace.waiting_share, logged)


def _due(done: int, total: int, *every: int) -> bool:
    return done == total or any(done % e == 0 for e in every)


def _mean_over_processes(numbers: dict[str, Tensor]) -> dict[str, float]:
    stacked = collectives.total(torch.stack([n.reshape(()) for n in numbers.values()])) / collectives.world()
    return dict(zip(numbers, stacked.tolist(), strict=True))


def _any_process(yes: bool, device: torch.device) -> bool:
    """Say whether any process says yes: all stop after the same step, or the others would wait for the one that did."""
    return bool(collectives.total(torch.tensor(float(yes), device=device)) > 0)


def _refuse_non_finite(numbers: dict[str, float], step: int, run: RunFolder) -> None:
    loss = numbers["loss"]
    if loss - loss == 0:  # neither infinite nor not-a-number
        return
    saved = run.saved_steps()
    raise ReelvecError(
        f"take step {step + 1}",
        f"a loss that is {loss}; the last good step, {saved[-1]}, is kept"
        if saved
        else f"a loss that is {loss}; no step was saved yet",
        "lower optimiser.lr, lengthen warmup_steps, set clip_grad=1 or use precision=fp32, with a new out=FOLDER",
    )


def _write_quarantine(run: RunFolder, loader: ClipLoader | HeldLoader) -> None:
    if loader.quarantine:
        rows = [{"path": q.path, "reason": q.reason, "times": q.times} for q in loader.quarantine]
        write_json(run.quarantine, rows)


def _sum_gradients_when(forward: nn.Module, last: bool) -> Any:
    """Exchange gradients between processes only with the last part of a batch."""
    return forward.no_sync() if isinstance(forward, DistributedDataParallel) and not last else torch.enable_grad()


class _Pace:
    """How fast the run goes, over the last 50 steps."""

    def __init__(self, clips_of_step: int, loader: ClipLoader | HeldLoader, total: int) -> None:
        self.clips_of_step, self.loader, self.total = clips_of_step, loader, total
        self.marks: deque[tuple[float, float, int]] = deque(maxlen=51)
        self.marks.append((time.perf_counter(), loader.waiting_seconds, 0))
        self.clips_per_second = self.waiting_share = 0.0

    def step(self) -> None:
        now = (time.perf_counter(), self.loader.waiting_seconds, self.marks[-1][2] + 1)
        self.marks.append(now)
        first = self.marks[0]
        seconds = max(now[0] - first[0], 1e-9)
        self.clips_per_second = (now[2] - first[2]) * self.clips_of_step / seconds
        self.waiting_share = (now[1] - first[1]) / seconds

    def report(self, done: int) -> dict[str, float]:
        left = (self.total - done) * self.clips_of_step / max(self.clips_per_second, 1e-9)
        return {
            "clips_per_second": self.clips_per_second,
            "waiting_share": self.waiting_share,
            "seconds_left": left,
        }
