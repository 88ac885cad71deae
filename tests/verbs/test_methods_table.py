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
        assert row["cost"] > 0
        assert row["mebibytes"] > 0
        assert row["smallest_videos"] >= row["smallest_batch"] >= 8
        assert row["because"]
        assert {entry["verdict"] for entry in row["studies"]} <= {"holds", "does not hold", "undecided"}
        assert any(entry["own"] for entry in row["studies"])
    assert next(row for row in rows if row["name"] == "rho_moco")["cost"] == 1


def test_a_claim_about_a_variant_is_not_one_about_the_method() -> None:
    tcgl = next(row for row in list_methods() if row["name"] == "tcgl")
    own = {entry["claim"] for entry in tcgl["studies"] if entry["own"]}
    others = {entry["claim"] for entry in tcgl["studies"]} - own
    assert "tcgl teaches motion" in own
    assert "the contrast within snippets teaches alone" in others


def test_the_patent_stands_with_modist_alone() -> None:
    assert [row["name"] for row in list_methods() if row["patent"]] == ["modist"]
