"""The planner: what is measured on four videos foretells a larger batch; the batch gives way last."""

import pytest

from reelvec.core import Encoder, ReelvecError
from reelvec.engine.config import OptimiserConfig
from reelvec.engine.memory import StepMemory, _Kept, encoders_have_batch_norm, fit, measure_step, read_bytes
from tests.methods.conftest import make_batch, small_method

GB = 2**30
STEP = StepMemory(fixed=GB / 1.3, outside=GB / 1.3 / 100, inside=GB / 1.3 / 10, clip_inside=GB / 1.3 / 20)
"""with slack: 1 GiB, and for each video 0.01 outside and 0.1 inside, in two clips"""


@pytest.mark.parametrize(
    ("text", "amount"), [("24GB", 24 * GB), ("24 GiB", 24 * GB), ("1.5g", 1.5 * GB), ("500M", 500 * 2**20), ("4096", 4096)]
)
def test_amounts_are_read(text, amount):
    assert read_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "lots", "-3GB", "0GB", "3 apples"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ReelvecError, match="24GB"):
        read_bytes(text)


def test_a_batch_that_fits_stays():
    assert fit(STEP, 64, 24 * GB, batch_norm=True)[:2] == (64, None)
    assert STEP.needed(STEP.largest_batch(24 * GB), None) <= 24 * GB < STEP.needed(STEP.largest_batch(24 * GB) + 1, None)


def test_a_batch_that_does_not_fit_goes_in_chunks():
    batch, chunk, why = fit(STEP, 256, 24 * GB, batch_norm=True)
    assert batch == 256
    assert STEP.needed(256, chunk) <= 24 * GB < STEP.needed(256, chunk + 1)
    assert "chunk=" in why
    assert "batch norms" in why


def test_a_batch_shrinks_only_where_chunks_do_not_help():
    batch, chunk, why = fit(STEP, 4096, 24 * GB, batch_norm=True)
    assert chunk == 8
    assert STEP.needed(batch, 8) <= 24 * GB < STEP.needed(batch + 1, 8)
    assert "learning rate" in why
    assert fit(STEP, 64, round(1.3 * GB), batch_norm=True)[:2] == (2, None)  # no room for a chunk of 8
    with pytest.raises(ReelvecError, match="smaller encoder"):
        fit(STEP, 64, GB, batch_norm=True)


@pytest.mark.parametrize("name", ["rho_moco", "modist", "v3s", "tcgl"])
def test_four_videos_foretell_more(name):
    def kept(videos: int) -> _Kept:
        method = small_method(name)
        return _Kept(method, make_batch(method.needs(), videos), "fp32")

    method = small_method(name)
    step = measure_step(method, lambda videos: make_batch(method.needs(), videos), OptimiserConfig(name="adamw"), "fp32")
    there = kept(8)
    grown = there.bytes - kept(4).bytes
    assert 4 * (step.inside + step.outside) == pytest.approx(grown, rel=0.1)
    assert sum(there.inside.values()) == pytest.approx(8 * step.inside, rel=0.1)
    weights = sum(4 * p.numel() for p in method.parameters() if p.requires_grad)
    assert step.fixed >= 4 * weights  # themselves, their gradients, two numbers of the optimiser
    assert encoders_have_batch_norm(method)


def test_what_chunks_save_is_what_was_counted_inside():
    method = small_method("rho_simclr")
    batch = make_batch(method.needs(), 8)
    step = measure_step(method, lambda videos: make_batch(method.needs(), videos), OptimiserConfig(), "fp32")
    whole = _Kept(method, batch, "fp32").bytes
    for module in method.modules():
        if isinstance(module, Encoder):
            module.chunk = 2
    in_chunks = _Kept(method, batch, "fp32").bytes
    assert whole - in_chunks == pytest.approx(8 * step.inside, rel=0.1)
    assert in_chunks < whole / 2
