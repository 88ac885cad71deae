"""Fine-tuning: all weights learn the labels, by a recipe for convolutional networks or one for transformers.

eval_protocols, sections a1 (VideoMAE) and a2. What the recipes here leave out of the papers' is said in docs/trained_heads.md.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from reelvec.core import Config, Draws, Encoder, EncoderCard, ReelvecError, Times, sample_generator
from reelvec.core.shapes import Bool, Float, Int
from reelvec.data.index import Index
from reelvec.data.loader import ClipLoader, TrainingPlan
from reelvec.engine.config import merge_mappings
from reelvec.engine.extract import MOST_CLIPS, OnProgress
from reelvec.evals.baselines import majority_accuracy
from reelvec.evals.heads.augment import PAPERS, Augment
from reelvec.evals.heads.layer_depth import has_layer_norm, rate_groups, set_drop_path
from reelvec.evals.heads.looks import (
    CLIPS_AT_ONCE,
    Crops,
    Judge,
    RandomCrop,
    Source,
    Tally,
    drawn_views,
    even_requests,
    judged,
    rows_by_side,
)
from reelvec.evals.heads.mixing import mix, smoothed, soft_cross_entropy
from reelvec.evals.heads.own_draws import drawing_by
from reelvec.evals.linear import scaled_loss
from reelvec.evals.outcome import Outcome
from reelvec.evals.plan import Plan
from reelvec.evals.split import hold_out
from reelvec.parts.schedules import warmup_cosine

_CACHE_BYTES = 1 << 30
"""decoded videos that are kept from one epoch to the next: all of a small set"""

_MARKS = 10
"""times that held-out videos are looked at"""


class Recipe(Config):
    """How all weights are trained."""

    optimiser: Literal["sgd", "adamw"]
    lr: float
    """of the head, for the batch as it is"""
    layer_decay: float = 1.0
    """factor of the learning rate from one block to the one below"""
    weight_decay: float
    epochs: int = Field(default=30, ge=1)
    least_steps: int = 200
    """more epochs where these are fewer steps, as with few videos they would be"""
    batch: int = Field(default=16, ge=1)
    warm_up: float = Field(default=0.1, ge=0, lt=1)
    """share of the steps"""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """before the head"""
    norm: bool = False
    """layer norm before dropout and head"""
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """of the last block, where the network has such a thing"""
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    """of the labels"""
    mixup: float = Field(default=0.0, ge=0)
    cutmix: float = Field(default=0.0, ge=0)
    """parameters of the beta distribution; 0 is off"""
    clip_grad: float | None = None
    """largest norm of the gradient"""
    crop: RandomCrop = RandomCrop()
    augment: Augment = Augment()
    """what else is done to the clips"""

    @property
    def in_words(self) -> str:
        """For the protocol."""
        optimiser = "SGD, momentum 0.9" if self.optimiser == "sgd" else "AdamW"
        extras = {"layer decay": self.layer_decay, "drop path": self.drop_path, "label smoothing": self.smoothing,
                  "mixup": self.mixup, "cutmix": self.cutmix, "gradient clipped at": self.clip_grad}  # fmt: skip
        used = [f"{name} {value:g}" for name, value in extras.items() if value and not (name == "layer decay" and value == 1)]
        norm = "layer norm, " if self.norm else ""
        shown = [self.crop.in_words, *filter(None, [self.augment.in_words])]
        return (
            f"{optimiser}, lr {self.lr:g} at batch {self.batch}, cosine, {self.warm_up:.0%} warm-up, weight decay "
            f"{self.weight_decay:g}, {self.epochs} epochs or {self.least_steps} steps if that is more, mean of the map, {norm}"
            f"dropout {self.dropout:g}, linear{''.join(', ' + word for word in used)}; {', '.join(shown)}"
        )


CNN = Recipe(optimiser="sgd", lr=0.02, weight_decay=1e-4)
"""for networks with batch norm; SlowFast's linear rate for fine-tuning is 0.005 to 0.01 at 64 clips"""
TRANSFORMER = Recipe(
    optimiser="adamw", lr=5e-4, layer_decay=0.7, weight_decay=0.05, norm=True, drop_path=0.2, smoothing=0.1, mixup=0.8,
    cutmix=1.0, crop=RandomCrop(area=(0.3, 1.0)), augment=PAPERS,
)  # fmt: skip
"""VideoMAE's (section a1)"""


