"""Measures of maps, place by place: masks carried along a video, what maps look at, boxes and what is in them."""

from reelvec.evals.dense.class_maps import class_maps
from reelvec.evals.dense.detection import detection
from reelvec.evals.dense.localisation import localisation
from reelvec.evals.dense.propagation import propagation

__all__ = ["class_maps", "detection", "localisation", "propagation"]
