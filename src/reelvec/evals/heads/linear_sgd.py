"""Linear probes by stochastic gradient descent, as papers train them (eval_protocols, sections a3 and c)."""

import copy
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from reelvec.core import Config, Encoder, EncoderCard, ReelvecError, sample_generator
from reelvec.core.shapes import Bool, Float, Int
from reelvec.data.index import Index
from reelvec.engine.extract import MOST_CLIPS, OnProgress
from reelvec.evals.baselines import majority_accuracy
from reelvec.evals.heads.look_store import LookStore, fill, shuffled
from reelvec.evals.heads.looks import Crops, RandomCrop, Source, Tally, encode, even_requests, judged, rows_by_side
from reelvec.evals.heads.own_draws import drawing_by
from reelvec.evals.outcome import Outcome
from reelvec.evals.plan import Plan
from reelvec.parts.schedules import warmup_cosine

_FEW_STEPS = 100
"""below this, a head has hardly left where it started"""


class SgdRecipe(Config):
    """How a paper trains a linear layer on frozen features."""

    optimiser: Literal["sgd", "adam"]
    lr: float
    """for a full batch"""
    batch: int = Field(ge=1)
    """videos of a step, or all there are"""
    lr_by_batch: bool = False
    """lower the learning rate in proportion where there are fewer videos than a batch"""
    weight_decay: float = 0.0
    epochs: int = Field(ge=1)
    warm_up: int = Field(default=0, ge=0)
    """epochs"""
    drops: tuple[int, ...] = ()
    """epochs after which the learning rate is a tenth of what it was; none: it falls to 0 along half a cosine"""
    normalised: bool = False
    """each feature vector scaled to length one, then batch norm with learned scale and shift"""

    @property
    def in_words(self) -> str:
        """For the protocol."""
        optimiser = "SGD, momentum 0.9" if self.optimiser == "sgd" else "Adam"
        schedule = f"x 0.1 after {' and '.join(map(str, self.drops))}" if self.drops else "cosine to 0"
        warm = f", {self.warm_up} epochs of warm-up" if self.warm_up else ""
        scaled = ", in proportion where videos are fewer" if self.lr_by_batch else ""
        head = "L2 norm, batch norm, linear" if self.normalised else "linear"
        return (
            f"{head}; {optimiser}, lr {self.lr:g} at batch {self.batch}{scaled}, {self.epochs} epochs, {schedule}{warm}, "
            f"weight decay {self.weight_decay:g}"
        )

    def rate(self, epoch: int, step: int, steps: int, batch: int) -> float:
        """Return the learning rate of a step of an epoch (`steps` each), with batches of so many videos."""
        lr = self.lr * min(1.0, batch / self.batch) if self.lr_by_batch else self.lr
        if self.drops:
            return lr * 0.1 ** sum(epoch >= drop for drop in self.drops)
        return warmup_cosine(epoch * steps + step, self.epochs * steps, lr, warmup_steps=self.warm_up * steps)


SGD_RECIPES = {
    "coclr": SgdRecipe(optimiser="sgd", lr=0.1, batch=32, weight_decay=1e-3, epochs=100, drops=(60, 80), normalised=True),
    "severe": SgdRecipe(optimiser="adam", lr=0.01, batch=64, epochs=10, drops=(4, 8)),
    "slowfast": SgdRecipe(optimiser="sgd", lr=0.5, batch=64, lr_by_batch=True, epochs=60, warm_up=8),
}
"""CoCLR (linear probe of its code), SEVERE, and the rho study's on Kinetics (SlowFast)"""


class SgdHead(nn.Module):
    """A linear layer, on normalised features where the recipe says so."""

    def __init__(self, dim: int, classes: int, normalised: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim) if normalised else None
        self.linear = nn.Linear(dim, classes)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b classes"]:
        """Return a score of every class."""
        return self.linear(features if self.norm is None else self.norm(F.normalize(features, dim=1)))


