"""What is found is what float64 finds row by row, whatever the vectors are like."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reelvec.core import ReelvecError
from reelvec.embeddings.nearest import Nearest, exact_cosines, rounding

nearest_module = sys.modules["reelvec.embeddings.nearest"]

KINDS = ("random", "directions", "ties", "same", "features", "scales", "zeros", "one hot", "strange")


def make(kind: str, n: int, dim: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim))
    near = rng.standard_normal((1, dim))
    match kind:
        case "directions":  # ten clusters, tight ones
            vectors = rng.standard_normal((10, dim))[rng.integers(0, 10, n)] + 1e-3 * vectors
        case "ties":  # a few of the last bits apart, and copies
            vectors = near + 1e-7 * vectors * rng.integers(0, 2, (n, 1))
        case "same":
            vectors = np.repeat(near, n, 0)
        case "features":  # as networks give them: not negative, most of them near 0, all pointing the same way
            vectors = np.exp(vectors) * np.exp(2 * near)
        case "scales":
            vectors *= 10.0 ** rng.integers(-35, 35, (n, 1))
        case "zeros":
            vectors[rng.integers(0, 3, n) > 0] = 0
        case "one hot":
            vectors = np.eye(dim)[rng.integers(0, dim, n)] + 1e-3 * vectors
        case "strange":
            vectors *= 10.0 ** rng.choice([0, 0, 0, -44, -20, 30, 37], (n, 1))
    return vectors.astype(np.float32)


def slow(vectors: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One row after the other in float64; order and cosines of all."""
    query = query.astype(np.float64)
    query = query / np.abs(query).max() if query.any() else query
    unit = query / max(float(np.linalg.norm(query)), 1e-300)
    cosines = []
    for row in vectors.astype(np.float64):
        norm = np.sqrt((row * row).sum())
        cosines.append((row * unit).sum() / norm if norm else 0.0)
    values = np.clip(cosines, -1, 1)
    return np.lexsort((np.arange(len(values)), -values)), values


