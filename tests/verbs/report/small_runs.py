"""Run folders made by hand, as a training would leave them."""

import json
from pathlib import Path

import torch

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, RunFolder, Stream, StreamNeed
from reelvec.data.index import index
from reelvec.engine.config import RunConfig, to_yaml
from reelvec.methods import METHODS


def write_log(run: Path, steps: int, *, broken: bool = False) -> None:
    rows = []
    for step in range(0, steps + 1, 5):
        share = step / steps
        spread = 0.2 + 0.5 * share if not broken else 0.05
        health = {"feature_std": spread, "effective_rank": 3 + 9 * share, "mean_cosine": 0.9 - 0.5 * share,
                  "alignment": 0.3, "uniformity": -2 * share}  # fmt: skip
        rows.append({"step": step, "health": health, "verdict": "healthy"})
        if step:
            loss = float("nan") if broken and step == steps else 3 - share
            rows.append({"step": step, "lr": 0.01 * (1 - share), "loss": loss, "part <b>": 1.0, "clips_per_second": 20.0,
                         "waiting_share": 0.1})  # fmt: skip
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 9, "cut')


def write_run(folder: Path, videos: Path) -> Path:
    """A run folder as a training of 20 steps with an untrained encoder would leave it."""
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    settings = METHODS["rho_moco"].Config(encoder="tiny", encoder_arguments={}, frames=4).model_dump(mode="json")
    run.config.write_text(to_yaml(RunConfig(method="rho_moco", steps=20, batch=8, settings=settings)))
    versions = {"reelvec": "0.1.0", "torch": "2.14.1+cpu"}
    environment = {"command": ["/somewhere/bin/reelvec", "pretrain", "my videos/"], "videos": "my videos/", "python": "3.11",
                   "platform": "Linux", "processors": 2, "gpus": [], "versions": versions}  # fmt: skip
    run.environment.write_text(json.dumps(environment))
    index(videos, workers=0).save(run.index)
    write_log(folder, 20)
    card = EncoderCard(
        name="visual", architecture="set when saved", channels=3, size=32, mean=(0.4,) * 3, std=(0.25,) * 3, method="rho_moco",
        needs=Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=2),), clips=1, short_side=32), step=20,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(5)
        save_encoder(run.encoder, "visual", build_encoder("tiny"), card)
    return folder
