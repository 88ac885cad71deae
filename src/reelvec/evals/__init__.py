"""Measures of frozen features. They know encoders and data, no method and no trainer."""

from reelvec.evals.evaluate import evaluate
from reelvec.evals.knn import Knn
from reelvec.evals.labels import Labels, read_labels
from reelvec.evals.linear import Linear
from reelvec.evals.retrieval import Retrieval
from reelvec.evals.table import EVALS, Eval, Features, fill_table

__all__ = ["EVALS", "Eval", "Features", "Knn", "Labels", "Linear", "Retrieval", "evaluate", "fill_table", "read_labels"]
