"""Shapes in signatures: jaxtyping where it is installed (tests, development), plain annotations elsewhere.

Letters: b videos of a batch, n clips of a video, c channels, t time, h height, w width, d features, k queue or
prototypes. A user's installation does not need jaxtyping; the test run installs it and checks every call.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or find_spec("jaxtyping"):
    from jaxtyping import Bool, Float, Int, Shaped, UInt8
else:

    class _Unchecked:
        """`Float[Tensor, "b d"]` is just `Tensor` where jaxtyping is absent."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Float = Int = Shaped = UInt8 = _Unchecked

__all__ = ["Bool", "Float", "Int", "Shaped", "UInt8"]
