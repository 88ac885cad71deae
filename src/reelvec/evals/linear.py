"""Linear probe on frozen, cached features: multinomial logistic regression by L-BFGS (eval_protocols, section a3)."""

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import Config, sample_generator
from reelvec.core.shapes import Bool, Float, Int
from reelvec.evals.baselines import majority_accuracy
from reelvec.evals.outcome import Answers, Outcome
from reelvec.evals.plan import Plan
from reelvec.evals.split import hold_out

_STRENGTHS = tuple(10 ** (exponent / 2) for exponent in range(-12, 11))  # 1e-6 ... 1e5
_RISEN = 0.02
"""of ln(classes) above the lowest held-out loss: after two values of C in a row there, larger ones are left untried"""


def fit_logistic(
    x: Float[Tensor, "n d"],
    labels: Int[Tensor, "n"],
    classes: int,
    c: float,
    iterations: int = 200,
    tolerance: float = 1e-5,
) -> Float[Tensor, "d1 classes"]:
    """Minimise mean cross-entropy + |W|^2 / (2 c n) over weights and a bias (the last row, not penalised).

    It is scikit-learn's objective with `C = c`, divided by n. `tolerance` is the largest entry of the gradient at which it
    ends.
    """
    every = torch.ones(1, len(x), dtype=torch.bool, device=x.device)
    return fit_parts(x, labels, classes, c, every, None, iterations, tolerance)[:, 0]


def fit_parts(
    x: Float[Tensor, "n d"],
    labels: Int[Tensor, "n"],
    classes: int,
    c: float,
    kept: Bool[Tensor, "parts n"],
    start: Float[Tensor, "d1 parts classes"] | None,
    iterations: int,
    tolerance: float,
) -> Float[Tensor, "d1 parts classes"]:
    """Fit several logistic regressions at once, each to the videos that its row of `kept` names.

    One optimisation of the sum of their objectives, which have no weight in common: the same solutions as one by one, but
    each product with `x` is taken once for all. Convex: the start changes the time taken, not the result.
    """
    n, d, parts = len(x), x.shape[1], len(kept)
    weights = x.new_zeros(d + 1, parts, classes) if start is None else start.clone()
    weights.grad = torch.zeros_like(weights)
    grad = weights.grad
    optimiser = torch.optim.LBFGS(
        [weights], max_iter=iterations, tolerance_grad=tolerance, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )
    right = F.one_hot(labels, classes).to(x)[:, None]
    many = kept.sum(1).to(x)
    share = kept.T.to(x) / many
    penalty = 1 / (c * many[:, None])
    every = torch.arange(n, device=x.device)

    def closure() -> float:
        # written out: autograd costs three times as much as these few products
        logs = torch.log_softmax(_logits(x, weights), dim=2)
        residual = (logs.exp() - right) * share[:, :, None]
        torch.add((x.T @ residual.flatten(1)).view(d, parts, classes), weights[:-1] * penalty, out=grad[:-1])
        torch.sum(residual, 0, out=grad[-1])
        return float((weights[:-1].square() * penalty).sum() / 2 - (logs[every, :, labels] * share).sum())

    with torch.no_grad():
        optimiser.step(closure)
    return weights


def _logits(x: Float[Tensor, "n d"], weights: Float[Tensor, "d1 parts classes"]) -> Float[Tensor, "n parts classes"]:
    return (x @ weights[:-1].flatten(1)).view(len(x), *weights.shape[1:]) + weights[-1]


def scaled_loss(logits: Float[Tensor, "n classes"], labels: Int[Tensor, "n"]) -> float:
    """Return the mean cross-entropy of logits that are multiplied by the one number that makes it lowest.

    The number, a temperature (Guo et al. 2017), is found by bisection: the loss is convex in it. Logits of any size are
    looked at, down to a sixteenth and up to 64 times their standard deviation.
    """
    logits = logits / logits.std(correction=0).clamp(min=1e-30)
    every = torch.arange(len(logits), device=logits.device)
    low, high = -4.0, 6.0  # powers of two
    for _ in range(8):
        middle = (low + high) / 2
        shares = torch.softmax(logits * 2**middle, dim=1)
        slope = (shares * logits).sum(1).mean() - logits[every, labels].mean()
        low, high = (middle, high) if slope < 0 else (low, middle)
    return F.cross_entropy(logits * 2 ** ((low + high) / 2), labels).item()


