"""Attentive probe on frozen tokens: V-JEPA's and V-JEPA 2's (eval_protocols, section j)."""

import copy
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from reelvec.core import Config, Encoder, EncoderCard, ReelvecError, sample_generator
from reelvec.core.shapes import Bool, Float, Int
from reelvec.data.index import Index
from reelvec.engine.extract import OnProgress
from reelvec.evals.baselines import majority_accuracy
from reelvec.evals.heads.augment import PAPERS, Augment
from reelvec.evals.heads.look_store import LookStore, fill, shuffled, tokens_of_clip
from reelvec.evals.heads.looks import (
    Crops,
    RandomCrop,
    Source,
    Tally,
    clips_of_median,
    encode,
    even_requests,
    judged,
    rows_by_side,
)
from reelvec.evals.heads.own_draws import drawing_by
from reelvec.evals.linear import scaled_loss
from reelvec.evals.outcome import Outcome
from reelvec.evals.plan import Plan
from reelvec.evals.split import hold_out
from reelvec.parts.attentive_pooler import AttentivePooler
from reelvec.parts.schedules import cosine

_MOST_SEGMENTS = 8


class Rate(Config):
    """How fast a head learns, and how strongly its weights are held back."""

    lr: float
    weight_decay: float


_RATES = tuple(Rate(lr=lr, weight_decay=decay) for lr in (5e-3, 1e-3, 3e-4) for decay in (0.01, 0.4))

RECIPES: dict[str, dict[str, Any]] = {
    "vjepa": {"depth": 1, "rates": [{"lr": 1e-3, "weight_decay": 0.01}], "batch": 256, "segments": 8},
    "vjepa2": {
        "depth": 4,
        "heads": 16,
        "rates": [
            {"lr": lr, "weight_decay": decay} for lr in (5e-3, 3e-3, 1e-3, 3e-4, 1e-4) for decay in (0.01, 0.1, 0.4, 0.8)
        ],
        "batch": 256,
        "segments": 8,
        "crop": {"area": (0.08, 1.0)},
        "augment": PAPERS.model_dump(),
    },
}
"""what the papers set otherwise than the defaults, on Kinetics (eval_protocols, section j)"""


class AttentiveHead(nn.Module):
    """Attentive pooling of the tokens of a video, then a linear layer."""

    def __init__(self, dim: int, classes: int, depth: int, heads: int | None) -> None:
        super().__init__()
        self.pooler = AttentivePooler(dim, depth, heads)
        self.linear = nn.Linear(dim, classes)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b classes"]:
        """Return a score of every class."""
        return self.linear(self.pooler(tokens))


