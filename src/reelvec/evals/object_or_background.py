"""Object or background: the table and the verdict from what a frozen probe names of clips that were changed by masks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from reelvec.core.shapes import Float
from reelvec.evals.changed_clips import ORDINARY
from reelvec.evals.intervals import Difference, paired, wilson
from reelvec.evals.linear import Linear
from reelvec.evals.masked_clips import BACKGROUND_ONLY, FROZEN_ON_STRIPES, MASKED, ON_STRIPES, SWAP
from reelvec.evals.motion_diagnosis import Verdict

BACKGROUND_LABEL = "action swap: background's label"
"""the share of swapped clips that are named after the background"""
COLUMNS = (*MASKED, BACKGROUND_LABEL)
RULE = (
    "nothing is said unless ordinary clips are shown to be above chance (paired interval above 0). Of swapped clips, the label "
    "of the object or that of the background is followed where it is shown to be named more often than the other and than "
    "chance; 'object and background' where neither is and both are shown above chance. An object that is followed is a 'moving "
    "object' where stripes are shown above chance and more than half of the points over it are shown to be lost when frozen "
    "there. Else undecided. Shown = the 95 % interval says so"
)

_MEANING = {
    "not known": "these labels are not shown to be known, so there is nothing to divide into object and background",
    "moving object": "it follows the object, and with the object frozen more than half is gone: the object's motion",
    "object": "it follows the object, and it is not shown that the object's motion is more than half of it",
    "background": "it follows the background",
    "object and background": "both are named, and neither is shown to be named more often",
    "undecided": "the intervals do not say which of the two it follows",
}


@dataclass(frozen=True)
class MaskedFeatures:
    """One row of the diagnosis: features of the training videos, and of the test videos by variant of their clips."""

    name: str
    train: list[Float[Tensor, "n d"]]
    """several where several networks of a kind are averaged"""
    test: list[dict[str, Float[Tensor, "m d"]]]


def fill_masked(
    rows: Sequence[MaskedFeatures],
    train: Sequence[str],
    test: Sequence[str],
    others: Sequence[str],
    groups: Sequence[str | None] | None = None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Probe every row and say what it follows. `others` are labels of the backgrounds that objects of `test` are swapped to.

    Returns {"measure", "classes", "train", "test", "chance", "columns", "rows": [{"name", "values", "low", "high",
    "over_chance", "lost": {variant: difference}, "lost_with_motion", "contra", "object_over_background", "left_out",
    "verdict": {"word", "text"}}]}. Numbers are shares of test videos, differences {"mean", "low", "high"}: `lost` is ordinary
    minus changed, `lost_with_motion` the object on stripes minus the same frozen; `contra` is the share that is right on
    stripes and wrong when frozen there.
    """
    classes = sorted({*train, *test, *others})
    number = {name: i for i, name in enumerate(classes)}
    train_y, test_y, other_y = (torch.tensor([number[name] for name in side]) for side in (train, test, others))
    of_group = {name: i for i, name in enumerate(sorted({str(group) for group in groups or ()}))}
    train_groups = None if groups is None else torch.tensor([of_group[str(group)] for group in groups])
    majority = train_y.bincount().argmax()
    by_chance, others_by_chance = ((y == majority).double() for y in (test_y, other_y))
    filled = []
    for row in rows:
        each = []
        for x, asked in zip(row.train, row.test, strict=True):
            probe = Linear(seed=seed).fit(x, train_y, len(classes), train_groups)
            named = {variant: probe.logits(features).argmax(1) for variant, features in asked.items()}
            hits = {variant: (answer == test_y).double() for variant, answer in named.items()}
            each.append({**hits, BACKGROUND_LABEL: (named[SWAP] == other_y).double()})
        mean = {variant: torch.stack([one[variant] for one in each]).mean(0) for variant in COLUMNS}
        contra = torch.stack([one[ON_STRIPES] * (1 - one[FROZEN_ON_STRIPES]) for one in each]).mean()
        bounds = {variant: wilson(hit.mean().item(), len(hit)) for variant, hit in mean.items()}
        filled.append(
            {
                "name": row.name,
                "values": {variant: hit.mean().item() for variant, hit in mean.items()},
                "low": {variant: low for variant, (low, _) in bounds.items()},
                "high": {variant: high for variant, (_, high) in bounds.items()},
                "over_chance": asdict(paired(mean[ORDINARY] - by_chance)),
                "lost": {variant: asdict(paired(mean[ORDINARY] - mean[variant])) for variant in MASKED[1:]},
                "lost_with_motion": asdict(paired(mean[ON_STRIPES] - mean[FROZEN_ON_STRIPES])),
                "contra": contra.item(),
                "object_over_background": asdict(paired(mean[SWAP] - mean[BACKGROUND_LABEL])),
                "left_out": {},  # as in tables of `diagnose`: no variant is
                "verdict": asdict(judge_masked(mean, by_chance, others_by_chance)),
            }
        )
    facts = {"measure": "linear", "classes": classes, "train": len(train), "test": len(test)}
    return {**facts, "chance": by_chance.mean().item(), "columns": list(COLUMNS), "rows": filled}


def judge_masked(
    hits: Mapping[str, Float[Tensor, "m"]], by_chance: Float[Tensor, "m"], others_by_chance: Float[Tensor, "m"]
) -> Verdict:
    """Say by the rule in `RULE` whether object or background is followed.

    `hits` are, by column, 1 for each test video that was named rightly and 0 for the others (or means of such over networks);
    `by_chance` are those of always naming the majority class, and `others_by_chance` those for the labels of the backgrounds.
    """
    ordinary, striped, frozen = hits[ORDINARY], hits[ON_STRIPES], hits[FROZEN_ON_STRIPES]
    over, over_striped = paired(ordinary - by_chance), paired(striped - by_chance)
    begin = f"{_percent(ordinary)} right, chance {_percent(by_chance)}: {_points(over)} points over it"
    if over.low <= 0:
        return Verdict("not known", f"{begin}; {_MEANING['not known']}.")
    more = paired(hits[SWAP] - hits[BACKGROUND_LABEL])
    object_named = paired(hits[SWAP] - by_chance).low > 0
    background_named = paired(hits[BACKGROUND_LABEL] - others_by_chance).low > 0
    if object_named and more.low > 0:
        by_motion = over_striped.low > 0 and paired(frozen - (striped + by_chance) / 2).high < 0
        word = "moving object" if by_motion else "object"
    elif background_named and more.high < 0:
        word = "background"
    else:
        word = "object and background" if object_named and background_named else "undecided"
    still = f"; frozen there, {_points(paired(striped - frozen))} are lost" if over_striped.low > 0 else ""
    text = (
        f"{begin}. With the object on stripes {_points(over_striped)} are left{still}. The background alone leaves "
        f"{_points(paired(hits[BACKGROUND_ONLY] - by_chance))}. Swapped, {_percent(hits[SWAP])} are named after the object and "
        f"{_percent(hits[BACKGROUND_LABEL])} after the background: {_MEANING[word]}."
    )
    return Verdict(word, text)


def _percent(hits: Tensor) -> str:
    return f"{100 * hits.mean().item():.1f} %"


def _points(difference: Difference) -> str:
    return f"{100 * difference.mean:.1f} ({100 * difference.low:.1f} to {100 * difference.high:.1f})"