def standard(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
    """Return the mean of each feature and one over its standard deviation, zero for a feature that is constant."""
    std = features.std(0, correction=0)
    scale = torch.where(std > 1e-6 * std.max().clamp(min=1e-12), 1 / std.clamp(min=1e-30), 0)
    return features.mean(0), scale


class Space:
    """Standardise by training statistics; where features outnumber videos, turn them into the videos' own span.

    The turn is orthogonal and the penalty is round, so the solution is the same one, in far fewer unknowns. `by` are the
    statistics of `standard`, of the training videos themselves if None.
    """

    def __init__(self, train: Float[Tensor, "n d"], by: tuple[Tensor, Tensor] | None = None) -> None:
        self.mean, self.scale = standard(train) if by is None else by
        self.basis: Tensor | None = None
        if train.shape[1] > len(train):
            self.basis = torch.linalg.qr(self(train).T).Q

    def __call__(self, features: Float[Tensor, "m d"]) -> Float[Tensor, "m e"]:
        """Return features as the training videos' statistics and span see them."""
        scaled = (features - self.mean) * self.scale
        return scaled if self.basis is None else scaled @ self.basis

    def to(self, device: torch.device) -> "Space":
        """Return the space on a device."""
        moved = copy.copy(self)
        moved.mean, moved.scale = self.mean.to(device), self.scale.to(device)
        moved.basis = None if self.basis is None else self.basis.to(device)
        return moved


@dataclass(frozen=True)
class Probe:
    """A fitted logistic regression and the space that it was fitted in."""

    space: Space
    weights: Float[Tensor, "e1 classes"]
    """the last row is the bias"""
    c: float

    def logits(self, features: Float[Tensor, "m d"]) -> Float[Tensor, "m classes"]:
        """Return a number for each class, before the softmax, in float64."""
        return self.space(features.double()) @ self.weights[:-1] + self.weights[-1]

    def to(self, device: torch.device) -> "Probe":
        """Return the probe on a device."""
        return Probe(self.space.to(device), self.weights.to(device), self.c)


class Linear(Config):
    """Logistic regression on standardised features; its strength is picked inside the training part."""

    strengths: tuple[float, ...] = _STRENGTHS
    """values of C that are tried, ascending, until the held-out loss has clearly risen above its lowest"""
    folds: int = 5
    """training videos are cut into so many parts; each is held out once to pick C"""
    enough_held_out: int = 1000
    """no more parts are held out, once they hold so many videos: the pick is steady then, and time matters"""
    unpicked: float = 10**-1.5
    """C where nothing can be held out"""
    seed: int = 0

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        return (
            f"logistic regression (L-BFGS) on features standardised by the training videos; C is the one of "
            f"{len(self.strengths)} values {self.strengths[0]:.0e} to {self.strengths[-1]:.0e} with the lowest cross-entropy "
            f"on held-out parts of the training videos ({self.folds} parts by class, seed {self.seed}, each held out once, "
            f"or as many as hold {self.enough_held_out} videos; logits scaled to suit them); fitted to all training videos; "
            "test labels are read once"
        )

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """One column; luck names the majority class of the training videos."""
        return Plan({"linear": majority_accuracy(train_labels, test_labels)})

    def run(
        self,
        train_features: Float[Tensor, "n d"],
        train_labels: Int[Tensor, "n"],
        test_features: Float[Tensor, "m d"],
        test_labels: Int[Tensor, "m"],
        train_groups: Int[Tensor, "n"] | None = None,
        test_groups: Int[Tensor, "m"] | None = None,
    ) -> Outcome:
        """Return the column "linear", top-1 hits, and the detail "linear_c", the C that was picked.

        `train_groups` (patients, source files) keep videos of one group on one side when C is picked.
        """
        classes = int(max(train_labels.max(), test_labels.max())) + 1
        probe = self.fit(train_features, train_labels, classes, train_groups)
        sure, named = probe.logits(test_features).softmax(1).max(1)
        return Outcome({"linear": Answers((named == test_labels).double(), named=named, sure=sure)}, {"linear_c": probe.c})

    def fit(
        self,
        features: Float[Tensor, "n d"],
        labels: Int[Tensor, "n"],
        classes: int,
        groups: Int[Tensor, "n"] | None = None,
    ) -> Probe:
        """Standardise training features, pick C inside them, and fit to all of them."""
        features = features.double()
        space = Space(features)
        x = space(features)
        c = self.pick(x, labels, classes, groups)
        return Probe(space, fit_logistic(x, labels, classes, c), c)

    def pick(
        self, x: Float[Tensor, "n d"], labels: Int[Tensor, "n"], classes: int, groups: Int[Tensor, "n"] | None = None
    ) -> float:
        """Return the C with the lowest `scaled_loss` on held-out parts of these videos, `x` being in their `Space`.

        The loss moves by every video's margin where hits move by the few that change sides: over seeds, its lowest point
        stays, while hits jump between values of C that lie decades apart. Unscaled, it would shun strong penalties for
        their small logits, whichever class is the largest.
        """
        held = self._held_out(labels, groups)
        known = torch.stack([labels[~mask].bincount(minlength=classes) > 0 for mask in held])[:, labels]
        # nothing can be said of a class that a part has left without a video
        judged = held & known
        usable = judged.any(1)
        if not usable.any():
            return self.unpicked
        held, judged = held[usable], judged[usable]
        truth = torch.cat([labels[mask] for mask in judged])
        best, lowest, since = self.strengths[0], math.inf, 0
        weights: Tensor | None = None
        for c in self.strengths:
            # from strong to weak penalty, each fit starts where the last one ended; loosely: only the choice is wanted
            weights = fit_parts(x, labels, classes, c, ~held, weights, iterations=30, tolerance=1e-3)
            logits = _logits(x, weights)
            loss = scaled_loss(torch.cat([logits[mask, part] for part, mask in enumerate(judged)]), truth)
            if loss < lowest:
                best, lowest = c, loss
            since = since + 1 if loss > lowest + _RISEN * math.log(classes) else 0
            if since == 2:
                break
        return best

    def _held_out(self, labels: Int[Tensor, "n"], groups: Int[Tensor, "n"] | None) -> Bool[Tensor, "parts n"]:
        """Masks of the parts that are held out, no video in two of them."""
        rest = torch.arange(len(labels))
        groups_list = None if groups is None else groups.tolist()
        masks = []
        for fold in range(self.folds):
            chosen = hold_out(
                [int(labels[i]) for i in rest],
                None if groups_list is None else [groups_list[i] for i in rest],
                1 / (self.folds - fold),
                sample_generator(self.seed, fold, "linear/hold-out"),
                keep_classes=False,
            )
            mask = torch.zeros(len(labels), dtype=torch.bool)
            mask[rest[torch.from_numpy(chosen)]] = True
            masks.append(mask.to(labels.device))
            rest = rest[torch.from_numpy(~chosen)]
            if not len(rest) or len(labels) - len(rest) >= self.enough_held_out:
                break
        return torch.stack(masks)
