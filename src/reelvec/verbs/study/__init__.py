"""Studies: small experiments that put a published claim to the test. A file in studies/ says what; this room does it."""

from reelvec.verbs.study.plan import CHANCE, COLUMNS, UNTRAINED, Arm, Budget, Claim, Study, find_study, list_studies, unseen
from reelvec.verbs.study.run import run_study
from reelvec.verbs.study.table import results_page
from reelvec.verbs.study.verdict import judge, paired_difference

__all__ = [
    "CHANCE",
    "COLUMNS",
    "UNTRAINED",
    "Arm",
    "Budget",
    "Claim",
    "Study",
    "find_study",
    "judge",
    "list_studies",
    "paired_difference",
    "results_page",
    "run_study",
    "unseen",
]
