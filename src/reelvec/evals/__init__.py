"""Measures of frozen features. They know encoders and data, no method and no trainer."""

from reelvec.evals.compare import compare
from reelvec.evals.dense import class_maps, detection, localisation, propagation
from reelvec.evals.diagnose import diagnose
from reelvec.evals.evaluate import evaluate
from reelvec.evals.fewshot import Fewshot
from reelvec.evals.heads import CLIP_EVALS
from reelvec.evals.health import health
from reelvec.evals.knn import Knn
from reelvec.evals.labels import Labels, read_labels
from reelvec.evals.linear import Linear
from reelvec.evals.lowshot import Lowshot
from reelvec.evals.mask_diagnosis import diagnose_masks
from reelvec.evals.pair_similarity import pair_similarity
from reelvec.evals.plan import Plan
from reelvec.evals.retrieval import Retrieval
from reelvec.evals.similarity import Similarity
from reelvec.evals.table import EVALS, Eval, Features, fill_table

__all__ = [
    "CLIP_EVALS",
    "EVALS",
    "Eval",
    "Features",
    "Fewshot",
    "Knn",
    "Labels",
    "Linear",
    "Lowshot",
    "Plan",
    "Retrieval",
    "Similarity",
    "class_maps",
    "compare",
    "detection",
    "diagnose",
    "diagnose_masks",
    "evaluate",
    "fill_table",
    "health",
    "localisation",
    "pair_similarity",
    "propagation",
    "read_labels",
]