class LinearSgd(Config):
    """Linear layers on features of single clips, each trained as a paper does; the encoder stays as it is."""

    recipes: tuple[Literal["coclr", "severe", "slowfast"], ...] = Field(default=("coclr", "severe", "slowfast"), min_length=1)
    """a column each"""
    looks: int = Field(default=4, ge=1)
    """clips of each training video whose features are kept: the middle one, and others drawn; an epoch takes one after the
    other. As many as there are epochs are as good as fresh ones in every epoch"""
    crop: RandomCrop = RandomCrop()
    """of clips that are drawn"""
    clips: int | None = Field(default=None, ge=1)
    """of a test video; None: as many as lie end to end in it, 1 to 10"""
    crops: Crops = 3
    """of each clip of a test video"""
    memory_gb: float = 4.0
    """memory that features of training videos may take; with more they go to a temporary file"""
    disk_gb: float = 100.0
    """the most that this file may take"""
    seed: int = 0

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        many = f"{self.clips} clips" if self.clips else f"as many clips as lie end to end, 1 to {MOST_CLIPS},"
        listed = " | ".join(f"{name}: {SGD_RECIPES[name].in_words}" for name in self.recipes)
        return (
            f"encoder frozen, in evaluation mode; {self.looks} clips of each training video, one after the other by epoch (the "
            f"middle one uncropped, the others drawn, with {self.crop.in_words}); {listed}; head of the last epoch, nothing is "
            f"picked; test: {many} x {self.crops} crops along the long side (one of square pictures), softmax averaged; test "
            "labels are read once"
        )

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """One column for each recipe; luck names the majority class of the training videos."""
        luck, videos = majority_accuracy(train_labels, test_labels), len(train_labels)
        steps = {name: SGD_RECIPES[name].epochs * -(-videos // SGD_RECIPES[name].batch) for name in self.recipes}
        few = [f"{name} {many}" for name, many in steps.items() if many < _FEW_STEPS]
        note = (
            f"linear_sgd: with {videos} training videos the papers' epochs are few steps ({', '.join(few)}): read it with care"
        )
        return Plan({f"linear {name}": luck for name in self.recipes}, [note] if few else [])

    def run(
        self,
        encoder: Encoder,
        card: EncoderCard,
        index: Index,
        rows: Sequence[int],
        labels: Int[Tensor, "videos"],
        test: Bool[Tensor, "videos"],
        groups: Int[Tensor, "videos"] | None = None,
        *,
        device: torch.device,
        workers: int = 0,
        on_progress: OnProgress | None = None,
    ) -> Outcome:
        """Return a column of top-1 hits for each recipe: "linear coclr" and so on.

        Raises ReelvecError for features or a loss that are not finite.
        """
        encoder = copy.deepcopy(encoder).to(device).eval().requires_grad_(False)
        train_rows, test_rows = rows_by_side(rows, test)
        y = labels[~test].cpu()
        epochs = sum(SGD_RECIPES[name].epochs for name in self.recipes)
        source = Source(index, card, device, workers, Tally(self.looks * len(y) + epochs + len(test_rows), on_progress))
        with LookStore(len(y), self.looks, 1, encoder.dim, self.memory_gb, self.disk_gb) as store:
            found = fill(store, encoder, source, train_rows, clips=1, shown=self.crop, pooled=True, seed=self.seed)
            heads = [self.train(name, store, source, y, found) for name in self.recipes]

        def judge(views: Float[Tensor, "b n k c t s s"]) -> Float[Tensor, "b heads classes"]:
            features = encode(encoder, views.flatten(0, 2), pooled=True)[:, 0]
            shares = torch.stack([head(features).softmax(1) for head in heads], 1)
            return shares.unflatten(0, (len(views), -1)).mean(1)

        said = judged(judge, source, even_requests(source, test_rows, self.clips), self.crops)
        columns = {f"linear {name}": said.answers(i, labels[test].cpu()) for i, name in enumerate(self.recipes)}
        return Outcome(columns, {"linear_sgd_unread": float((~found).sum() + (~said.found).sum())})

    def train(self, name: str, store: LookStore, source: Source, labels: Int[Tensor, "n"], kept: Bool[Tensor, "n"]) -> SgdHead:
        """Train a head by a recipe on the videos `kept`."""
        recipe, videos = SGD_RECIPES[name], kept.nonzero()[:, 0].numpy()
        with drawing_by(self.seed, 0, f"linear_sgd/{name}", torch.device("cpu")):
            head = SgdHead(store.dim, int(labels.max()) + 1, recipe.normalised).to(source.device)
        optimiser: torch.optim.Optimizer
        if recipe.optimiser == "sgd":
            optimiser = torch.optim.SGD(head.parameters(), lr=recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay)
        else:
            optimiser = torch.optim.Adam(head.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        for epoch in range(recipe.epochs):
            batches = shuffled(videos, recipe.batch, sample_generator(self.seed, epoch, f"linear_sgd/{name}/order"))
            for step, batch in enumerate(batches):
                features, truth = (
                    store.take(batch, epoch % store.looks)[:, 0].to(source.device),
                    labels[batch].to(source.device),
                )
                loss = F.cross_entropy(head(features), truth)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                for group in optimiser.param_groups:
                    group["lr"] = recipe.rate(epoch, step, len(batches), min(recipe.batch, len(videos)))
                optimiser.step()
            if not bool(loss.isfinite()):
                raise ReelvecError(
                    f"train a linear probe by the recipe {name}",
                    f"a loss that is {loss.item()} in epoch {epoch + 1}",
                    "features are too large for its learning rate: use the other recipes, or the task linear",
                )
            source.tally.add(1, f"linear {name}: epoch {epoch + 1} of {recipe.epochs}")
        return head.eval()
