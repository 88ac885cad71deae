from reelvec.methods import METHODS
from reelvec.verbs.methods_table import list_methods


def test_every_method_has_a_row_of_facts() -> None:
    rows = list_methods()
    assert [row["name"] for row in rows] == list(METHODS)
    for row in rows:
        assert row["summary"].endswith(".")
        assert row["paper"].startswith("arXiv ")
        assert row["clips"] >= 1
        assert row["size"] > 0
        assert "visual" in row["encoders"]


def test_the_patent_stands_with_modist_alone() -> None:
    assert [row["name"] for row in list_methods() if row["patent"]] == ["modist"]
