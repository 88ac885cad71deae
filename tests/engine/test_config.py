import pytest

from reelvec.core import Config, ReelvecError
from reelvec.engine.config import RunConfig, merge, parse_settings, steps_of_run, validate, warmup_of_run


class Settings(Config):
    encoder: str = "slow_r50"
    temperature: float = 0.1
    view: dict = {}


def test_a_plain_key_goes_where_it_is_known():
    merged = merge({"method": "x"}, parse_settings(["steps=5", "encoder=tiny", "optimiser.lr=2e-3", "view.size=64"]), Settings)
    assert merged == {
        "method": "x", "steps": 5, "settings": {"encoder": "tiny", "view": {"size": 64}}, "optimiser": {"lr": "2e-3"},
    }  # fmt: skip
    assert validate(RunConfig, merged, "test").optimiser.lr == 2e-3


def test_later_layers_win_and_keep_what_they_do_not_name():
    base = {"method": "x", "optimiser": {"name": "adamw", "lr": 1.0}}
    merged = merge(base, {"optimiser": {"lr": 2.0}}, Settings)
    assert merged["optimiser"] == {"name": "adamw", "lr": 2.0}
    assert base["optimiser"]["lr"] == 1.0


def test_a_misspelt_key_is_named_with_its_neighbour():
    with pytest.raises(ReelvecError, match="near it: temperature"):
        merge({}, {"temprature": 0.2}, Settings)
    with pytest.raises(ReelvecError, match="did you mean momentum"):
        validate(RunConfig, {"method": "x", "optimiser": {"momentun": 1}}, "a recipe")


def test_a_value_of_the_wrong_kind_is_named_with_its_path():
    with pytest.raises(ReelvecError, match=r"optimiser\.lr = 'fast'"):
        validate(RunConfig, {"method": "x", "optimiser": {"lr": "fast"}}, "a recipe")


def test_a_setting_without_equals_sign_is_refused():
    with pytest.raises(ReelvecError, match="no key=value"):
        parse_settings(["steps"])


def test_epochs_become_steps():
    config = RunConfig(method="x", epochs=10, batch=20, warmup_epochs=2)
    assert steps_of_run(config, 100) == 50
    assert warmup_of_run(config, 100) == 10


@pytest.mark.parametrize("lengths", [{}, {"steps": 5, "epochs": 1}])
def test_exactly_one_length_is_needed(lengths):
    with pytest.raises(ReelvecError, match="how long"):
        steps_of_run(RunConfig(method="x", **lengths), 100)
