"""What a method's own task is worth on videos that it was not trained on: the numbers of its step, without a step."""

import os
from collections.abc import Sequence

import numpy as np
import torch

from reelvec.core import Progress, RunFolder
from reelvec.core.shapes import Int
from reelvec.data.index import Index
from reelvec.data.loader import ClipLoader, TrainingPlan
from reelvec.engine.checkpoint import load_step
from reelvec.engine.config import RunConfig, read_yaml, validate
from reelvec.engine.optimisers import build_optimiser
from reelvec.verbs.pretrain import build_method
from reelvec.verbs.study.plan import unseen

_PASSES = 4
"""times that each video is drawn, each time with other clips, views and targets"""


def unseen_numbers(
    run: str | os.PathLike[str], names: Sequence[str], found: Index, rows: Int[np.ndarray, "videos"], *, trained: bool
) -> dict[str, float]:
    """Return numbers of a method's step, such as "order_accuracy", as means over videos; of its last saved step or untrained.

    `rows` are rows of `found`. A number that the method's settings leave out is left out here. Networks stand in
    evaluation mode: no dropout, batch norm by its running statistics.
    """
    folder = RunFolder(run)
    config = validate(RunConfig, read_yaml(folder.config), str(folder.config))
    method = build_method(config)
    if trained:
        load_step(folder, folder.saved_steps()[-1], method, build_optimiser(method, config.optimiser))
    method.eval()
    plan = TrainingPlan(found, method.needs(), config.seed, rows)
    samples = _PASSES * len(plan)
    batches = [range(start, min(start + config.batch, samples)) for start in range(0, samples, config.batch)]
    sums = dict.fromkeys(names, 0.0)
    with ClipLoader(found, method.needs(), plan, config.batch) as loader, torch.no_grad():
        for batch in loader.batches(batches):
            outputs = method.step(batch, Progress(0, 1, 0.0, config.seed))
            sums = {name: total + float(outputs[name]) * len(batch.numbers) for name, total in sums.items() if name in outputs}
    return {unseen(name): total / samples for name, total in sums.items()}
