"""How much of what features know of some labels is motion, how much is scene: table and verdict from changed test clips.

A probe is fitted once, on ordinary clips of the training videos, and asked about test videos whose frames are shuffled,
reversed, frozen or dropped. A second one is fitted and tested on frozen clips: what the scene gives to one who trains for it
(eval_protocols, section k).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from reelvec.core.shapes import Float, Int
from reelvec.evals.changed_clips import FROZEN, ORDINARY, SCENE_ONLY, VARIANTS
from reelvec.evals.features import ChangedFeatures
from reelvec.evals.intervals import Difference, paired, wilson
from reelvec.evals.knn import Knn, knn_scores
from reelvec.evals.linear import Linear

MEASURES = ("linear", "knn")
INTERVAL = (
    "95 % Wilson score interval of an accuracy; differences are paired by test video: normal interval with half a video added "
    "to each of the four cells right/wrong x right/wrong (Agresti & Min 2005)"
)
OF_GROUPS = "intervals take the test videos as independent; videos of one group are not, so they are too narrow"
"""note on a result with groups"""
RULE = (
    "nothing is said unless ordinary clips are shown to be above chance (paired interval above 0). Motion: with the frames "
    "frozen, more than half of the points over chance are shown to be lost, by the same probe and by one fitted on frozen "
    "clips; scene: more than half are shown to be kept, by one of the two. 'Mostly' where both a loss and a rest above chance "
    "are shown; 'motion and scene' where these are shown and no half is; else undecided. Encoders that read maps of motion are "
    "not divided: frozen they see nothing, and such maps can show a scene. Shown = the 95 % interval says so"
)

_ONE_FRAME = "scene. It reads one picture at a time, which has no motion"
_MAPS = (
    "it reads maps of motion alone. Frozen it sees nothing, so that says nothing: what it knows came by such maps, "
    "which can show outlines and textures of a scene as well"
)
_MEANING = {
    "not known": "these labels are not shown to be known, so there is nothing to divide into motion and scene",
    "motion": "motion. More than half is gone when frames are frozen, and no rest above chance is shown",
    "mostly motion": "mostly motion. More than half is gone when frames are frozen, and a rest above chance stays",
    "motion and scene": "motion and scene. When frames are frozen a part is gone and a part stays; "
    "neither is shown to be more than half",
    "mostly scene": "mostly scene. More than half stays when frames are frozen, and a part is gone",
    "scene": "scene. More than half stays when frames are frozen, and no loss that both probes agree on is shown",
    "undecided": "undecided. The intervals are too wide to divide it into motion and scene",
}
_CAUSE = {"shuffled": "the order of frames", "reversed": "the direction of time"}


@dataclass(frozen=True)
class Verdict:
    """A word, and the sentences with the numbers behind it."""

    word: str
    text: str


def fill_diagnosis(
    rows: Sequence[ChangedFeatures],
    labels: Sequence[str],
    test: Sequence[bool],
    groups: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Probe every row and say what it knows; a table for each of `MEASURES`. All but `rows` are per video.

    Returns [{"measure", "classes", "train", "test", "chance", "columns", "rows": [{"name", "values", "low", "high",
    "over_chance": {"mean", "low", "high"}, "lost": {variant: {"mean", "low", "high"}}, "left_out", "verdict": {"word",
    "text"}}]}]; numbers are shares of test videos, and `lost` is accuracy on ordinary clips minus that on changed ones.
    """
    classes = sorted(set(labels))
    number = {name: i for i, name in enumerate(classes)}
    is_test = torch.tensor(list(test))
    y = torch.tensor([number[label] for label in labels])
    train_y, test_y = y[~is_test], y[is_test]
    train_groups = None
    if groups is not None:
        of_group = {name: i for i, name in enumerate(sorted(set(groups)))}
        train_groups = torch.tensor([of_group[group] for group in groups])[~is_test]
    by_chance = (test_y == train_y.bincount().argmax()).double()
    tables = []
    for measure in MEASURES:
        filled = []
        for row in rows:
            with_scene = SCENE_ONLY not in row.left_out
            each = [_hits(measure, one, with_scene, is_test, train_y, test_y, train_groups, seed) for one in row.draws]
            hits = {variant: torch.stack([one[variant] for one in each]).mean(0) for variant in VARIANTS if variant in each[0]}
            filled.append(_row(row, hits, by_chance))
        facts = {"measure": measure, "classes": classes, "train": len(train_y), "test": len(test_y)}
        tables.append({**facts, "chance": by_chance.mean().item(), "columns": list(VARIANTS), "rows": filled})
    return tables


