"""Same action or not, by pairs and folds that are given: ASLAN's benchmark (eval_protocols, section h)."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import write_json
from reelvec.core.shapes import Bool, Float, Int
from reelvec.data.index import index, index_within
from reelvec.data.streams import check_needs
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress
from reelvec.evals.answers import answer_lines, write_answers
from reelvec.evals.evaluate import encoder_facts, load_encoders, refuse_no_clips
from reelvec.evals.features import features_in_words, read_features, untrained_in_words
from reelvec.evals.outcome import Answers, Outcome
from reelvec.evals.pair_files import Pairs, read_pairs
from reelvec.evals.plan import Plan
from reelvec.evals.results import FEATURES, answers_file, result_file
from reelvec.evals.similarity import ACCURACY, AUC, accuracy_by_fold, area_by_fold, cosines, share_by_fold
from reelvec.evals.table import Features, Numbered, fill_table

SVM, SVM_AUC = "similarity SVM", "similarity SVM AUC"


def measures(features: Float[Tensor, "m d"], pairs: Int[Tensor, "pairs two"]) -> Float[Tensor, "pairs measures"]:
    """Return seven measures of how alike two feature vectors are.

    The inner product as they are; of their unit vectors the inner product (cosine), L1 and L2 distance, and, of sizes where
    signs agree, chi-square distance, Hellinger affinity and intersection.
    """
    x = features.double()
    unit = F.normalize(x, dim=1)
    a, b = unit[pairs[:, 0]], unit[pairs[:, 1]]
    sizes, agree = (a.abs() + b.abs()).clamp(min=1e-30), (a * b) > 0
    return torch.stack(
        [
            (x[pairs[:, 0]] * x[pairs[:, 1]]).sum(1),
            (a * b).sum(1),
            (a - b).abs().sum(1),
            (a - b).square().sum(1).sqrt(),
            ((a - b).square() / sizes).sum(1),
            ((a * b).abs().sqrt() * agree).sum(1),
            (torch.minimum(a.abs(), b.abs()) * agree).sum(1),
        ],
        1,
    )


def fit_svm(x: Float[Tensor, "n d"], same: Bool[Tensor, "n"], c: float = 1.0) -> Float[Tensor, "d1"]:
    """Return weights and a bias (the last, not penalised) of a linear SVM: |w|^2 / 2 + c sum(max(0, 1 - y f(x))^2)."""
    y = same.to(x) * 2 - 1
    weights = x.new_zeros(x.shape[1] + 1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        margin = y * (x @ weights[:-1] + weights[-1])
        loss = (weights[:-1].square().sum() / 2 + c * (1 - margin).clamp(min=0).square().sum()) / len(x)
        loss.backward()
        return loss

    optimiser.step(closure)
    return weights.detach()


@dataclass(frozen=True)
class GivenPairs:
    """Pairs of all videos of a table, each fold judged by what is fitted on the other folds."""

    given: Pairs

    @property
    def protocol(self) -> str:
        """The setting in words, printed beside the numbers."""
        many = len(self.given.fold.unique())
        return (
            f"{self.given.title}: {len(self.given.same)} pairs, {many} folds (list {self.given.fingerprint}); {ACCURACY}: "
            f"cosine against the threshold that is best on the other folds; {SVM}: seven measures of likeness (inner "
            "product; of unit vectors cosine, L1, L2, chi-square, Hellinger, intersection), standardised by the other "
            "folds, and a linear SVM (squared hinge, C = 1) fitted to these; AUC of the cosine, and of what the SVM says,"
            " fold by fold; mean over folds; interval: Student's over folds; standard error: standard deviation over "
            "folds / sqrt(folds)"
        )

    def plan(
        self, train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"], test_groups: Int[Tensor, "m"] | None = None
    ) -> Plan:
        """Four columns; luck gives the larger kind of pairs, or half of the area."""
        kind = float(max(self.given.same.double().mean(), (~self.given.same).double().mean()))
        return Plan({ACCURACY: kind, AUC: 0.5, SVM: kind, SVM_AUC: 0.5}, self.given.notes)

    def run(
        self,
        train_features: Float[Tensor, "n d"],
        train_labels: Int[Tensor, "n"],
        test_features: Float[Tensor, "m d"],
        test_labels: Int[Tensor, "m"],
        train_groups: Int[Tensor, "n"] | None = None,
        test_groups: Int[Tensor, "m"] | None = None,
    ) -> Outcome:
        """Return accuracy and area of every fold, and as details the standard errors; all videos are test videos."""
        pairs, same, fold = self.given.pairs, self.given.same, self.given.fold
        cosine, said = cosines(test_features, pairs), self.said(test_features)
        scores = {
            ACCURACY: accuracy_by_fold(cosine, same, fold),
            AUC: area_by_fold(cosine, same, fold),
            SVM: share_by_fold((said > 0) == same, fold),
            SVM_AUC: area_by_fold(said, same, fold),
        }
        errors = {f"{name} standard error": stdev(of.tolist()) / math.sqrt(len(of)) for name, of in scores.items()}
        return Outcome({name: Answers(score, over="draws") for name, score in scores.items()}, errors)

    def said(self, features: Float[Tensor, "m d"]) -> Float[Tensor, "pairs"]:
        """Return what the SVM fitted to the other folds says of each pair: above 0 it is called the same."""
        alike, fold = measures(features, self.given.pairs), self.given.fold
        out = torch.empty(len(alike), dtype=alike.dtype)
        for number in fold.unique():
            here = fold == number
            mean, std = alike[~here].mean(0), alike[~here].std(0, correction=0)
            x = (alike - mean) / torch.where(std > 0, std, 1)
            weights = fit_svm(x[~here], self.given.same[~here])
            out[here] = x[here] @ weights[:-1] + weights[-1]
        return out


def pair_similarity(
    run: str | os.PathLike[str],
    pairs: str | os.PathLike[str],
    *,
    videos: str | os.PathLike[str] | None = None,
    clips: int | None = None,
    encoders: tuple[str, ...] | None = None,
    device: str | None = None,
    workers: int = 0,
    seed: int = 0,
    baselines: bool = True,
    out: str | os.PathLike[str] | None = None,
    index_file: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Tell pairs of one action from pairs of two by a run's frozen features, fold by fold, beside untrained networks.

    Args:
        run: a run folder, or an encoder folder.
        pairs: a table with the columns first, second, same and fold, or ASLAN's View2.mat.
        videos: the folder of the videos (a table's paths count from it; ASLAN's are found below it by their numbers).
        clips, encoders, device, workers, seed, baselines, out, index_file: as for `evaluate`.

    Returns what is written to `out`, in the form of `evaluate`'s result with one table. Raises ReelvecError for a run, pairs
    or videos that do not fit.
    """
    refuse_no_clips(clips)
    listed = read_pairs(pairs, videos)
    on_device = choose_device(device)
    loaded = load_encoders(run, encoders)
    cards = {name: card for name, (_, card) in loaded.items()}
    probed = (
        index(listed.paths, workers=workers or None)
        if index_file is None
        else index_within(index_file, listed.paths, workers=workers or None)
    )
    for card in cards.values():
        check_needs(probed, card.needs)
    file = Path(out) if out is not None else result_file(Path(run), Path(pairs), max(card.step for card in cards.values()))
    at = {os.path.realpath(probed.row(i).path): i for i in range(len(probed))}
    rows = [at[os.path.realpath(path)] for path in listed.paths]
    usable = torch.tensor([probed.row(row).status == "ok" for row in rows])
    left_out = {probed.row(row).path: probed.row(row).reason for row in rows if probed.row(row).status != "ok"}
    read = read_features(
        loaded, probed, [row for row, is_usable in zip(rows, usable.tolist(), strict=True) if is_usable],
        folder=file.parent / FEATURES, clips=clips, seed=seed, baselines=baselines, device=on_device, workers=workers,
        on_progress=on_progress,
    )  # fmt: skip
    left_out |= read.left_out
    found = usable.clone()
    found[usable] = read.found
    kept = listed.of(found)
    judge = GivenPairs(kept)
    everything = torch.ones(len(kept.paths), dtype=torch.bool)
    numbers = Numbered(["not same", "same"], torch.zeros(len(kept.paths), dtype=torch.long), everything, None)
    table = fill_table({"similarity": judge}, [Features(r.name, [d[read.found] for d in r.draws]) for r in read.rows], numbers)
    answers = list(answer_lines("same action", table.pop("answers"), kept.paths, [""] * len(kept.paths), table["classes"]))
    result: dict[str, Any] = {
        "run": str(run),
        "labels": str(pairs),
        "asked": {"videos": None if videos is None else str(videos), "clips": clips, "seed": seed},
        "encoders": {name: encoder_facts(card) for name, card in cards.items()},
        "protocol": _protocol(judge, clips, seed, baselines),
        "notes": [*table.pop("notes"), *_errors_in_words(table["rows"])],
        "left_out": [{"path": path, "reason": reason} for path, reason in sorted(left_out.items())],
        "tables": [{"label_column": "same action", "data": {"pairs": kept.fingerprint}, **table}],
        "file": str(file),
        "answers": answers_file(file).name,
        "features": {name: f"{FEATURES}/{place}" for name, place in read.places.items()},
    }
    write_answers(answers_file(file), answers)
    write_json(file, result)
    return result


def _protocol(judge: GivenPairs, clips: int | None, seed: int, baselines: bool) -> Mapping[str, str]:
    return {
        "split": f"folds of {judge.given.title}",
        "features": features_in_words(clips),
        **({"untrained": untrained_in_words(seed)} if baselines else {}),
        "similarity": judge.protocol,
    }


def _errors_in_words(rows: list[dict[str, Any]]) -> list[str]:
    """Say accuracy and standard error of each row, as ASLAN's table has them."""
    words = []
    for row in rows:
        errors = {name: row["details"].get(f"{name} standard error") for name in (ACCURACY, SVM)}
        means = {name: sum(of) / len(of) for name, of in errors.items() if of}
        if means:
            said = ", ".join(f"{name} {100 * row['values'][name]:.2f} +- {100 * error:.2f}" for name, error in means.items())
            words.append(f"{row['name']}: {said} (percent, standard error over folds)")
    return words
