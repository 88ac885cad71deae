import pytest
import torch
from torch import nn

from reelvec.methods.cvrl import CvrlConfig
from reelvec.parts import nt_xent


def test_the_loss_is_the_sum_of_both_directions(small):
    method = small.method("cvrl")
    batch = small.batch(method.needs())
    with torch.no_grad():
        first, second = method.embeddings(batch, small.at(0)).unbind(1)
    torch.testing.assert_close(method.step(batch, small.at(0))["loss"], 2 * nt_xent(first, second, 0.1))


def test_views_are_blurred_and_solarised_as_released():
    config = CvrlConfig()
    assert (config.first_view.blur, config.second_view.blur) == (1.0, 0.1)
    assert (config.first_view.solarise, config.second_view.solarise) == (0.0, 0.2)


def test_each_view_follows_its_own_settings(small):
    plain = {"size": 32, "area": [1.0, 1.0], "aspect": [1.0, 1.0], "flip": 0.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    method = small.method("cvrl", first_view=plain, second_view={**plain, "solarise": 1.0, "solarise_threshold": 0.0})
    batch = small.batch(method.needs())
    first, second = method.views(batch, small.at(0))
    frames = batch.streams["rgb"].frames.float() / 255
    torch.testing.assert_close(first.mean(), frames[:, 0].mean(), rtol=0.05, atol=0)
    torch.testing.assert_close(second.mean(), 1 - frames[:, 1].mean(), rtol=0.05, atol=0)


def test_gaps_fall_by_the_papers_rule(small):
    times = small.method("cvrl", gap_power=2.0).needs().times
    assert (times.rule, times.power) == ("decreasing", 2.0)


def test_the_head_has_four_layers_with_norm_but_after_the_last(small):
    layers = [type(layer) for layer in small.method("cvrl").head]
    assert layers == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 3 + [nn.Linear]


def test_views_of_different_size_are_refused(small):
    view = CvrlConfig().first_view.model_dump()
    with pytest.raises(ValueError, match="must agree"):
        CvrlConfig.model_validate({"second_view": {**view, "size": 96}})