@pytest.fixture(autouse=True)
def every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the copy and the pass in float32 have their turn with few rows."""
    monkeypatch.setattr(nearest_module, "_SMALL", 1)
    monkeypatch.setattr(nearest_module, "_FEW", 4)
    monkeypatch.setattr(nearest_module, "_BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(nearest_module, "_PRODUCT_ROWS", 100)
    monkeypatch.setattr(nearest_module, "_bytes_are_faster", lambda dim: True)


@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 300),
    dim=st.sampled_from([1, 2, 3, 8, 17, 64, 130]),
    seed=st.integers(0, 2**32 - 1),
    many=st.sampled_from([1, 3, 10, 400]),
    of_the_table=st.booleans(),
    shrunk=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_what_is_found_is_what_float64_finds(
    kind: str, n: int, dim: int, seed: int, many: int, of_the_table: bool, shrunk: bool
) -> None:
    vectors = make(kind, n, dim, seed)
    query = vectors[seed % n] if of_the_table else make("random", 1, dim, seed + 1)[0]
    nearest = Nearest(vectors)
    if shrunk:
        assert nearest.shrink() == (dim >= 8)
    rows, cosines = nearest.find(query, many)
    order, values = slow(vectors, query)
    assert rows.tolist() == order[:many].tolist()
    assert cosines.tolist() == values[order[:many]].tolist()


@given(
    kind=st.sampled_from([kind for kind in KINDS if kind != "strange"]),
    dim=st.sampled_from([8, 17, 130, 700]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_the_bounds_hold_for_every_row(kind: str, dim: int, seed: int) -> None:
    vectors = make(kind, 100, dim, seed)
    query = make("features" if seed % 2 else "random", 1, dim, seed + 1)[0]
    nearest = Nearest(vectors)
    nearest.shrink()
    copy = nearest._copy
    assert copy is not None
    unit = nearest._unit(query)
    estimates, lost, more = copy.estimate(unit)
    mean = nearest_module._mean_unit(vectors).astype(np.float64)
    true = exact_cosines(vectors, np.arange(100), unit)
    assert (np.abs(true - unit @ mean - estimates) <= lost.astype(np.float64) + more).all()
    if kind != "scales":  # no row of these is strange, so the bound says something
        assert lost.max() < 0.2
    plain, strange = nearest_module._norms(vectors)
    ok = ~strange & (plain > 0)
    in_float32 = (vectors[ok] @ unit.astype(np.float32)) / plain[ok]
    assert (np.abs(true[ok] - in_float32) <= rounding(dim)).all()


@given(
    n=st.integers(1, 5000),
    many=st.sampled_from([1, 2, 10, 700]),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([3, 1000]),
    run=st.sampled_from([1, 7, 1024]),
)
@settings(max_examples=100, deadline=None)
def test_runs_of_rows_leave_what_a_look_at_all_rows_does(n: int, many: int, seed: int, levels: int, run: int) -> None:
    """The plain rule: sort all lower ends. Ties, rows of unknown spread, and neighbours that stand side by side included."""
    rng = np.random.default_rng(seed)
    estimates = (rng.integers(0, levels, n) / levels).astype(np.float32)
    estimates = np.sort(estimates) if seed % 2 else estimates
    spread = np.where(rng.random(n) < 0.01, np.inf, rng.random(n) / 100).astype(np.float32)
    many, more = min(many, n), 1e-3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest_module, "_RUN", run)
        got = nearest_module._possible(estimates, spread, more, many)
    enough = np.sort(estimates - spread)[n - many] - np.float32(2 * more)
    assert got.tolist() == np.flatnonzero(estimates + spread >= enough).tolist()


@given(n=st.integers(1, 900), dim=st.sampled_from([8, 17, 130]), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_estimates_are_the_plain_product(n: int, dim: int, seed: int) -> None:
    nearest = Nearest(make("random", n, dim, seed))
    nearest.shrink()
    copy = nearest._copy
    assert copy is not None
    unit = nearest._unit(make("random", 1, dim, seed + 1)[0])
    step = np.abs(unit).max() / 127
    plain = copy.numbers.numpy().astype(np.float64) @ np.round(unit / step) * copy.steps * step
    np.testing.assert_allclose(copy.estimate(unit)[0], plain, rtol=1e-6, atol=1e-12)


def test_the_copy_leaves_few_to_compare_and_gives_up_where_it_cannot() -> None:
    spread, tight = make("random", 4000, 128, 0), make("ties", 4000, 128, 0)
    for vectors, few in ((spread, True), (tight, False)):
        nearest = Nearest(vectors)
        nearest.shrink()
        assert nearest._copy is not None
        left = len(nearest._copy.candidates(nearest._unit(vectors[5]), 10))
        assert (left < 200) == few
        assert nearest.find(vectors[5], 10)[0].tolist() == slow(vectors, vectors[5])[0][:10].tolist()


def test_a_common_part_of_all_vectors_is_taken_out() -> None:
    """With it the steps would be ten times as wide, and so the bound."""
    apart = make("random", 2000, 64, 0)
    together = apart + 100 * make("random", 1, 64, 1)
    lost = []
    for vectors in (apart, together):
        nearest = Nearest(vectors)
        nearest.shrink()
        assert nearest._copy is not None
        lost.append(nearest._copy.lost.mean())
    assert lost[1] < lost[0] / 5


@pytest.mark.parametrize("wrong", ["saturating", "absent"])
def test_without_exact_products_of_bytes_there_is_no_copy(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if wrong == "absent":
            raise RuntimeError("not implemented for this device")
        return (a.int() @ b.int()).clamp(-32768, 32767)

    monkeypatch.undo()
    monkeypatch.setattr(nearest_module, "_SMALL", 1)
    monkeypatch.setattr(nearest_module, "_bytes_are_faster", lambda dim: True)
    monkeypatch.setattr(torch, "_int_mm", products)
    vectors = make("random", 500, 32, 0)
    nearest = Nearest(vectors)
    assert not nearest.shrink()
    assert nearest.find(vectors[3], 5)[0].tolist() == slow(vectors, vectors[3])[0][:5].tolist()


def test_few_rows_get_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert not Nearest(make("random", 500, 32, 0)).shrink()


def test_bad_vectors() -> None:
    nearest = Nearest(make("random", 20, 8, 0))
    for vector in (np.zeros(7), np.zeros((1, 8)), np.full(8, np.nan), np.array([np.inf] + 7 * [0])):
        with pytest.raises(ReelvecError, match="vectors of 8 finite numbers"):
            nearest.find(vector, 3)
