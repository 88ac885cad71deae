"""What no network is needed for: pixels, colours, and the luck of the majority. Printed beside every encoder."""

import math
from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core.shapes import Float, Int

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
_BINS = 8


def pixel_vector(frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b d"]:
    """Average a clip in [0, 1] down to 4 x 16 x 16 in grey and 1 x 8 x 8 in colour: 1216 numbers, seen as they are."""
    grey = (frames * frames.new_tensor(_GREY).view(1, 3, 1, 1, 1)).sum(1, keepdim=True)
    parts = (F.adaptive_avg_pool3d(grey, (4, 16, 16)), F.adaptive_avg_pool3d(frames, (1, 8, 8)))
    return torch.cat([part.flatten(1) for part in parts], dim=1)


def colour_histogram(frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 512"]:
    """Shares of a clip's pixels in 8 x 8 x 8 bins of red, green, blue, as square roots.

    The cosine of two such vectors is the Bhattacharyya coefficient of the histograms. No place, no order, no motion.
    """
    level = (frames * _BINS).long().clamp(0, _BINS - 1).flatten(2)
    which = (level[:, 0] * _BINS + level[:, 1]) * _BINS + level[:, 2]
    counts = frames.new_zeros(len(frames), _BINS**3).scatter_add_(1, which, torch.ones_like(which, dtype=frames.dtype))
    return (counts / which.shape[1]).sqrt()


def majority_accuracy(train_labels: Int[Tensor, "n"], test_labels: Int[Tensor, "m"]) -> float:
    """Accuracy of always naming the most frequent class of the training videos (the first among equals)."""
    return (test_labels == train_labels.bincount().argmax()).double().mean().item()


def chance_recall(train_labels: Sequence[int], test_labels: Sequence[int], at: Sequence[int]) -> dict[str, float]:
    """Expected R@k of a random order of the gallery: 1 - C(n - n_class, k) / C(n, k), averaged over the queries."""
    gallery, queries, n = Counter(train_labels), Counter(test_labels), len(train_labels)
    expected = {}
    for k in at:
        deep = min(k, n)
        missed = {label: math.comb(n - gallery[label], deep) / math.comb(n, deep) for label in queries}
        expected[f"R@{k}"] = 1 - sum(count * missed[label] for label, count in queries.items()) / len(test_labels)
    return expected
