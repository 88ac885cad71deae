"""Vectors of length one."""

import torch.nn.functional as F
from torch import Tensor

from reelvec.core.shapes import Float


def unit(x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Bring each row to length one, in float32 also under autocast: cosines are compared at small temperatures."""
    return F.normalize(x.float(), dim=1)