class Attentive(Config):
    """A head that attends to the tokens of all clips of a video at once; the encoder stays as it is."""

    recipe: Literal["own", "vjepa", "vjepa2"] = "own"
    """whose settings these are where nothing else is said: `RECIPES`"""
    depth: int = Field(default=1, ge=1)
    """1: V-JEPA's cross-attention alone; 4: V-JEPA 2's three blocks of self-attention before it"""
    heads: int | None = None
    """of attention; None: one for 64 features"""
    rates: tuple[Rate, ...] = Field(default=_RATES, min_length=1)
    """heads that are trained beside each other; one is picked by what is held out of the training videos"""
    unpicked: Rate = Rate(lr=1e-3, weight_decay=0.01)
    """V-JEPA's own, where nothing can be held out"""
    held_out: float = Field(default=0.2, gt=0, lt=1)
    """share of each class of the training videos"""
    epochs: int = Field(default=20, ge=1)
    least_steps: int = 200
    """more epochs where these are fewer steps, as with few videos they would be"""
    batch: int = Field(default=16, ge=1)
    clip_grad: float = 1.0
    """largest norm of a head's gradient"""
    layers: tuple[int, ...] = ()
    """blocks of a transformer whose tokens are looked at together, 0 the first, -1 the last; none: the map at the end. V-JEPA 2
    takes 17, 19, 21, 23 of 24 for Diving48 and Jester"""
    segments: int | None = Field(default=None, ge=1)
    """clips of a video, spread evenly, whose tokens are looked at together; None: as many as lie end to end in the median
    training video, 1 to 8. V-JEPA: 8 on Kinetics, 2 on Something-Something"""
    looks: int = Field(default=4, ge=1)
    """looks at each training video that are kept: what is tested, and others drawn; an epoch takes one after the other"""
    crop: RandomCrop = RandomCrop()
    """of looks that are drawn"""
    augment: Augment = Augment()
    """what else is done to these"""
    crops: Crops = 3
    """of a test video, whose shares of the classes are averaged"""
    memory_gb: float = 4.0
    """memory that tokens of training videos may take; with more they go to a temporary file"""
    disk_gb: float = 100.0
    """the most that this file may take"""
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _of_recipe(cls, given: Any) -> Any:
        """Put a recipe's settings where none is given; of settings inside a setting too."""
        if not isinstance(given, dict):
            return given
        filled = dict(given)
        for name, value in RECIPES.get(str(given.get("recipe")), {}).items():
            is_inside = isinstance(value, dict) and isinstance(given.get(name, {}), dict)
            filled[name] = {**value, **given.get(name, {})} if is_inside else given.get(name, value)
        return filled

    @field_validator("layers", mode="before")
    @classmethod
    def _one_alone(cls, given: Any) -> Any:
        return (given,) if isinstance(given, int) else given

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        clips = "as many clips as lie end to end in the median training video" if self.segments is None else "clips"
        many = f"1 to {_MOST_SEGMENTS}" if self.segments is None else f"{self.segments}"
        heads = "one head for 64 features" if self.heads is None else f"{self.heads} heads"
        deep = f" and of the layers {', '.join(map(str, self.layers))}" if self.layers else ""
        shown = ", ".join([self.crop.in_words, *filter(None, [self.augment.in_words])])
        tried = ", ".join(f"{rate.lr:g}/{rate.weight_decay:g}" for rate in self.rates)
        selection = (
            f"hold-out, the lr/weight decay of {tried} with the lowest cross-entropy on {self.held_out:.0%} of each class of "
            f"the training videos (seed {self.seed}; logits scaled to suit them), then trained again on all of them"
        )
        named = "" if self.recipe == "own" else f"recipe {self.recipe}; "
        return (
            f"{named}attentive probe on frozen tokens, evaluation mode: {self.depth - 1} blocks of self-attention, "
            f"cross-attention of one learned query ({heads}, no output projection), MLP x4, linear; "
            f"tokens of {clips} ({many}){deep} joined; AdamW, cosine to 0, no warm-up, "
            f"gradients clipped at {self.clip_grad:g}, {self.epochs} epochs or {self.least_steps} steps if that is more, "
            f"batch {self.batch}, {self.looks} looks at each training video (one as "
            f"in the test, the others with {shown}, clips drawn); selection: "
            f"{selection if len(self.rates) > 1 else f'none, {tried}'}; test: {self.crops} crops along the long side (one of "
            "square pictures), softmax averaged; test labels are read once"
        )

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """One column; luck names the majority class of the training videos."""
        return Plan({"attentive": majority_accuracy(train_labels, test_labels)})

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
        """Return the column "attentive", top-1 hits, and the details of what was picked.

        `groups` are never parted by the hold-out. Raises ReelvecError for tokens that are not finite or need too much room.
        """
        encoder = copy.deepcopy(encoder).to(device).eval().requires_grad_(False)
        train_rows, test_rows = rows_by_side(rows, test)
        y = labels[~test].cpu()
        held = self.hold_out(y, None if groups is None else groups[~test].cpu())
        steps = self.steps(len(y)) + (self.steps(int((~held).sum())) if held.any() else 0)
        source = Source(index, card, device, workers, Tally(self.looks * len(y) + steps + len(test_rows), on_progress))
        segments = self.segments or clips_of_median(source, train_rows, _MOST_SEGMENTS)
        tokens, dim = tokens_of_clip(encoder, source, self.layers)
        with LookStore(len(y), self.looks, segments * tokens, dim, self.memory_gb, self.disk_gb) as store:
            found = fill(
                store, encoder, source, train_rows, clips=segments, shown=self.crop, pooled=False, seed=self.seed,
                augment=self.augment, layers=self.layers,
            )  # fmt: skip
            rate = self.pick(store, source, y, found & ~held, found & held)
            (head,) = self.train(store, source, y, found, int(y.max()) + 1, [rate])

        def judge(views: Float[Tensor, "b n k c t s s"]) -> Float[Tensor, "b 1 classes"]:
            by_crop = views.transpose(1, 2)
            of_clips = encode(encoder, by_crop.flatten(0, 2), False, self.layers).unflatten(0, by_crop.shape[:3])
            scores = head(of_clips.flatten(0, 1).flatten(1, 2)).unflatten(0, by_crop.shape[:2])
            return scores.softmax(2).mean(1, keepdim=True)

        said = judged(judge, source, even_requests(source, test_rows, segments), self.crops)
        details = {
            "attentive_lr": rate.lr,
            "attentive_weight_decay": rate.weight_decay,
            "attentive_segments": float(segments),
            "attentive_unread": float((~found).sum() + (~said.found).sum()),
        }
        return Outcome({"attentive": said.answers(0, labels[test].cpu())}, details)

    def hold_out(self, labels: Int[Tensor, "n"], groups: Int[Tensor, "n"] | None) -> Bool[Tensor, "n"]:
        """Choose the training videos by which a head is picked; none where there is nothing to pick."""
        if len(self.rates) == 1:
            return torch.zeros(len(labels), dtype=torch.bool)
        rng = sample_generator(self.seed, 0, "attentive/hold-out")
        return torch.from_numpy(
            hold_out(labels.tolist(), None if groups is None else groups.tolist(), self.held_out, rng, keep_classes=True)
        )

    def pick(
        self,
        store: LookStore,
        source: Source,
        labels: Int[Tensor, "n"],
        kept: Bool[Tensor, "n"],
        held: Bool[Tensor, "n"],
    ) -> Rate:
        """Train a head by each rate on the videos `kept`; return the rate with the lowest loss on those `held`."""
        if len(self.rates) == 1:
            return self.rates[0]
        classes = int(labels.max()) + 1
        # nothing can be said of a class of which nothing is left to learn from
        known = labels[kept].bincount(minlength=classes) > 0
        videos = (held & known[labels]).nonzero()[:, 0]
        if not len(videos):
            return self.unpicked
        heads = self.train(store, source, labels, kept, classes, self.rates)
        losses = []
        for head in heads:
            with torch.no_grad():
                parts = [store.take(part.tolist(), 0).to(source.device) for part in videos.split(self.batch)]
                logits = torch.cat([head(part).cpu() for part in parts])
            finite = bool(logits.isfinite().all())
            losses.append(scaled_loss(logits.double(), labels[videos]) if finite else math.inf)
        return self.rates[int(np.argmin(losses))]

    def train(
        self,
        store: LookStore,
        source: Source,
        labels: Int[Tensor, "n"],
        kept: Bool[Tensor, "n"],
        classes: int,
        rates: Sequence[Rate],
    ) -> list[AttentiveHead]:
        """Train a head by each rate on the same batches of the videos `kept`, all from the same weights.

        A single head whose loss is not finite is a ReelvecError; one of several is of no use from there on, and never picked.
        """
        videos = kept.nonzero()[:, 0].numpy()
        with drawing_by(self.seed, 0, "attentive/weights", torch.device("cpu")):
            first = AttentiveHead(store.dim, classes, self.depth, self.heads).to(source.device)
        heads = [copy.deepcopy(first) for _ in rates]
        optimisers = [_adamw(head, rate) for head, rate in zip(heads, rates, strict=True)]
        total, step, epoch = self.steps(len(videos)), 0, 0
        while step < total:
            rng = sample_generator(self.seed, epoch, "attentive/order")
            for batch in shuffled(videos, self.batch, rng)[: total - step]:
                seen, truth = store.take(batch, epoch % store.looks).to(source.device), labels[batch].to(source.device)
                for head, optimiser, rate in zip(heads, optimisers, rates, strict=True):
                    loss = F.cross_entropy(head(seen), truth)
                    optimiser.zero_grad(set_to_none=True)
                    loss.backward()
                    nn.utils.clip_grad_norm_(head.parameters(), self.clip_grad)
                    for group in optimiser.param_groups:
                        group["lr"] = cosine(step / total, rate.lr, 0.0)
                    optimiser.step()
                if len(heads) == 1 and not bool(loss.isfinite()):
                    raise ReelvecError(
                        f"train an attentive probe with lr={rates[0].lr:g}",
                        f"a loss that is {loss.item()} in step {step + 1}",
                        "use smaller learning rates",
                    )
                step += 1
                source.tally.add(1, f"attentive: step {step} of {total}, {len(heads)} heads")
            epoch += 1
        return [head.eval() for head in heads]

    def steps(self, videos: int) -> int:
        """Return how many steps a head takes with so many training videos."""
        return max(self.least_steps, self.epochs * max(1, -(-videos // self.batch)))


def _adamw(head: AttentiveHead, rate: Rate) -> torch.optim.AdamW:
    """Make the optimiser of a head; biases and norms are not held back."""
    weights = list(head.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": rate.weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate.lr)
