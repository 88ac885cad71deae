"""The rows of a matrix with the largest cosine to a vector: exact, and fast once a copy in 8 bits stands beside the matrix.

The cosine that counts is the one in float64 of the stored float32 numbers; rows of equal cosine come in the order of their
numbers. Faster arithmetic only says which rows cannot be among the wanted: every estimate has a proven bound on its error,
and a row is dropped when even the top of its interval lies under the bottoms of as many intervals as rows are wanted.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from reelvec.core import ReelvecError
from reelvec.core.shapes import Bool, Float, Int

_FEW = 1024
"""so many rows are compared in float64 straight away"""

_SMALL = 1 << 15
"""under so many rows a copy saves nothing that anybody would notice"""

_NARROW = 8
"""nor with so few numbers to a row; for rows of one number, torch 2.14 multiplies bytes wrongly"""

_BLOCK_BYTES = 1 << 20
"""of the matrix worked on at a time, so that a second look at it finds it in the processor's cache"""

_PRODUCT_ROWS = 1 << 20
_RUN = 1 << 10
"""rows of whose lower ends the largest stands for all: to choose among these few takes no time"""
_ARRAYS = 4
"""that stand in the cache together where estimates are worked on"""
_LEVELS = 127
_SAMPLE = 1 << 14
_NORMS = 1e-12, 1e15
"""norms whose squares float32 holds with all its digits; a row of another one is always compared in float64"""


class Nearest:
    """Looks for the nearest rows of a matrix, which is kept, not copied, until `shrink` is called."""

    def __init__(self, vectors: Float[np.ndarray, "n d"]) -> None:
        self.vectors = vectors
        self._copy: _Copy | None = None

    def shrink(self) -> bool:
        """Make the copy in 8 bits (n (d + 8) bytes; reads the matrix once), where it makes later searches faster.

        It does not for few rows, nor on processors without instructions for products of bytes. Returns whether it is there.
        """
        n, dim = self.vectors.shape
        if self._copy is None and n >= _SMALL and dim >= _NARROW and _bytes_are_exact(dim) and _bytes_are_faster(dim):
            self._copy = _Copy(self.vectors)
        return self.is_shrunk

    @property
    def is_shrunk(self) -> bool:
        """Whether the copy is there."""
        return self._copy is not None

    def find(self, vector: np.ndarray, many: int) -> tuple[Int[np.ndarray, "k"], Float[np.ndarray, "k"]]:
        """Return numbers and cosines (float64) of the `many` rows nearest to a vector (d,), nearest first; all if n is less.

        The cosine with a vector of zeros is 0. Raises ReelvecError for a vector of another length or not finite.
        """
        unit = self._unit(vector)
        many = min(many, len(self.vectors))
        rows = self._copy.candidates(unit, many) if self._copy else None
        if rows is None or len(rows) > len(self.vectors) // 4:
            rows = np.arange(len(self.vectors))  # the copy cannot tell them apart
        if len(rows) > max(_FEW, many):
            rows = _by_float32(self.vectors, rows, unit, many)
        cosines = exact_cosines(self.vectors, rows, unit)
        order = np.lexsort((rows, -cosines))[:many]
        return rows[order], cosines[order]

    def _unit(self, vector: np.ndarray) -> Float[np.ndarray, "d"]:
        given = np.asarray(vector, np.float64)
        dim = self.vectors.shape[1]
        if given.shape != (dim,) or not np.isfinite(given).all():
            there = f"vectors of {dim} finite numbers"
            raise ReelvecError(f"search with a vector of shape {np.shape(vector)}", there, "embed the query as these were")
        largest = np.abs(given).max(initial=0)
        scaled = given / largest if largest > 0 else given  # squares of the largest and the smallest floats are none
        return scaled / max(float(np.linalg.norm(scaled)), 1e-300)


def exact_cosines(
    vectors: Float[np.ndarray, "n d"], rows: Int[np.ndarray, "k"], unit: Float[np.ndarray, "d"]
) -> Float[np.ndarray, "k"]:
    """Return the cosines of some rows with a unit vector, in float64.

    A row is summed by itself, never by a matrix product: its cosine does not depend on which other rows are asked for, and
    equal rows get equal ones.
    """
    cosines = np.empty(len(rows))

    def compare(part: slice) -> None:
        block = vectors[rows[part]].astype(np.float64)
        norms = np.sqrt((block * block).sum(1))
        cosines[part] = np.divide((block * unit).sum(1), norms, out=np.zeros(len(block)), where=norms != 0)

    _in_blocks(compare, len(rows), vectors.shape[1])
    return np.clip(cosines, -1, 1)


