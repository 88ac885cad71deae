"""BYOL's regression of one view's projection from another's (Grill et al. 2020, equation 2)."""

from torch import Tensor

from reelvec.core.shapes import Float
from reelvec.parts.full_precision import full_precision


@full_precision
def byol(prediction: Float[Tensor, "b d"], key: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """Compute the mean of |p - k|^2 = 2 - 2 p.k over the batch; inputs have unit length.

    The rho study writes -(1/t) p.k with t = 0.5: the same but for the constant 2.
    """
    return (2 - 2 * (prediction * key).sum(1)).mean()
