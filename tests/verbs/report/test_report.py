"""The page as text: what stands in it, what does not, what it may not do."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from reelvec.core import ReelvecError
from reelvec.data.index import index
from reelvec.verbs.report import report

sys.path.insert(0, str(Path(__file__).parent))
from page_check import Page, check
from small_runs import write_log

UNKIND = "</script><script>window.harmed=1</script>"


@pytest.fixture(scope="module")
def page(page_file: Path) -> Page:
    return check(page_file.read_bytes())


def test_the_page_holds_every_section(page: Page) -> None:
    sections = [a["id"] for a in page.all("section")]
    first = ["training", "health", "curves", "settings", "battery"]
    assert sections == [*first, "neighbours", "duplicates", "errors", "map", "activations", "commands"]
    linked = [str(a["href"])[1:] for a in page.all("a")]
    assert linked == ["content", *sections]


def test_facts_of_the_training(page: Page, run: Path) -> None:
    card = json.loads((run / "encoder" / "visual.json").read_text())
    for words in (
        "rho_moco",
        "13 videos",
        "20, 8 videos each",
        "torch 2.14.1+cpu",
        card["weights_sha256"][:16],
        "my videos/",
        "sgd, learning rate",
        "about 32 s",
    ):
        assert words in page.text
    assert "Health: healthy" in page.text


def test_names_from_files_are_words_and_no_markup(page: Page, page_file: Path) -> None:
    content = page_file.read_text()
    assert UNKIND in page.text
    assert "<script>window.harmed=1<script>" in page.text
    assert content.count("<script>") == 1
    assert "part <b>" in page.text
    assert "<img src=x" not in content


def test_tables_of_all_results_with_intervals(page: Page, run: Path) -> None:
    result = json.loads((run / "evals" / "labels-step000020.json").read_text())
    for table in result["tables"]:
        row = table["rows"][0]
        for column in table["columns"]:
            low, high = (100 * row[key][column] for key in ("low", "high"))
            assert f"{100 * row['values'][column]:.1f} {low:.1f}–{high:.1f}" in page.text
    diagnosis = json.loads((run / "evals" / "labels-motion-step000020.json").read_text())
    assert diagnosis["tables"][0]["rows"][0]["verdict"]["text"] in page.text
    assert "strange" in page.text


def test_a_leak_is_said_loudly_and_first(page: Page) -> None:
    header = page.text.index("Look at this.")
    assert header < page.text.index("What was trained on what")
    assert "a leak" in page.text
    assert "the same file, byte for byte" in page.text
    assert page.text.count("the same file, byte for byte") == 1


def test_test_videos_that_were_trained_on_are_said(page: Page, run: Path, videos: Path, tmp_path: Path) -> None:
    """The fixture's run was trained on all videos; then on all but the blue ones, by a path that leads through a link."""
    assert "7 of 7 test videos of labels.csv, step 20 were among the videos of the pretraining" in page.text
    other = Path(shutil.copytree(run, tmp_path / "other"))
    (tmp_path / "link").symlink_to(videos)
    index([str(path) for path in (tmp_path / "link").glob("*.mp4") if "blue" not in path.name], workers=0).save(
        other / "index.parquet"
    )
    report(other)
    seen = check((other / "report.html").read_bytes())
    assert "5 of 7 test videos" in seen.text
    assert str(videos / "red2.mp4") in seen.of_tag["code"]
    assert str(videos / "blue2.mp4") not in seen.of_tag["code"]
    index([str(videos / "blue0.mp4")], workers=0).save(other / "index.parquet")
    report(other)
    unseen = check((other / "report.html").read_bytes())
    assert "None of the 7 test videos of labels.csv, step 20 is among the videos of the pretraining" in unseen.text


def test_neighbours_are_right_or_wrong_in_words(page: Page) -> None:
    assert "✓ same" in page.text
    assert "✗ other" in page.text
    strips = [a for _, a in page.elements if str(a.get("class", "")).startswith("strip ")]
    assert len(strips) > 30
    assert all(a["role"] == "img" and a["aria-label"] for a in strips)
    style = "".join(page.of_tag["style"])
    assert style.count("data:image/jpeg") == len(re.findall(r"\.s\d+\{", style)) + 1  # each video once, and the small ones