def _by_float32(
    vectors: Float[np.ndarray, "n d"], rows: Int[np.ndarray, "k"], unit: Float[np.ndarray, "d"], many: int
) -> Int[np.ndarray, "_"]:
    """Return those of the rows that float32 cannot rule out: its cosine is off by less than `rounding`."""
    asked = unit.astype(np.float32)
    cosines, spread = np.empty(len(rows), np.float32), np.zeros(len(rows), np.float32)
    whole = len(rows) == len(vectors)

    def compare(part: slice) -> None:
        block = vectors[part] if whole else vectors[rows[part]]
        norms, strange = _norms(block)
        dots = np.einsum("nd,d->n", block, asked)
        cosines[part] = np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)
        spread[part][strange] = np.inf

    _in_blocks(compare, len(rows), vectors.shape[1])
    return rows[_possible(cosines, spread, rounding(vectors.shape[1]), many)]


def _mean_unit(sample: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "d"]:
    """Return the mean of the rows over their norms; rows of no norm count as zeros."""
    norms, strange = _norms(sample)
    units = np.where(strange[:, None], 0, sample) / np.where(norms > 0, norms, 1)[:, None]
    return units.mean(0, dtype=np.float64).astype(np.float32)


def _norms(block: Float[np.ndarray, "k d"]) -> tuple[Float[np.ndarray, "k"], Bool[np.ndarray, "k"]]:
    """Return the norms in float32, 0 where that cannot hold them, and which rows these are; a row of zeros is not."""
    with np.errstate(all="ignore"):
        norms = np.sqrt(np.einsum("nd,nd->n", block, block))
        plain = (norms >= _NORMS[0]) & (norms <= _NORMS[1])
    strange = ~plain
    if strange.any():
        strange[strange] = (block[strange] != 0).any(1)
    return np.where(plain, norms, 0), strange


