"""What features are asked to follow: given in a video's first frame, judged in the others. The contract of the benchmarks.

`propagation` knows frames, maps and labels; what labels are made of, and what an answer is worth, each benchmark says:
`davis` (objects' masks), `jhmdb` (a body's joints), `vip` (a body's parts).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from reelvec.core.shapes import Float, Shaped, UInt8
from reelvec.evals.dense.frame_folders import FrameSequence
from reelvec.evals.dense.label_propagation import Preset

Truth = Shaped[Tensor, "..."]
"""what is where in a frame: numbers by pixel (h w), or places (joints 2), x and y in pixels"""


@runtime_checkable
class FollowedVideo(Protocol):
    """One video: what is given, what is asked, and what an answer is worth."""

    @property
    def sequence(self) -> FrameSequence:
        """Its frames."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its frames."""

    @property
    def notes(self) -> list[str]:
        """What a reader of the result has to know."""

    def truth(self, frame: int) -> Truth | None:
        """Return what is true in a frame, and in the first one is given; None where nobody has said."""

    def labels(
        self, truth: Truth, input_size: tuple[int, int], map_size: tuple[int, int], preset: Preset
    ) -> Float[Tensor, "k h w"]:
        """Turn what is true into soft labels at the map's size, on the device of `truth`."""

    def answer(self, labels: Float[Tensor, "k h w"], input_size: tuple[int, int], preset: Preset) -> Truth:
        """Turn soft labels into an answer of the form of `truth`."""

    def score(self, answers: Iterable[Truth]) -> Any:
        """Compare the answers for all frames in order with what is true; one at a time is asked for and let go."""

    def drawn(self, frame: int, answer: Truth | None) -> UInt8[np.ndarray, "h w 3"]:
        """Draw an answer over its frame."""


@runtime_checkable
class Benchmark(Protocol):
    """A data set and its measure. Scores are what its videos return; of several networks there is a list for each."""

    @property
    def videos(self) -> Sequence[FollowedVideo]:
        """In the order of the rows' sequences."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Keys of the rows' numbers, shares between 0 and 1; the first is what is said where there is room for one."""

    @property
    def kept(self) -> str:
        """Name of the row in which what is given of the first frame is said of every frame."""

    @property
    def title(self) -> str:
        """What the picture shows."""

    @property
    def protocol(self) -> Mapping[str, str]:
        """The measure, the intervals, the row `kept` and the ceiling in words."""

    def setting(self, preset: Preset, size: int | tuple[int, int] | None) -> tuple[Preset, int | tuple[int, int] | None]:
        """Return what the benchmark makes of a preset, and of the size that was asked for."""

    def in_words(self, preset: Preset, size: int | tuple[int, int] | None) -> str:
        """Say what `setting` returned."""

    def value(self, scores: Sequence[Any]) -> float:
        """Return the first of `numbers` for one network."""

    def row(self, draws: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Return `numbers`, the interval of the first ("low", "high") and details; means over networks."""

    def difference(self, ours: Sequence[Sequence[Any]], theirs: Sequence[Sequence[Any]]) -> dict[str, float | None]:
        """Return how much more the first number is, and its interval: "mean", "low", "high"."""