class Classifier(nn.Module):
    """An encoder and a head on the mean of its map."""

    def __init__(self, encoder: Encoder, classes: int, recipe: Recipe) -> None:
        super().__init__()
        self.encoder, self.classes, self.dropout = encoder, classes, recipe.dropout
        self.norm: nn.Module = nn.LayerNorm(encoder.dim) if recipe.norm else nn.Identity()
        self.linear = nn.Linear(encoder.dim, classes)
        nn.init.trunc_normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, clips: Float[Tensor, "b c t s s"], draws: Draws | None = None) -> Float[Tensor, "b classes"]:
        """Return a score of every class; features are dropped by `draws`, none without them."""
        features = self.norm(self.encoder.features(clips))
        if draws is not None and self.dropout:
            kept = draws.uniform("dropout", many=features.shape[1]) >= self.dropout
            features = features * kept / (1 - self.dropout)
        return self.linear(features)


@dataclass(frozen=True)
class _Trained:
    network: Classifier
    step: int
    """whose weights these are"""
    loss: float
    """on held-out training videos; infinite without any"""
    unread: int
    """training videos that could not be read"""


class Finetune(Config):
    """Train a copy of the encoder and a head with the labels of the training videos."""

    recipe: Literal["auto", "cnn", "transformer"] = "auto"
    """auto: transformer for networks with layer norms, else cnn"""
    cnn: Recipe = CNN
    transformer: Recipe = TRANSFORMER
    flip: bool = False
    """mirror half of the training clips; labels of motion do not survive that"""
    clips: int | None = Field(default=None, ge=1)
    """of a test video; None: as many as lie end to end in it, 1 to 10. The papers take 10"""
    crops: Crops = 3
    """of each clip of a test video"""
    factors: tuple[float, ...] = Field(default=(1.0,), min_length=1)
    """of the recipe's learning rate; with several, each is tried and one picked by held-out training videos, the first where
    none can be held out"""
    choose: Literal["last", "held_out"] = "last"
    """the weights that are tested: of the last step, or of the one in ten with the lowest loss on held-out training videos"""
    held_out: float = Field(default=0.2, gt=0, lt=1)
    """share of each class of the training videos, where anything is picked or chosen by them"""
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _over_the_defaults(cls, given: Any) -> Any:
        """Lay single settings of a recipe over those that it has."""
        if not isinstance(given, dict):
            return given
        recipes = {"cnn": CNN, "transformer": TRANSFORMER}
        return given | {
            name: merge_mappings(recipe.model_dump(), given[name])
            for name, recipe in recipes.items()
            if isinstance(given.get(name), dict)
        }

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        recipes = {"cnn": self.cnn, "transformer": self.transformer}
        asked = {name: recipe for name, recipe in recipes.items() if self.recipe in ("auto", name)}
        listed = " | ".join(f"{name}: {recipe.in_words}" for name, recipe in asked.items())
        auto = " (the transformer recipe for networks with layer norms)" if self.recipe == "auto" else ""
        chosen = "weights of the last step" if self.choose == "last" else f"weights of the best of {_MARKS} steps"
        if len(self.factors) > 1:
            chosen = f"the best of lr x {', '.join(f'{factor:g}' for factor in self.factors)}, {chosen}"
        if self._holds_out:
            chosen += (
                f" (best: lowest cross-entropy on {self.held_out:.0%} of each class of the training videos, held out by seed "
                f"{self.seed}" + (", then trained again on all of them)" if self.choose == "last" else ")")
            )
        many = f"{self.clips} clips" if self.clips else f"as many clips as lie end to end, 1 to {MOST_CLIPS},"
        flipped = "half of the training clips mirrored; " if self.flip else ""
        return (
            f"all weights trained{auto}: {listed}; {flipped}one random clip a video and epoch; {chosen}; test: {many} x "
            f"{self.crops} crops along the long side (one of square pictures), softmax averaged; {self.precision}; test labels "
            "are read once"
        )

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """One column; luck names the majority class of the training videos."""
        return Plan({"finetune": majority_accuracy(train_labels, test_labels)})

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
        """Return the column "finetune", top-1 hits, and the details of how it was trained.

        Raises ReelvecError for a loss that is not finite.
        """
        recipe = self.recipe_for(encoder)
        train_rows, test_rows = rows_by_side(rows, test)
        y = labels[~test].cpu()
        held = self.hold_out(y, None if groups is None else groups[~test].cpu())
        learn, tell = rows_by_side(train_rows, held)
        truth = dict(zip(train_rows, y.tolist(), strict=True))
        again = bool(tell) and self.choose == "last"
        trials = len(self.factors) * (self.steps(recipe, len(learn)) * recipe.batch + _MARKS * len(tell)) if tell else 0
        last = self.steps(recipe, len(train_rows)) * recipe.batch if again or not tell else 0
        source = Source(index, card, device, workers, Tally(trials + last + len(test_rows), on_progress))

        def trained(factor: float, rows: list[int], held: list[int]) -> _Trained:
            at_rate = recipe.model_copy(update={"lr": factor * recipe.lr})
            network = self.network(encoder, int(y.max()) + 1, at_rate, device)
            return self._train(network, at_rate, source, rows, held, truth)

        if tell:
            tried = {factor: trained(factor, learn, tell) for factor in self.factors}
            factor = min(tried, key=lambda one: tried[one].loss)
            if tried[factor].loss == math.inf:
                raise _diverged(recipe, math.nan, tried[factor].step)
            done = trained(factor, train_rows, []) if again else tried[factor]
        else:
            factor, done = self.factors[0], trained(self.factors[0], train_rows, [])
        said = judged(_judge(done.network), source, even_requests(source, test_rows, self.clips), self.crops)
        details = {
            "finetune_is_transformer": float(recipe is self.transformer),
            "finetune_lr": factor * recipe.lr,
            "finetune_step": float(done.step),
            "finetune_unread": float(done.unread + int((~said.found).sum())),
        }
        return Outcome({"finetune": said.answers(0, labels[test].cpu())}, details)

    @property
    def _holds_out(self) -> bool:
        return self.choose == "held_out" or len(self.factors) > 1

    def recipe_for(self, encoder: Encoder) -> Recipe:
        """Return the recipe that trains this network."""
        is_transformer = self.recipe == "transformer" or (self.recipe == "auto" and has_layer_norm(encoder))
        return self.transformer if is_transformer else self.cnn

    def network(self, encoder: Encoder, classes: int, recipe: Recipe, device: torch.device) -> Classifier:
        """Copy an encoder and put a head on it."""
        copied = copy.deepcopy(encoder).requires_grad_(True)
        set_drop_path(copied, recipe.drop_path)
        with drawing_by(self.seed, 0, "finetune/weights", torch.device("cpu")):
            return Classifier(copied, classes, recipe).to(device)

    def steps(self, recipe: Recipe, videos: int) -> int:
        """Return how many steps a recipe takes with so many training videos."""
        return max(recipe.least_steps, math.ceil(recipe.epochs * videos / recipe.batch))

    def hold_out(self, labels: Int[Tensor, "n"], groups: Int[Tensor, "n"] | None) -> Bool[Tensor, "n"]:
        """Choose the training videos by which anything is picked; none where nothing is."""
        if not self._holds_out:
            return torch.zeros(len(labels), dtype=torch.bool)
        rng = sample_generator(self.seed, 0, "finetune/hold-out")
        kept_groups = None if groups is None else groups.tolist()
        return torch.from_numpy(hold_out(labels.tolist(), kept_groups, self.held_out, rng, keep_classes=True))

    def _train(
        self, network: Classifier, recipe: Recipe, source: Source, rows: list[int], held: list[int], truth: dict[int, int]
    ) -> _Trained:
        """Train on `rows` of the index; `held` are rows by which it is judged, `truth` the labels of both."""
        groups = rate_groups(
            network.encoder, [network.norm, network.linear], recipe.lr, recipe.layer_decay, recipe.weight_decay
        )
        optimiser: torch.optim.Optimizer = (
            torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9) if recipe.optimiser == "sgd" else torch.optim.AdamW(groups)
        )
        device, card = source.device, source.card
        needs = card.needs.model_copy(update={"clips": 1, "times": Times(rule="anywhere")})
        plan = TrainingPlan(source.index, needs, self.seed, rows)
        total = self.steps(recipe, len(rows))
        asked = (range(step * recipe.batch, (step + 1) * recipe.batch) for step in range(total))
        crop = recipe.crop.model_copy(update={"flip": 0.5 if self.flip else recipe.crop.flip})
        looked = range(1, _MARKS + 1) if self.choose == "held_out" else [_MARKS]
        marks = {math.ceil(total * part / _MARKS) for part in looked} if held else set()
        best, lowest, held_loss, kept = total, math.inf, math.inf, None
        loader = ClipLoader(source.index, needs, plan, recipe.batch, workers=source.workers, cache_bytes=_CACHE_BYTES)
        with loader:
            for step, read in enumerate(loader.batches(asked)):
                batch = read.to(device)
                draws = Draws(self.seed, batch.numbers, "finetune")
                clips = drawn_views(batch, card, crop, draws.within("crop"), recipe.augment)[:, 0]
                labels = torch.tensor([truth[row] for row in batch.rows.tolist()], device=device)
                targets = smoothed(labels, network.classes, recipe.smoothing)
                clips, targets = mix(clips, targets, recipe.mixup, recipe.cutmix, sample_generator(self.seed, step, "mix"))
                share = warmup_cosine(step + 1, total + 1, 1.0, warmup_steps=int(recipe.warm_up * total) + 1)
                for group in optimiser.param_groups:
                    group["lr"] = group["rate"] * share
                network.train()
                with (
                    drawing_by(self.seed, step, "finetune/step", device),
                    torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"),
                ):
                    loss = soft_cross_entropy(network(clips, draws), targets)
                if not bool(loss.isfinite()):
                    if held and len(self.factors) > 1:  # another one is taken
                        return _Trained(network, step, math.inf, len(loader.quarantine))
                    raise _diverged(recipe, loss.item(), step)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                if recipe.clip_grad is not None:
                    nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_grad)
                optimiser.step()
                source.tally.add(recipe.batch, f"fine-tuning: step {step + 1} of {total}")
                if step + 1 in marks:
                    held_loss = _held_out_loss(network.eval(), source, held, truth)
                    if held_loss < lowest and self.choose == "held_out":
                        best, lowest, kept = step + 1, held_loss, copy.deepcopy(network.state_dict())
        if kept is not None:
            network.load_state_dict(kept)
        return _Trained(network.eval(), best, min(lowest, held_loss), len(loader.quarantine))


def _held_out_loss(network: Classifier, source: Source, rows: list[int], truth: dict[int, int]) -> float:
    """Return the cross-entropy on the middle clips of held-out training videos, logits scaled to suit them."""
    said = judged(_judge(network), source, even_requests(source, rows, 1), 1)
    labels = torch.tensor([truth[row] for row in rows])
    logits = said.shares[:, 0].double().clamp(min=1e-30).log()
    return scaled_loss(logits[said.found], labels[said.found])


def _judge(network: Classifier) -> Judge:
    """Let a network say what the clips and crops of videos show; the mean of the shares of each."""

    def judge(views: Float[Tensor, "b n k c t s s"]) -> Float[Tensor, "b 1 classes"]:
        scores = torch.cat([network(some).float() for some in views.flatten(0, 2).split(CLIPS_AT_ONCE)])
        return scores.softmax(1).unflatten(0, (len(views), -1)).mean(1, keepdim=True)

    return judge


def _diverged(recipe: Recipe, loss: float, step: int) -> ReelvecError:
    return ReelvecError(
        f"fine-tune with lr={recipe.lr:g}",
        f"a loss that is {loss} in step {step + 1}",
        "use a smaller lr, a longer warm_up or clip_grad=1",
    )