def _in_blocks(work: Callable[[slice], None], rows: int, dim: int) -> None:
    """Call `work` with slices of so many rows, in as many threads as torch may use.

    NumPy's own loops leave the lock and start no threads, so that a block stays in the cache of the core that works on it.
    """
    step = max(1, _BLOCK_BYTES // (4 * max(1, dim)))

    def quietly(first: int) -> None:
        with np.errstate(all="ignore"):  # what overflows is found by its norm
            work(slice(first, first + step))

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for _ in threads.map(quietly, range(0, rows, step)):
            pass


def rounding(dim: int) -> float:
    """Bound what float32 loses in a cosine of `dim` numbers, whatever the order of its sums.

    With u = 2^-24, a sum of d products is off by at most d u / (1 - d u) times the sum of their sizes, which for unit vectors
    is at most 1 (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). A cosine holds two such sums (product
    and norm), the copy's bound a third (the norm of what is left over), and each a dozen single roundings: 4 (d + 16) u is
    more than all of them.
    """
    return 4 * (dim + 16) * 2.0**-24


def _possible(
    estimates: Float[np.ndarray, "k"], spread: Float[np.ndarray, "k"], more: float, many: int
) -> Int[np.ndarray, "_"]:
    """Return the places that can be among the `many` largest, if each is within its spread and `more` of its estimate.

    `many` values are at least as large as the many-th largest of all lower ends, so one whose upper end is lower is not
    among them. The many-th largest of what is largest in each run of rows is no higher than that, as these are different
    rows: with it few are left to choose among, and of them all that the rule by all rows would leave.
    """
    run = max(1, min(_RUN, len(estimates) // many))
    largest = np.empty(len(estimates) // run, np.float32)
    passes = np.empty(len(estimates), bool)

    def look_for_largest(runs: slice) -> None:
        rows = slice(runs.start * run, min(runs.stop, len(largest)) * run)
        largest[runs] = (estimates[rows] - spread[rows]).reshape(-1, run).max(1)

    _in_blocks(look_for_largest, len(largest), _ARRAYS * run)
    enough = _many_th_largest(largest, many) - np.float32(2 * more)

    def compare(rows: slice) -> None:
        passes[rows] = estimates[rows] + spread[rows] >= enough

    _in_blocks(compare, len(estimates), _ARRAYS)
    left = np.flatnonzero(passes)
    enough = _many_th_largest(estimates[left] - spread[left], many) - np.float32(2 * more)
    return left[estimates[left] + spread[left] >= enough]


def _many_th_largest(values: Float[np.ndarray, "k"], many: int) -> np.float32:
    place = len(values) - many
    return np.float32(np.partition(values, place)[place])


class _Copy:
    """The unit rows less their common part, in 8 bits, with what is lost of each.

    For a row of norm 1 let x = m + s k + e: m the mean over rows, k whole numbers of -127 to 127, s a step, e the rest. For the
    query likewise q = t j + f, without a mean. Then

        q.x = q.m + s t (j.k) + f.(s k) + q.e     and so, as |q| = 1,     |q.x - q.m - s t (j.k)| <= |f| |s k| + |e|

    by Cauchy and Schwarz. j.k is a sum of whole numbers and exact; s and |e| are stored for each row, |f| is known with the
    query, and the largest |s k| stands for all of them. It holds for whatever k; rounding to the nearest makes |e| small, about
    s (d / 12)^(1/2). Taking out the mean makes s small where all vectors point the same way, as an encoder's features often do.
    """

    def __init__(self, vectors: Float[np.ndarray, "n d"]) -> None:
        n, dim = vectors.shape
        self.rounding = rounding(dim)
        self.numbers = torch.empty(n, dim, dtype=torch.int8)
        self.steps, self.lost, lengths = (np.empty(n, np.float32) for _ in range(3))
        mean = _mean_unit(vectors[:: -(-n // _SAMPLE)])
        numbers, steps, lost = self.numbers.numpy(), self.steps, self.lost

        def fill(part: slice) -> None:
            norms, strange = _norms(vectors[part])
            inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)[:, None]
            plain = np.where(strange[:, None], 0, vectors[part]) if strange.any() else vectors[part]
            units = plain * inverse
            units -= mean
            steps[part] = np.maximum(np.maximum(units.max(1), -units.min(1)) / _LEVELS, 1e-20)
            units *= 1 / steps[part, None]
            whole = np.rint(units)
            numbers[part] = whole
            units -= whole
            lengths[part] = np.sqrt(np.einsum("nd,nd->n", whole, whole)) * steps[part]
            lost[part] = np.where(strange, np.inf, np.sqrt(np.einsum("nd,nd->n", units, units)) * steps[part])

        _in_blocks(fill, n, dim)
        self.longest = float(lengths.max())

    def candidates(self, unit: Float[np.ndarray, "d"], many: int) -> Int[np.ndarray, "_"]:
        """Return the rows that can be among the `many` nearest; `unit` has norm 1."""
        return _possible(*self.estimate(unit), many)

    def estimate(self, unit: Float[np.ndarray, "d"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"], float]:
        """Return s t (j.k), and what bounds its error: |e| of each row, and |f| |s k| with all rounding.

        q.m is left out: it is the same for all rows.
        """
        step = max(np.abs(unit).max() / _LEVELS, 1e-20)
        levels = np.round(unit / step)
        missed = float(np.linalg.norm(unit - step * levels))
        query = torch.from_numpy(levels.astype(np.int8))[None]
        estimates = np.empty(len(self.numbers), np.float32)
        with torch.inference_mode():
            for first in range(0, len(estimates), _PRODUCT_ROWS):
                rows = slice(first, first + _PRODUCT_ROWS)
                product = torch._int_mm(query, self.numbers[rows].t())[0].numpy()
                _scale(product, self.steps[rows], np.float32(step), estimates[rows])
        return estimates, self.lost, missed * self.longest + self.rounding


def _scale(product: Int[np.ndarray, "k"], steps: Float[np.ndarray, "k"], step: np.float32, out: Float[np.ndarray, "k"]) -> None:
    """Write the products times both steps into `out`, block by block and in float32."""

    def scale(part: slice) -> None:
        np.multiply(product[part], steps[part], out=out[part], dtype=np.float32, casting="unsafe")
        np.multiply(out[part], step, out=out[part])

    _in_blocks(scale, len(product), _ARRAYS)


def _bytes_are_exact(dim: int) -> bool:
    """Whether torch multiplies bytes here (by oneDNN), rightly for any numbers and for the largest.

    A processor without instructions for it may add pairs of products in 16 bits, which the largest ones overflow.
    """
    rows = torch.arange(64 * dim, dtype=torch.int64).mul_(2654435761).remainder_(2 * _LEVELS + 1).sub_(_LEVELS).view(64, dim)
    rows[:2] = torch.tensor([[_LEVELS], [-_LEVELS]])
    as_bytes = rows.to(torch.int8)
    try:
        products = [torch._int_mm(as_bytes[i : i + 1], as_bytes.t())[0] for i in range(4)]
    except (AttributeError, RuntimeError):
        return False
    return dim * _LEVELS**2 < 2**31 and all(torch.equal(products[i].long(), rows @ rows[i]) for i in range(4))


def _bytes_are_faster(dim: int) -> bool:
    """Whether torch multiplies bytes here in less time than NumPy compares floats in."""
    rows = torch.full((1 << 16, dim), _LEVELS, dtype=torch.int8)
    floats = rows.float().numpy()
    by_bytes = _fastest(lambda: torch._int_mm(rows[:1], rows.t()))
    return by_bytes < _fastest(lambda: _by_float32(floats, np.arange(len(floats)), floats[0], 1))


def _fastest(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
