"""What people read of a result; the numbers are those of the result."""

from typing import Any

from rich.console import Console, RenderableType

from reelvec.cli.tables import comparison_table, health_table, methods_table, rows_table
from reelvec.verbs.methods_table import list_methods

ALIKE = {"names": ["a", "b", "untrained a"], "cka": [[1.0, 0.25, 0.5], [0.25, 1.0, 0.125], [0.5, 0.125, 1.0]]}


def drawn(content: RenderableType) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as caught:
        console.print(content)
    return caught.get()


def test_differences_stand_with_their_signs_and_intervals() -> None:
    over = {
        "untrained": {"mean": 0.021, "low": -0.032, "high": 0.075},
        "raw pixels": {"mean": -0.01, "low": -0.07, "high": 0.049},
    }
    rows = [{"name": "visual", "J&F": 0.078, "over": over}, {"name": "raw pixels", "J&F": 0.089, "low": 0.01, "high": 0.168}]
    shown = drawn(rows_table({"rows": rows, "protocol": {}, "file": "a.json"}))
    assert "difference from" in shown
    assert "untrained +2.1 (-3.2 to +7.5); raw pixels -1.0 (-7.0 to +4.9)" in shown
    assert "8.9  1.0-16.8" in shown


def test_a_board_tells_the_best_from_the_others() -> None:
    def row(name: str, against: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "values": {"knn": 0.5}, "low": {}, "high": {}, "against_best": {"knn": against}}

    worse = {"word": "worse", "mean": -0.1, "low": -0.15, "high": -0.05}
    table = {
        "labels": "mine", "label_column": "action", "train": 3, "test": 2, "columns": ["knn"], "chance": {"knn": 0.25},
        "rows": [row("a", {"word": "best"}), row("b", worse)], "alike": ALIKE,
    }  # fmt: skip
    shown = drawn(comparison_table({"tables": [table], "notes": [], "protocol": {}}))
    assert "worse -10.0 (-15.0 to -5.0)" in shown
    assert "features of b are like those of: a 0.25, untrained a 0.12 (linear CKA, 1 is equal)" in shown


def test_alike_is_told_of_what_was_trained() -> None:
    rows = [{"name": "a", "dim": 2, "values": {"rank_me": 1.5}, "verdict": "good"}]
    result = {
        "rows": rows, "meaning": {"rank_me": "directions"}, "alike": ALIKE, "videos": 8, "notes": [], "left_out": [],
        "file": "h.json", "picture": "h.png",
    }  # fmt: skip
    shown = drawn(health_table(result))
    assert "a, linear CKA with others: b 0.25, untrained a 0.50" in shown
    assert "untrained a, linear" not in shown


def test_what_studies_showed_of_a_method_stands_by_verdict() -> None:
    def tested(claim: str, verdict: str, data: str, own: bool = True) -> dict[str, Any]:
        return {"study": "s", "claim": claim, "verdict": verdict, "data": data, "measure": "motion linear", "own": own}

    studies = [
        tested("it helps", "undecided", "generated, still camera"),
        tested("it helps", "holds", "generated, still camera, seeds 1003 to 1010"),
        tested("it helps", "holds", "ut_interaction"),
        tested("a part of it helps", "does not hold", "generated, still camera", own=False),
    ]
    shown = drawn(methods_table([{**list_methods()[0], "studies": studies}]))
    assert "holds: it helps (motion linear, seeds 1003 to 1010); it helps (motion linear, ut_interaction)" in shown
    assert "undecided: it helps (motion linear) " in shown
    assert "does not hold" not in shown
