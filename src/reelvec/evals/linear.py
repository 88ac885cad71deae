"""Linear probe on frozen, cached features: multinomial logistic regression by L-BFGS (eval_protocols, section a3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import Config, sample_generator
from reelvec.core.shapes import Float, Int
from reelvec.evals.split import hold_out

_STRENGTHS = tuple(10 ** (exponent / 2) for exponent in range(-12, 11))  # 1e-6 ... 1e5
_PATIENCE = 4
"""values of C that may fail to beat the best one, all training videos being fitted, before larger ones are left untried"""


def fit_logistic(
    x: Float[Tensor, "n d"],
    labels: Int[Tensor, "n"],
    classes: int,
    c: float,
    start: Float[Tensor, "d1 classes"] | None = None,
    iterations: int = 200,
    tolerance: float = 1e-5,
) -> Float[Tensor, "d1 classes"]:
    """Minimise mean cross-entropy + |W|^2 / (2 c n) over weights and a bias (the last row, not penalised).

    It is scikit-learn's objective with `C = c`, divided by n. Convex: the start changes the time taken, not the result.
    `tolerance` is the largest entry of the gradient at which it ends.
    """
    weights = x.new_zeros(x.shape[1] + 1, classes) if start is None else start.clone()
    weights.grad = torch.zeros_like(weights)
    grad = weights.grad
    optimiser = torch.optim.LBFGS(
        [weights], max_iter=iterations, tolerance_grad=tolerance, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )
    right = F.one_hot(labels, classes).to(x)
    every = torch.arange(len(x), device=x.device)

    def closure() -> float:
        # written out: autograd costs three times as much as these few products
        logs = torch.log_softmax(x @ weights[:-1] + weights[-1], dim=1)
        residual = (logs.exp() - right) / len(x)
        torch.add(x.T @ residual, weights[:-1], alpha=1 / (c * len(x)), out=grad[:-1])
        torch.sum(residual, 0, out=grad[-1])
        return float(weights[:-1].square().sum() / (2 * c * len(x)) - logs[every, labels].mean())

    with torch.no_grad():
        optimiser.step(closure)
    return weights


class _Space:
    """Standardise by training statistics; where features outnumber videos, turn them into the videos' own span.

    The turn is orthogonal and the penalty is round, so the solution is the same one, in far fewer unknowns.
    """

    def __init__(self, train: Float[Tensor, "n d"]) -> None:
        self.mean, std = train.mean(0), train.std(0, correction=0)
        self.scale = torch.where(std > 1e-6 * std.max().clamp(min=1e-12), 1 / std.clamp(min=1e-30), 0)
        self.basis: Tensor | None = None
        if train.shape[1] > len(train):
            self.basis = torch.linalg.qr(self(train).T).Q

    def __call__(self, features: Float[Tensor, "m d"]) -> Float[Tensor, "m e"]:
        scaled = (features - self.mean) * self.scale
        return scaled if self.basis is None else scaled @ self.basis


class Linear(Config):
    """Logistic regression on standardised features; its strength is picked inside the training part."""

    strengths: tuple[float, ...] = _STRENGTHS
    """values of C that are tried, ascending; once the training videos are fitted, until four in a row were no better"""
    folds: int = 5
    """training videos are cut into so many parts; each is held out once to pick C"""
    one_fold_above: int = 300
    """from so many training videos on, only the first part is held out: the pick is steady then, and time matters"""
    seed: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The numbers of `run` that are shares of test videos."""
        return ("linear",)

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        return (
            f"logistic regression (L-BFGS) on standardised features, C from {len(self.strengths)} values "
            f"{self.strengths[0]:.0e} to {self.strengths[-1]:.0e} by held-out fifths of the training videos "
            f"(all {self.folds}; one above {self.one_fold_above} videos); test labels are read once"
        )

    def run(
        self,
        train_features: Float[Tensor, "n d"],
        train_labels: Int[Tensor, "n"],
        test_features: Float[Tensor, "m d"],
        test_labels: Int[Tensor, "m"],
        train_groups: Int[Tensor, "n"] | None = None,
    ) -> dict[str, float]:
        """Return {"linear": top-1 accuracy, "linear_c": the C that was picked}.

        `train_groups` (patients, source files) keep videos of one group on one side when C is picked.
        """
        train_features, test_features = train_features.double(), test_features.double()
        classes = int(max(train_labels.max(), test_labels.max())) + 1
        c = self.pick(train_features, train_labels, classes, train_groups)
        space = _Space(train_features)
        weights = fit_logistic(space(train_features), train_labels, classes, c)
        predicted = (space(test_features) @ weights[:-1] + weights[-1]).argmax(1)
        return {"linear": (predicted == test_labels).double().mean().item(), "linear_c": c}

    def pick(
        self,
        features: Float[Tensor, "n d"],
        labels: Int[Tensor, "n"],
        classes: int,
        groups: Int[Tensor, "n"] | None = None,
    ) -> float:
        """Return the C with the most hits on held-out parts of the training videos; among equals the lowest loss."""
        folds = []
        for held in self._held_out(labels, groups):
            if held.any() and not held.all():
                space = _Space(features[~held])
                folds.append((space(features[~held]), labels[~held], space(features[held]), labels[held]))
        weights: list[Tensor | None] = [None] * len(folds)
        best, best_score = self.strengths[0], (-1, float("-inf"))
        since = 0
        for c in self.strengths:
            hits, gain, all_fitted = 0, 0.0, True
            for i, (x, y, held_x, held_y) in enumerate(folds):
                # from strong to weak penalty, each fit starts where the last one ended
                fitted = fit_logistic(x, y, classes, c, start=weights[i], iterations=50, tolerance=1e-4)
                logits = held_x @ fitted[:-1] + fitted[-1]
                hits += int((logits.argmax(1) == held_y).sum())
                gain -= float(F.cross_entropy(logits, held_y, reduction="sum"))
                all_fitted &= bool(((x @ fitted[:-1] + fitted[-1]).argmax(1) == y).all())
                weights[i] = fitted
            # under a strong penalty nothing changes from value to value, and that is no reason to stop
            since += all_fitted
            if (hits, gain) > best_score:
                best, best_score, since = c, (hits, gain), 0
            if since == _PATIENCE:
                break
        return best

    def _held_out(self, labels: Tensor, groups: Tensor | None) -> list[Tensor]:
        """Masks of the parts that are held out in turn."""
        rest = torch.arange(len(labels))
        groups_list = None if groups is None else groups.tolist()
        masks = []
        for fold in range(self.folds if len(labels) <= self.one_fold_above else 1):
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
            if not len(rest):
                break
        return masks
