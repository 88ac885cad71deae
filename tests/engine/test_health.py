import dataclasses

import torch
from torch import nn

from reelvec.core import Batch, Method, Needs, Progress
from reelvec.engine.health import Health, judge, measure_health


class Fixed(Method):
    """Its embeddings are given; it would notice a change of its batch statistics."""

    accumulates = True

    def __init__(self, z):
        super().__init__()
        self.z, self.norm = z, nn.BatchNorm1d(z.shape[-1])

    def embeddings(self, batch, at):
        z = self.z[batch.numbers]
        self.norm(z[:, 0])
        return z

    def needs(self):
        return Needs(streams=())

    def step(self, batch, at):
        return {}

    def after_step(self, at):
        pass

    def encoders(self):
        return {}


def videos(many):
    return Batch({}, torch.arange(many), torch.arange(many), torch.zeros(many, 2), torch.zeros(many))


def measured(z, step=10):
    return measure_health(Fixed(z), videos(len(z)), Progress(step, 100, 0.0, 0))


START = measured(torch.ones(64, 2, 32) + 0.01 * torch.randn(64, 2, 32, generator=torch.Generator().manual_seed(0)), step=0)
SPREAD = measured(torch.randn(64, 1, 32, generator=torch.Generator().manual_seed(1)).expand(-1, 2, -1))


def wider(health, by):
    return dataclasses.replace(health, feature_std=health.feature_std * by)


def test_spread_features_are_healthy():
    assert judge([START, SPREAD], 0.5)[0] == "healthy"
    assert SPREAD.alignment == 0
    assert SPREAD.effective_rank > 20


def test_the_first_look_is_not_judged():
    assert START.mean_cosine > 0.95  # it looks like a collapse, as every untrained network does
    assert judge([START], 0.0)[0] == "starting"


def test_features_that_hardly_spread_out_are_given_a_tenth_of_the_run():
    history = [START, wider(START, 1.5), wider(START, 1.52)]
    assert judge(history, 0.1)[0] == "starting"
    assert judge(history, 0.11)[0] == "collapsed"


def test_a_network_that_leaves_its_start_slowly_is_given_half_of_the_run():
    history = [START, wider(START, 1.1), wider(START, 1.2)]
    assert judge(history, 0.5)[0] == "starting"
    assert judge(history, 0.51)[0] == "collapsed"


def test_features_that_have_stopped_spreading_out_are_judged_at_once():
    assert judge([START, wider(START, 1.5), wider(START, 1.5)], 0.02)[0] == "collapsed"
    assert judge([START, SPREAD, wider(SPREAD, 0.9)], 0.02)[0] == "healthy"


def test_a_run_whose_log_was_lost_is_judged_by_what_is_there():
    assert judge([SPREAD], 0.6)[0] == "healthy"


def test_one_point_is_collapsed():
    point = measured(torch.ones(64, 2, 32) + 1e-4 * torch.randn(64, 2, 32))
    word, advice = judge([START, SPREAD, point], 0.5)
    assert word == "collapsed"
    assert "learning rate" in advice


def test_one_line_is_collapsed():
    line = measured(torch.randn(64, 1, 1) * torch.ones(64, 2, 32))
    assert judge([START, SPREAD, line], 0.5)[0] == "collapsed"


def test_half_the_directions_gone_is_shrinking():
    fewer = dataclasses.replace(SPREAD, effective_rank=SPREAD.effective_rank * 0.4)
    assert judge([START, SPREAD, fewer], 0.5)[0] == "shrinking"
    assert judge([START, SPREAD, wider(SPREAD, 0.4)], 0.5)[0] == "shrinking"


def test_some_videos_at_a_time_give_the_same():
    z, at = torch.randn(10, 2, 8), Progress(0, 1, 0.0, 0)
    assert measure_health(Fixed(z), videos(10), at, 4) == measure_health(Fixed(z), videos(10), at)


def test_looking_changes_nothing():
    method = Fixed(torch.randn(16, 2, 8))
    method.train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    measure_health(method, videos(16), Progress(0, 1, 0.0, 0))
    assert method.norm.training
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())
    assert isinstance(measured(method.z), Health)
