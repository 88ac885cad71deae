import pytest

from reelvec.core import Method, ReelvecError
from reelvec.data.loader import ClipLoader
from reelvec.engine import loop
from reelvec.engine.config import RunConfig
from reelvec.engine.loop import check_batch, sample_numbers


class Accumulating(Method):
    accumulates = True
    needs = step = after_step = embeddings = encoders = None


class Whole(Method):
    accumulates = False
    needs = step = after_step = embeddings = encoders = None


@pytest.mark.parametrize(("accumulate", "world"), [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_a_step_sees_every_number_of_its_batch_once(accumulate, world):
    config = RunConfig(method="x", batch=12, accumulate=accumulate)
    seen = [
        number for part in range(accumulate) for rank in range(world) for number in sample_numbers(5, part, config, rank, world)
    ]
    assert seen == list(range(60, 72))  # in the order of the processes, as gathering stacks them


def test_too_few_videos_for_the_batch():
    with pytest.raises(ReelvecError, match="12 usable videos"):
        check_batch(RunConfig(method="x", batch=32), Whole(), videos=12, world=1)


def test_a_batch_that_does_not_divide():
    with pytest.raises(ReelvecError, match="multiple of 6"):
        check_batch(RunConfig(method="x", batch=32, accumulate=2), Accumulating(), videos=100, world=3)


def test_accumulation_only_where_it_keeps_the_loss():
    config = RunConfig(method="x", batch=32, accumulate=2)
    check_batch(config, Accumulating(), videos=100, world=1)
    with pytest.raises(ReelvecError, match="another loss"):
        check_batch(config, Whole(), videos=100, world=1)


def test_pace_is_that_of_the_last_fifty_steps(monkeypatch):
    class Loader(ClipLoader):
        waiting_seconds = 0.0

        def __init__(self):
            pass

    now = 0.0
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now)
    pace = loop._Pace(clips_of_step=16, loader=Loader(), total=200)
    for step in range(100):
        now += 4.0 if step < 50 else 2.0
        Loader.waiting_seconds += 0.5
        pace.step()
        if step == 49:
            assert pace.report(50)["clips_per_second"] == 4
    assert pace.report(100) == {"clips_per_second": 8, "waiting_share": 0.25, "seconds_left": 200}
