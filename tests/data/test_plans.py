"""Order and draws as functions of (seed, sample number)."""

import pickle
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelvec.core import Needs, Stream, StreamNeed, Times, sample_generator
from reelvec.data.clips import draw_starts
from reelvec.data.plans import EvenPlan, TrainingPlan

sys.path.insert(0, str(Path(__file__).parent))
from odd_readers import NEEDS, PretendIndex


def rows_of(plan: TrainingPlan, numbers) -> list[int]:
    return [plan.request(number, 0).row for number in numbers]


class TestTrainingPlan:
    @settings(max_examples=30)
    @given(st.integers(1, 40), st.integers(0, 5), st.integers(0, 1000))
    def test_every_epoch_has_every_video_once(self, videos, epoch, seed):
        plan = TrainingPlan(PretendIndex(videos), NEEDS, seed)
        assert sorted(rows_of(plan, range(epoch * videos, (epoch + 1) * videos))) == list(range(videos))

    def test_orders_of_epochs_and_seeds_differ(self):
        index = PretendIndex(50)
        plan = TrainingPlan(index, NEEDS, 0)
        first, second = rows_of(plan, range(50)), rows_of(plan, range(50, 100))
        assert len({tuple(first), tuple(second), tuple(rows_of(TrainingPlan(index, NEEDS, 1), range(50)))}) == 3
        assert first != sorted(first)

    def test_a_request_does_not_depend_on_earlier_ones(self):
        used, fresh = (TrainingPlan(PretendIndex(9), NEEDS, 3) for _ in range(2))
        for number in (70, 4, 13, 0):
            used.request(number, 0)
        assert used.request(21, 2) == fresh.request(21, 2)

    def test_crosses_a_process_border(self):
        plan = TrainingPlan(PretendIndex(9), NEEDS, 3)
        assert pickle.loads(pickle.dumps(plan)).request(12, 0) == plan.request(12, 0)

    def test_starts_follow_the_rule_of_the_needs(self):
        needs = NEEDS.model_copy(update={"clips": 3, "times": Times(rule="spread")})
        request = TrainingPlan(PretendIndex(9), needs, 3).request(5, 0)
        span = 4 * 2 / 24
        wanted = draw_starts(needs.times, 3, 2.0, span, sample_generator(3, 5, "times"))
        assert request.start_seconds == tuple(wanted.tolist())

    def test_the_same_video_has_other_clips_in_another_epoch(self):
        plan = TrainingPlan(PretendIndex(1), NEEDS, 0)
        assert plan.request(0, 0).start_seconds != plan.request(1, 0).start_seconds

    def test_takes_the_rows_it_is_given(self):
        plan = TrainingPlan(PretendIndex(9), NEEDS, 0, rows=[7, 2])
        assert len(plan) == 2
        assert set(rows_of(plan, range(2))) == {2, 7}

    def test_takes_what_can_be_read_and_offers_every_stream(self):
        index = PretendIndex(6, broken=[1], without_vectors=[2, 3])
        assert TrainingPlan(index, NEEDS, 0).rows.tolist() == [0, 2, 3, 4, 5]
        vectors = Needs(streams=(StreamNeed(stream=Stream.MOTION_VECTORS, frames=4, stride=2),))
        assert TrainingPlan(index, vectors, 0).rows.tolist() == [0, 4, 5]

    @pytest.mark.parametrize("videos", [1, 2, 3, 4, 6, 12, 30, 97, 100])
    def test_replacements_give_every_other_video_its_turn(self, videos):
        plan = TrainingPlan(PretendIndex(videos), NEEDS, 0)
        rows = [plan.request(0, attempt).row for attempt in range(videos)]
        assert sorted(rows) == list(range(videos))

    def test_replacements_are_not_in_the_batch_already(self):
        plan = TrainingPlan(PretendIndex(1000), NEEDS, 0)
        batch = range(500, 564)
        rows = [plan.request(number, attempt).row for attempt in range(4) for number in batch]
        assert len(set(rows)) == len(rows)


class TestEvenPlan:
    def test_every_video_once_in_order(self):
        plan = EvenPlan(PretendIndex(4, broken=[1]), NEEDS, clips=3)
        assert [plan.request(number, 0).row for number in range(len(plan))] == [0, 2, 3]

    def test_clips_lie_evenly_from_the_beginning_to_the_end(self):
        starts = EvenPlan(PretendIndex(4), NEEDS, rows=[3], clips=4).request(0, 0).start_seconds
        assert starts[0] == 0
        assert starts[-1] == pytest.approx(2 - 8 / 24)
        assert np.ptp([b - a for a, b in pairwise(starts)]) < 1e-12

    def test_a_broken_file_is_left_out(self):
        assert EvenPlan(PretendIndex(4), NEEDS).request(2, 1) is None
