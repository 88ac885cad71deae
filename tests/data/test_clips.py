"""Times of clips: bounds for any input (hypothesis), distributions against their formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelvec.core import ReelvecError, Times, sample_generator
from reelvec.data.clips import clip_seconds, decreasing_distance, draw_starts, even_starts, frames_at

RULES = ("anywhere", "near", "apart", "decreasing", "same", "sequence", "spread")
DRAWS = 1500
KS_LIMIT = 1.95 / np.sqrt(DRAWS)
"""largest distance to the true distribution function that chance alone passes once in a thousand (Kolmogorov)"""


def draw(times: Times, clips: int, duration: float, span: float, draws: int = DRAWS) -> np.ndarray:
    """Starts of many samples (draws, clips)."""
    generators = (sample_generator(0, number, "times") for number in range(draws))
    return np.stack([draw_starts(times, clips, float(duration), float(span), rng) for rng in generators])


def ks_distance(values: np.ndarray, distribution) -> float:
    """Largest distance of the empirical distribution function of values to the true one."""
    values, n = np.sort(values), len(values)
    true = distribution(values)
    return float(max((np.arange(1, n + 1) / n - true).max(), (true - np.arange(n) / n).max()))


def uniform_on(low: float, high: float):
    return lambda x: np.clip((x - low) / (high - low), 0, 1)


class TestFramesAt:
    def test_a_frame_stays_until_the_next(self):
        frames = np.array([0.0, 0.1, 0.5, 0.6])  # variable rate
        assert frames_at(frames, 1.0, np.array([0.0, 0.09, 0.1, 0.49, 0.5, 0.55, 0.6, 0.99])).tolist() == [
            *(0, 0, 1, 1, 2, 2, 3, 3)
        ]

    def test_times_past_the_end_wrap(self):
        frames = np.arange(4) / 4
        assert frames_at(frames, 1.0, clip_seconds(0.5, 8, 0.25)).tolist() == [2, 3, 0, 1, 2, 3, 0, 1]

    def test_a_last_frame_that_stays_long(self):
        assert frames_at(np.array([0.0, 0.1]), 10.0, np.array([9.9, 10.05, 10.15])).tolist() == [1, 0, 1]

    def test_a_still_picture_has_one_frame_at_all_times(self):
        assert frames_at(np.array([0.0]), 0.0, np.array([0.0, 3.0])).tolist() == [0, 0]
        assert frames_at(np.array([0.0]), 0.04, np.array([0.0, 0.04, 3.0])).tolist() == [0, 0, 0]

    @given(
        rate=st.sampled_from([10.0, 12.5, 15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0, 240.0]),
        first=st.integers(0, 500),
        stride=st.integers(1, 12),
        loops=st.integers(0, 3),
    )
    def test_a_clip_at_the_native_rate_takes_every_stride_th_frame_in_spite_of_rounding(self, rate, first, stride, loops):
        frames = 600
        times = np.arange(frames) / rate
        start = first / rate + loops * frames / rate
        wanted = (first + stride * np.arange(16)) % frames
        assert frames_at(times, frames / rate, clip_seconds(start, 16, stride / rate)).tolist() == wanted.tolist()

    @given(
        steps=st.lists(st.integers(1, 400), min_size=1, max_size=40),
        seconds=st.lists(st.floats(0, 1000), min_size=1, max_size=20),
    )
    def test_equals_a_walk_through_the_frames(self, steps, seconds):
        ends = np.cumsum(steps) / 1000
        begins = np.concatenate([[0.0], ends[:-1]])
        for second, found in zip(seconds, frames_at(begins, ends[-1], np.array(seconds)), strict=True):
            shown = (second + 1e-6) % ends[-1]
            assert found == max(i for i, begin in enumerate(begins) if begin <= shown)


class TestEvenStarts:
    def test_from_the_beginning_to_the_end(self):
        assert even_starts(3, 10.0, 2.0).tolist() == [0, 4, 8]

    def test_one_clip_stands_in_the_middle(self):
        assert even_starts(1, 10.0, 2.0).tolist() == [4]

    def test_a_short_video_is_taken_from_its_beginning(self):
        assert even_starts(1, 1.0, 2.0).tolist() == [0]
        assert even_starts(3, 1.0, 2.0).tolist() == [0, 0, 0]


@st.composite
def rules(draw):
    """Any rule that is not a contradiction, with a number of clips."""
    rule = draw(st.sampled_from(RULES))
    clips = 2 if rule == "decreasing" else draw(st.integers(1, 5))
    low = draw(st.floats(0, 5))
    high = draw(st.none() | st.floats(0, 10).map(lambda more: (clips - 1) * low + more))
    return Times(rule=rule, min_seconds=low, max_seconds=high, power=draw(st.floats(0.1, 8))), clips


class TestEveryRule:
    @given(rules(), st.floats(0, 100), st.floats(0.01, 20), st.integers(0, 2**40))
    def test_stays_inside(self, rule, duration, span, number):
        times, clips = rule
        starts = draw_starts(times, clips, duration, span, sample_generator(1, number, "times"))
        assert starts.shape == (clips,)
        assert starts.dtype == np.float64
        assert (starts >= 0).all()
        if duration > span:
            assert (starts <= duration - span).all()
        else:
            assert (starts <= duration).all()

    @given(rules(), st.floats(1, 100), st.integers(0, 2**40))
    def test_keeps_its_distances_wherever_the_video_is_long_enough(self, rule, duration, number):
        times, clips = rule
        span = 0.5
        valid = duration - span
        starts = draw_starts(times, clips, duration, span, sample_generator(1, number, "times"))
        distances = np.abs(np.subtract.outer(starts, starts))[np.triu_indices(clips, 1)]
        if times.rule in ("near", "apart") and (clips - 1) * times.min_seconds <= valid:
            assert (distances >= times.min_seconds - 1e-9).all()
        if times.rule == "near" and times.max_seconds is not None:
            assert (distances <= times.max_seconds + 1e-9).all()
        if times.rule == "same":
            assert (distances == 0).all()
        if times.rule == "sequence" and clips * span + (clips - 1) * times.min_seconds <= duration:
            np.testing.assert_allclose(np.diff(starts), span + times.min_seconds)
        if times.rule == "sequence":
            assert (np.diff(starts) >= 0).all()
        if times.rule == "spread":
            np.testing.assert_allclose(np.diff(starts), valid / clips)

    def test_is_a_function_of_the_generator(self):
        for rule in RULES:
            again = [draw_starts(Times(rule=rule), 2, 9.0, 1.0, sample_generator(3, 5, "times")) for _ in range(2)]
            assert again[0].tolist() == again[1].tolist()


class TestDistributions:
    """Kolmogorov-Smirnov tests of fixed draws: they fail for a wrong formula, never by chance."""

    def test_anywhere_is_uniform_and_independent(self):
        starts = draw(Times(), 2, 10, 2)
        assert ks_distance(starts[:, 0], uniform_on(0, 8)) < KS_LIMIT
        assert ks_distance(starts[:, 1], uniform_on(0, 8)) < KS_LIMIT
        assert abs(np.corrcoef(starts.T)[0, 1]) < 3 / np.sqrt(DRAWS)

    @pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 5.0])
    def test_decreasing_follows_the_density_of_cvrl(self, power):
        valid = 8.0
        starts = draw(Times(rule="decreasing", power=power), 2, 10, 2)
        distances = np.abs(starts[:, 0] - starts[:, 1])

        def distribution(d):  # the integral of (p + 1) / (p M) (1 - (d / M)^p)
            return (power + 1) / (power * valid) * (d - d ** (power + 1) / ((power + 1) * valid**power))

        assert ks_distance(distances, distribution) < KS_LIMIT
        earlier = starts.min(1) / (valid - distances)
        assert ks_distance(earlier, uniform_on(0, 1)) < KS_LIMIT
        assert abs((starts[:, 0] < starts[:, 1]).mean() - 0.5) < 1.65 / np.sqrt(DRAWS)

    def test_decreasing_linear_has_a_mean_gap_of_a_third(self):
        starts = draw(Times(rule="decreasing"), 2, 10, 2)
        assert np.abs(starts[:, 0] - starts[:, 1]).mean() == pytest.approx(8 / 3, rel=0.03)

    @given(st.floats(0, 0.999))
    def test_decreasing_in_closed_form_and_by_bisection_agree(self, u):
        assert decreasing_distance(u, 1.0) == pytest.approx(decreasing_distance(u, 1.0 + 1e-9), abs=1e-6)

    def test_apart_is_uniform_over_all_that_obey(self):
        starts = draw(Times(rule="apart", min_seconds=3), 2, 10, 2)
        distances = np.abs(starts[:, 0] - starts[:, 1])
        # the area of {|s1 - s2| <= d} beyond distance 3 in a square of side 8
        assert ks_distance(distances, lambda d: 1 - ((8 - d) / (8 - 3)) ** 2) < KS_LIMIT

    def test_near_is_uniform_over_all_that_obey(self):
        starts = draw(Times(rule="near", min_seconds=0.5, max_seconds=5), 2, 10, 2)
        distances = np.abs(starts[:, 0] - starts[:, 1])
        assert ks_distance(distances, lambda d: (7.5**2 - (8 - d) ** 2) / (7.5**2 - 3**2)) < KS_LIMIT

    def test_near_with_four_clips_equals_rejection(self):
        times = Times(rule="near", min_seconds=0.3, max_seconds=3)
        starts = draw(times, 4, 7, 1)
        rng = np.random.default_rng(0)
        tries = rng.uniform(0, 6, (400_000, 4))
        gaps = np.diff(np.sort(tries), axis=1)
        kept = tries[(gaps >= 0.3).all(1) & (gaps.sum(1) <= 3)]
        assert len(kept) > 2 * DRAWS
        for statistic in (lambda s: s[:, 0], lambda s: np.ptp(s, axis=1), lambda s: np.sort(s)[:, 1], lambda s: s[:, 2]):
            reference = np.sort(statistic(kept))
            limit = KS_LIMIT * np.sqrt(1 + DRAWS / len(kept))
            assert ks_distance(statistic(starts), lambda x, r=reference: np.searchsorted(r, x) / len(r)) < limit

    def test_sequence_starts_uniformly(self):
        starts = draw(Times(rule="sequence", min_seconds=0.5), 3, 10, 1)
        assert ks_distance(starts[:, 0], uniform_on(0, 10 - 3 * 1 - 2 * 0.5)) < KS_LIMIT

    def test_spread_covers_the_valid_part_evenly(self):
        starts = draw(Times(rule="spread"), 4, 9, 1)
        for part in range(4):
            assert ks_distance(starts[:, part], uniform_on(2 * part, 2 * part + 2)) < KS_LIMIT

    def test_same_is_uniform(self):
        assert ks_distance(draw(Times(rule="same"), 2, 9, 1)[:, 0], uniform_on(0, 8)) < KS_LIMIT


class TestShortVideos:
    @pytest.mark.parametrize("rule", RULES)
    def test_starts_are_uniform_in_the_loop(self, rule):
        starts = draw(Times(rule=rule, min_seconds=0.5, max_seconds=9), 2, 1.5, 2)
        kept = starts[:, 0] if rule != "spread" else starts.ravel()[: 2 * DRAWS : 2] * 2
        assert ks_distance(kept, uniform_on(0, 1.5)) < KS_LIMIT

    @pytest.mark.parametrize("rule", ["anywhere", "near", "apart", "decreasing"])
    def test_starts_are_independent_in_the_loop(self, rule):
        assert abs(np.corrcoef(draw(Times(rule=rule), 2, 1.5, 2).T)[0, 1]) < 3 / np.sqrt(DRAWS)

    def test_a_sequence_goes_on_around_the_loop(self):
        starts = draw_starts(Times(rule="sequence", min_seconds=0.25), 3, 1.0, 1.5, sample_generator(0, 0, "times"))
        np.testing.assert_allclose(np.diff(starts) % 1, 0.75)

    def test_distances_that_do_not_fit_are_lowered_until_half_is_left_to_chance(self):
        for rule in ("near", "apart"):
            starts = draw(Times(rule=rule, min_seconds=5, max_seconds=60), 3, 3, 1, draws=300)
            gaps = np.diff(np.sort(starts), axis=1)
            assert gaps.min() >= 0.5 - 1e-9  # half of the 2 valid seconds, in two gaps
            assert gaps.max() > 0.9
            assert starts.min() < 0.1
            assert starts.max() > 1.9

    def test_a_sequence_that_does_not_fit_is_spread_from_beginning_to_end(self):
        starts = draw_starts(Times(rule="sequence", min_seconds=5), 3, 4.0, 1.0, sample_generator(0, 0, "times"))
        np.testing.assert_allclose(starts, [0, 1.5, 3], atol=1e-12)


@pytest.mark.parametrize(
    ("times", "clips", "words"),
    [
        (Times(rule="near", min_seconds=3, max_seconds=2), 2, "at most 2.0 s apart"),
        (Times(rule="near", min_seconds=1, max_seconds=2), 4, "at least 1.0 s"),
        (Times(rule="decreasing"), 3, "two clips"),
        (Times(rule="decreasing", power=0), 2, "power"),
        (Times(rule="apart", min_seconds=-1), 2, "min_seconds"),
    ],
)
def test_a_rule_that_no_video_can_follow_is_refused(times, clips, words):
    with pytest.raises(ReelvecError, match=words):
        draw_starts(times, clips, 10.0, 1.0, sample_generator(0, 0, "times"))