def judge(hits: Mapping[str, Float[Tensor, "m"]], by_chance: Float[Tensor, "m"]) -> Verdict:
    """Divide what is over chance into motion and scene by the rule in `RULE`.

    `hits` are, by variant, 1 for each test video that was named rightly and 0 for the others (or means of such over
    networks); `by_chance` are those of always naming the majority class.
    """
    ordinary = hits[ORDINARY]
    over = paired(ordinary - by_chance)
    begin = f"{_percent(ordinary)} right, chance {_percent(by_chance)}: {_points(over)} points over it"
    frozen = {variant: hits[variant] for variant in (FROZEN, SCENE_ONLY) if variant in hits}
    if over.low <= 0:
        return Verdict("not known", f"{begin}; {_MEANING['not known']}.")
    if not frozen:
        return Verdict("scene", f"{begin}: {_ONE_FRAME}.")
    if SCENE_ONLY not in frozen:
        return Verdict("by maps of motion", f"{begin}: {_MAPS}.{_order(hits)}")
    word = _word(ordinary, list(frozen.values()), by_chance)
    same, fitted = (_points(paired(ordinary - left)) for left in frozen.values())
    words = f"{begin}. Frozen, {same} of these are lost by the same probe, {fitted} by one fitted on frozen clips"
    words += f": {_MEANING[word]}."
    if word in ("scene", "mostly scene") and paired(frozen[FROZEN] - (ordinary + by_chance) / 2).high < 0:
        words += " Frozen clips look foreign to the probe of ordinary ones; one fitted on them finds the scene all the same."
    return Verdict(word, words + _order(hits))


def _order(hits: Mapping[str, Tensor]) -> str:
    words = ""
    for variant, cause in _CAUSE.items():
        if variant in hits:
            lost = paired(hits[ORDINARY] - hits[variant])
            shown = "matters" if lost.low > 0 else "is not shown to matter"
            words += f" {variant.capitalize()}, {_points(lost)} are lost: {cause} {shown}."
    return words


def _word(ordinary: Tensor, frozen: Sequence[Tensor], by_chance: Tensor) -> str:
    half = (ordinary + by_chance) / 2
    kept = [paired(left - half) for left in frozen]
    is_lost = all(paired(ordinary - left).low > 0 for left in frozen)
    is_left = any(paired(left - by_chance).low > 0 for left in frozen)
    if all(more.high < 0 for more in kept):
        return "mostly motion" if is_left else "motion"
    if any(more.low > 0 for more in kept):
        return "mostly scene" if is_lost else "scene"
    return "motion and scene" if is_lost and is_left else "undecided"


def _row(row: ChangedFeatures, hits: dict[str, Tensor], by_chance: Tensor) -> dict[str, Any]:
    values = {variant: hit.mean().item() for variant, hit in hits.items()}
    bounds = {variant: wilson(value, len(by_chance)) for variant, value in values.items()}
    return {
        "name": row.name,
        "values": values,
        "low": {variant: low for variant, (low, _) in bounds.items()},
        "high": {variant: high for variant, (_, high) in bounds.items()},
        "over_chance": asdict(paired(hits[ORDINARY] - by_chance)),
        "lost": {variant: asdict(paired(hits[ORDINARY] - hit)) for variant, hit in hits.items() if variant != ORDINARY},
        "left_out": row.left_out,
        "verdict": asdict(judge(hits, by_chance)),
    }


def _hits(
    measure: str,
    variants: dict[str, Tensor],
    with_scene: bool,
    is_test: Tensor,
    train_y: Int[Tensor, "n"],
    test_y: Int[Tensor, "m"],
    groups: Int[Tensor, "n"] | None,
    seed: int,
) -> dict[str, Tensor]:
    """Return for each variant which test videos are named rightly."""
    predict = _linear if measure == "linear" else _knn
    classes = int(max(train_y.max(), test_y.max())) + 1
    asked = {variant: features[is_test] for variant, features in variants.items()}
    named = predict(variants[ORDINARY][~is_test], train_y, asked, classes, groups, seed)
    if with_scene:
        named |= predict(variants[FROZEN][~is_test], train_y, {SCENE_ONLY: asked[FROZEN]}, classes, groups, seed)
    return {variant: (answer == test_y).double() for variant, answer in named.items()}


def _linear(
    train: Tensor, train_y: Tensor, asked: dict[str, Tensor], classes: int, groups: Tensor | None, seed: int
) -> dict[str, Tensor]:
    """Return the class that the linear probe of `evaluate` names, fitted once, for the videos of every variant."""
    probe = Linear(seed=seed).fit(train, train_y, classes, groups)
    return {v: probe.logits(x).argmax(1) for v, x in asked.items()}


def _knn(
    train: Tensor, train_y: Tensor, asked: dict[str, Tensor], classes: int, groups: Tensor | None, seed: int
) -> dict[str, Tensor]:
    """Return the class that the nearest training videos name, for the videos of every variant."""
    knn = Knn()
    return {v: knn_scores(train, train_y, x, classes, knn.k, knn.temperature).argmax(1) for v, x in asked.items()}


def _percent(hits: Tensor) -> str:
    return f"{100 * hits.mean().item():.1f} %"


def _points(difference: Difference) -> str:
    return f"{100 * difference.mean:.1f} ({100 * difference.low:.1f} to {100 * difference.high:.1f})"