def test_every_point_of_the_map_has_words_and_a_mark_of_its_class(page: Page) -> None:
    points = [a for a in page.all("g") if "data-k" in a]
    assert len(points) == 2 * 13  # two columns of labels
    assert all(a.get("data-t") is not None for a in points)
    titles = page.of_tag["title"]
    assert sum("place: top" in words for words in titles) == 2 * 7
    marks = {a["href"] for a in page.all("use")}
    assert {"#m0", "#m1", "#m2"} <= marks


def test_commands_repeat_it(page: Page, labels: Path) -> None:
    commands = " ".join(page.of_tag["code"])
    assert "reelvec pretrain 'my videos/'" in commands
    assert "--method rho_moco" in commands
    assert "steps=20" in commands
    assert "--label-column colour,place" in re.sub(r"\s*\\\n\s*", " ", commands)
    assert "reelvec diagnose" in commands
    assert "torch==2.14.1 " in commands or "torch==2.14.1\n" in commands or commands.endswith("torch==2.14.1")


def test_a_run_without_evaluation_tells_of_its_training(run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(run, bare, ignore=shutil.ignore_patterns("evals"))
    result = report(bare)
    page = check((bare / "report.html").read_bytes())
    assert result["file"] == str(bare / "report.html")
    assert result["bytes"] == (bare / "report.html").stat().st_size
    sections = [a["id"] for a in page.all("section")]
    assert sections == ["training", "health", "curves", "settings", "battery", "videos", "activations", "commands"]
    assert "Nothing was measured on labelled videos yet" in page.text
    assert "Curve of loss over 4 values" in " ".join(str(a.get("aria-label")) for a in page.all("svg"))


def test_videos_without_labels_are_shown(run: Path, videos: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(run, bare, ignore=shutil.ignore_patterns("evals"))
    report(bare, videos=videos)
    page = check((bare / "report.html").read_bytes())
    assert {"neighbours", "duplicates", "map"} <= {a["id"] for a in page.all("section")}
    assert "✓ same" not in page.text
    assert "One pair shows the same pictures: such videos count twice" in page.text


def test_an_encoder_folder_is_shown_without_training(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "encoder", tmp_path / "only")
    report(tmp_path / "only")
    page = check((tmp_path / "only" / "report.html").read_bytes())
    assert "it was not trained here" in page.text
    assert "curves" not in {a["id"] for a in page.all("section")}


def test_what_is_not_there_any_more_is_said(run: Path, tmp_path: Path, labels: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(run, old)
    shutil.rmtree(old / "evals" / "features")
    (old / "evals" / "labels-step000020.answers.parquet").unlink()
    (old / "evals" / "labels-motion-step000020.json").write_text('{"cut')
    result = report(old)
    page = check((old / "report.html").read_bytes())
    assert len(result["missing"]) == 2
    assert all("reelvec evaluate" in words for words in result["missing"])
    assert "No features of these videos are kept" in page.text
    assert "colour" in page.text  # the table stays


def test_videos_that_are_gone_leave_words(run: Path, tmp_path: Path, labels: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    hidden = labels.parent.with_name("hidden")
    labels.parent.rename(hidden)
    try:
        report(moved)
    finally:
        hidden.rename(labels.parent)
    page = check((moved / "report.html").read_bytes())
    assert "file is gone" in page.text
    assert "cannot be read again" in page.text


def test_a_collapse_and_numbers_that_are_none_are_said(run: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(run, bad, ignore=shutil.ignore_patterns("evals"))
    write_log(bad, 20, broken=True)
    report(bad)
    page = check((bad / "report.html").read_bytes())
    assert "collapsed at step 20: all videos look the same to the network" in page.text
    assert "not always finite: loss" in page.text


@pytest.mark.parametrize("what", ["absent", "empty", "a file"])
def test_what_is_no_run_is_refused(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "folder"
    if what == "empty":
        folder.mkdir()
    elif what == "a file":
        folder.write_text("words")
    with pytest.raises(ReelvecError, match="give the folder of a run"):
        report(folder)


def test_a_page_is_html(run: Path) -> None:
    with pytest.raises(ReelvecError, match=r"use out=.*page\.html"):
        report(run, out="page.pdf")
