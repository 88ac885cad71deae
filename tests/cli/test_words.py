from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelvec.cli.words import expect_paths, keyword_arguments, settings_of_recipes, settings_of_tasks, split_words
from reelvec.core import ReelvecError


def verb(
    source: str,
    *,
    out: str | Path | None = None,
    tasks: tuple[str, ...] = (),
    clips: int | None = None,
    share: float = 0.5,
    truth: bool = True,
    sizes: Sequence[int] = (),
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Stands for any verb of the package."""


def arguments(*settings: str) -> dict[str, object]:
    return keyword_arguments(verb, settings, taken=("source",))


def test_paths_and_settings_are_told_apart_in_any_order() -> None:
    words = ["steps=5", "my videos", "optimiser.lr=0.1", "a/b=c.mp4", "./x=1.mp4", "out="]
    assert split_words(words) == (["my videos", "a/b=c.mp4", "./x=1.mp4"], ["steps=5", "optimiser.lr=0.1", "out="])


def test_words_that_are_no_arguments_go_to_the_recipes() -> None:
    words = ["clips=3", "view.size=32", "out=a", "fit=square"]
    assert settings_of_recipes(verb, words) == (["clips=3", "out=a"], ["view.size=32", "fit=square"])


def test_dotted_words_are_settings_of_tasks() -> None:
    own, of_tasks = settings_of_tasks(["clips=2", "knn.k=10", "finetune.cnn.lr=.1", "finetune.clips=3", "lowshot.shares=1,2"])
    assert own == ["clips=2"]
    assert of_tasks == {"knn": {"k": 10}, "finetune": {"cnn": {"lr": 0.1}, "clips": 3}, "lowshot": {"shares": ["1", "2"]}}


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("value", ["1", "{lr: 1}"])
def test_a_value_and_what_is_inside_it_are_not_both_set(turn: int, value: str) -> None:
    words = [f"finetune.cnn={value}", "finetune.cnn_too=1", "finetune.cnn.lr=2"]
    with pytest.raises(ReelvecError, match=r"set finetune\.cnn=\.\.\. and finetune\.cnn\.lr=\.\.\."):
        settings_of_tasks(words[::turn])


def test_values_take_the_type_of_the_argument() -> None:
    assert arguments("clips=3", "share=1e-3", "truth=false", "sizes=8,16") == {
        "clips": 3,
        "share": 1e-3,
        "truth": False,
        "sizes": [8, 16],
    }
    assert arguments("clips=null") == {"clips": None}


@pytest.mark.parametrize(("text", "tasks"), [("knn", ("knn",)), ("knn,linear", ("knn", "linear")), ("[knn]", ("knn",))])
def test_a_list_is_parted_by_commas(text: str, tasks: tuple[str, ...]) -> None:
    assert arguments(f"tasks={text}") == {"tasks": tasks}


@given(st.text(st.characters(categories=["L", "N"]), min_size=1))
def test_a_text_stays_as_it_was_written(name: str) -> None:
    assert str(arguments(f"out=x{name}")["out"]) == f"x{name}"


def test_a_text_that_looks_like_a_number_stays_a_text() -> None:
    assert str(arguments("out=0017")["out"]) == "0017"


def test_a_misspelt_key_names_the_near_one_and_hides_what_is_not_to_be_set() -> None:
    with pytest.raises(ReelvecError, match="did you mean clips=") as caught:
        arguments("clip=3")
    assert "source" not in str(caught.value)
    assert "on_progress" not in str(caught.value)


def test_a_value_of_the_wrong_kind_is_refused_in_words() -> None:
    with pytest.raises(ReelvecError, match="set clips=many"):
        arguments("clips=many")


def test_the_number_of_paths_is_checked() -> None:
    expect_paths(["a", "b"], ["RUN", "VIDEOS"], "embed")
    with pytest.raises(ReelvecError, match="1 path given: a"):
        expect_paths(["a"], ["RUN", "VIDEOS"], "embed")
