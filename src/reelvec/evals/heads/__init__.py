"""Measures that read clips and train on their labels: fine-tuning, attentive probes, the papers' linear recipes."""

from reelvec.evals.heads.clip_columns import Network, clip_outcomes
from reelvec.evals.heads.clip_eval import CLIP_EVALS, ClipEval

__all__ = ["CLIP_EVALS", "ClipEval", "Network", "clip_outcomes"]
