"""The pieces of the page by themselves, against plain versions and for large inputs."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from reelvec.engine.health import Health, judge
from reelvec.verbs.report import embedding_map, page
from reelvec.verbs.report.battery import unknown
from reelvec.verbs.report.curves import MOST_POINTS, curve, tick_words, ticks
from reelvec.verbs.report.embedding_map import flat, map_block
from reelvec.verbs.report.gallery import Answer, Gallery, spread
from reelvec.verbs.report.intervals import bar, interval_table
from reelvec.verbs.report.markup import escape, join, number, section, short, tag
from reelvec.verbs.report.mistakes import confusion_block, worst
from reelvec.verbs.report.neighbours import nearest_of, nearest_pairs
from reelvec.verbs.report.pictures import Pictures, fitting, shown_seconds
from reelvec.verbs.report.settings import command_line, compare_settings
from reelvec.verbs.report.training import HEALTH


def test_what_is_not_markup_is_escaped() -> None:
    assert tag("p", "<b>", tag("i", "&"), title='"<') == '<p title="&quot;&lt;">&lt;b&gt;<i>&amp;</i></p>'
    assert escape(None) == ""
    assert join(["<", tag("br")]) == "&lt;<br>"
    assert tag("p", hidden=True, id=None, class_="a", aria_label="x") == '<p hidden class="a" aria-label="x"></p>'
    assert tag("meta", name="a") == '<meta name="a">'


def test_an_f_string_of_markup_is_no_markup() -> None:
    assert escape(f"{tag('b', 'x')}") == "&lt;b&gt;x&lt;/b&gt;"


def test_numbers_as_people_write_them() -> None:
    written = {0.123456: "0.1235", 1234567: "1 234 567", 5e-8: "5.00e-08", True: "yes", 1234.5: "1 234"}
    assert {number(value) for value in written} == set(written.values())
    assert number(math.nan) == "nan"
    assert len(short("a" * 500)) == 160


@pytest.mark.parametrize(("low", "high"), [(0, 1), (3.7, 5.9), (0, 127), (-2, -0.1), (5e-8, 2e-3), (1e6, 9e6), (0.9999, 1)])
def test_ticks_are_round_enough_and_inside(low: float, high: float) -> None:
    found = ticks(low, high, 3)
    assert 3 <= len(found) <= 12
    assert all(low - 1e-9 <= t <= high * (1 + 1e-9) + 1e-12 for t in found)
    gaps = np.diff(found)
    assert np.allclose(gaps, gaps[0])
    digit = float(f"{gaps[0]:e}".partition("e")[0])
    assert min(abs(digit - round_one) for round_one in (1, 2, 5, 10)) < 1e-6
    assert len(set(tick_words(found))) == len(found)


def test_a_long_curve_is_thinned_by_means_and_says_so() -> None:
    points = [(step, float(step % 10)) for step in range(10_000)]
    drawn = curve("loss", points)
    assert drawn.count("L") <= MOST_POINTS
    assert "Mean of 34 values a point" in drawn
    assert "10000 values" in drawn
    assert len(drawn) < 30_000


def test_a_curve_of_one_value_and_of_none() -> None:
    assert "single" in curve("loss", [(5, 1.0)])
    assert "No finite value" in curve("loss", [(5, math.nan)])
    assert "1 of 2 logged values are not finite" in curve("loss", [(5, math.inf), (6, 1.0)])
    assert "NaN" not in curve("flat", [(1, 2.0), (2, 2.0)])


def test_levels_of_collapse_are_those_of_the_verdict() -> None:
    """A run at the level drawn in a curve is judged healthy; one past it has collapsed."""
    fine = {"feature_std": 0.7, "effective_rank": 20.0, "mean_cosine": 0.2, "alignment": 0.1, "uniformity": -2.0}
    for name, (_, _, level) in HEALTH.items():
        if level is not None:
            past = level.value * (0.99 if level.words.startswith("below") else 1.01)
            inside = level.value * (1.01 if level.words.startswith("below") else 0.99)
            assert judge([Health(step=9, **{**fine, name: past})], 0.9)[0] == "collapsed"
            assert judge([Health(step=9, **{**fine, name: inside})], 0.9)[0] == "healthy"


def test_bars_lie_where_their_numbers_say() -> None:
    places = [float(x) for x in re.findall(r'(?:cx|x1|x2)="([\d.]+)"', bar(0.5, (0.25, 1.0), (0.0, 1.0), 0.0))]
    assert places == [2, 94, 2, 2, 25, 94, 48]  # axis, chance, interval, value


def test_a_table_of_other_numbers_has_an_axis_of_its_own() -> None:
    rows = [{"name": "a", "values": {"rank": 20.0}}, {"name": "b", "values": {"rank": 40.0}, "low": {}, "high": {}}]
    table = interval_table("numbers", ["rank", "absent"], rows, shares=False)
    assert "<b>20</b>" in table
    assert 'cx="2.0"' in table
    assert 'cx="94.0"' in table
    assert table.count("left out") == 2


def test_nearest_pairs_equal_a_plain_search() -> None:
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(60, 5), dim=1)
    sides = torch.rand(60) < 0.4
    cosines = vectors @ vectors.T
    everything = sorted(((float(cosines[i, j]), i, j) for i in range(60) for j in range(i + 1, 60)), reverse=True)
    assert [(i, j) for i, j, _ in nearest_pairs(vectors, 7, None)] == [(i, j) for _, i, j in everything[:7]]
    across = [(i, j) for _, i, j in everything if sides[i] != sides[j]][:7]
    assert [(i, j) for i, j, _ in nearest_pairs(vectors, 7, sides)] == across
    near = nearest_of(vectors, 3, ~sides, 4)
    order = [int(j) for j in cosines[3].argsort(descending=True) if j != 3 and not sides[j]]
    assert [j for j, _ in near] == order[:4]


def test_nearest_pairs_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    vectors = torch.nn.functional.normalize(torch.randn(50, 4), dim=1)
    whole = nearest_pairs(vectors, 9, None)
    monkeypatch.setattr("reelvec.verbs.report.neighbours._BLOCK", 7)
    assert [pair[:2] for pair in nearest_pairs(vectors, 9, None)] == [pair[:2] for pair in whole]


def test_few_videos_have_few_neighbours() -> None:
    one = torch.ones(1, 3)
    assert nearest_pairs(one, 5, None) == []
    assert nearest_of(one, 0, torch.tensor([True]), 5) == []


@pytest.mark.parametrize("with_sklearn", [False, True])
def test_a_flat_layout_fits_a_square_and_keeps_groups(with_sklearn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if with_sklearn:
        pytest.importorskip("sklearn", reason="scikit-learn is not installed: the map is PCA there")
    else:
        monkeypatch.setattr(embedding_map, "find_spec", lambda name: None)
    torch.manual_seed(0)
    centres = torch.eye(3, 16) * 4
    vectors = torch.nn.functional.normalize(centres.repeat_interleave(12, 0) + 0.2 * torch.randn(36, 16), dim=1)
    places, how = flat(vectors)
    assert ("t-SNE" if with_sklearn else "PCA") in how
    assert 0 <= float(places.min()) <= float(places.max()) <= 1
    means = torch.stack([places[12 * i : 12 * i + 12].mean(0) for i in range(3)])
    own = torch.stack([(places[12 * i : 12 * i + 12] - means[i]).norm(dim=1).mean() for i in range(3)]).mean()
    assert torch.pdist(means).min() > 3 * own


def test_pca_says_how_much_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_map, "find_spec", lambda name: None)
    flat_ones = torch.randn(20, 2) @ torch.randn(2, 8)
    assert "hold 100.0 %" in flat(flat_ones)[1]
    for n in (1, 2):
        places, _ = flat(torch.randn(n, 8))
        assert bool(places.isfinite().all())


def test_errors_are_the_surest_first() -> None:
    answers = [
        Answer("a", "x", "y", 0.5),
        Answer("b", "x", "x", 0.99),
        Answer("c", "x", "y", 0.9),
        Answer("d", "y", "x", math.nan),
    ]
    assert [answer.path for answer in worst(answers)] == ["c", "a", "d"]


def test_a_confusion_counts_every_answer_once() -> None:
    answers = [Answer(str(i), "xyz"[i % 3], "xyz"[(i // 2) % 3], 0.5) for i in range(30)]
    block = confusion_block(Gallery("g", [], {}, answers={("l", "e"): answers}), "l", "e")
    cells = re.findall(r'<td class="heat[^"]*"(?: style="[^"]*")?>(?:<span class="zero">)?(\d+)', block)
    assert len(cells) == 9
    assert sum(map(int, cells)) == 30


def test_many_classes_have_no_matrix() -> None:
    answers = [Answer(str(i), str(i), str(i + 1), 0.5) for i in range(400)]
    block = confusion_block(Gallery("g", [], {}, answers={("l", "e"): answers}), "l", "e")
    assert "too many for a matrix" in block
    assert len(block) < 5000


def test_a_page_stays_small_however_much_there_is() -> None:
    """Strips of noise, which JPEG hardly shrinks, and a map of thousands of videos of hundreds of classes with long names."""
    rng = np.random.default_rng(0)
    pictures = Pictures()
    noise = rng.integers(0, 256, (8, 104, 160, 3), np.uint8)
    strips = [pictures.of_frames(noise, 2.0, f"strip {i}") for i in range(120)]
    paths = [f"/{'folder' * 20}/{'name' * 20}{i}.mp4" for i in range(3000)]
    labels = {f"column{'n' * 60}{c}": {path: f"class {'z' * 90}{i % 300}" for i, path in enumerate(paths)} for c in range(3)}
    gallery = Gallery("large", paths, {"visual": torch.nn.functional.normalize(torch.randn(3000, 4), dim=1)}, labels)
    body = section("x", "X", *strips, map_block(gallery, pictures, "visual"))
    content = page.page("t", tag("p"), [body], pictures, 3_000_000)
    assert len(content) <= 3_000_000
    assert len(content) > 2_500_000  # and what room there is, is used
    assert b"left out to keep the page small" in content


def test_a_long_result_of_an_unknown_form_is_cut() -> None:
    content = {f"a{i}": {f"b{j}": [{"c": "d" * 500}] * 20 for j in range(20)} for i in range(20)}
    assert len(unknown(content)) < 20_000
    assert "0.5" in unknown({"a": {"b": 0.5}})


def test_strips_show_the_whole_of_a_short_video_and_the_middle_of_a_long_one() -> None:
    assert shown_seconds(3.0) == (0.0, 3.0)
    assert shown_seconds(100.0) == (48.0, 52.0)
    assert fitting(1080, 1920, (104, 176)) == (99, 176)
    assert fitting(10, 4000, (104, 176)) == (2, 176)


def test_frames_of_a_strip_are_those_of_the_video(small_video: Path, read_number: object) -> None:
    frames = Pictures().frames(str(small_video), (48, 64))
    assert frames is not None
    assert [read_number(frame) for frame in frames] == [1, 4, 7, 10, 13, 16, 19, 22]  # type: ignore[operator]


def test_items_are_spread_evenly() -> None:
    assert spread(range(100), 5) == [0, 25, 50, 74, 99]
    assert spread([1, 2], 5) == [1, 2]


def test_settings_are_those_that_make_the_run_from_the_recipe() -> None:
    from reelvec.engine.config import merge, parse_settings, read_yaml
    from reelvec.methods import METHODS
    from reelvec.verbs.pretrain import recipe_path

    recipe = read_yaml(recipe_path("modist-cpu"))
    asked = ["steps=77", "optimiser.lr=0.01", "temperature=0.2", "view.area=[0.4, 0.9]", "optimiser.momentum=0.5"]
    run = merge(recipe, parse_settings(asked), METHODS["modist"].Config)
    found = compare_settings(run)
    assert found is not None
    assert found.recipe_name == "modist-cpu"
    assert sorted(found.words()) == sorted(asked)
    again = merge(recipe, parse_settings(found.words()), METHODS["modist"].Config)
    assert compare_settings(again).run == found.run  # type: ignore[union-attr]
    assert compare_settings({"method": "none of these"}) is None


def test_long_commands_are_broken_before_a_setting() -> None:
    words = ["reelvec", "pretrain", "my videos", *(f"setting{i}={i}" for i in range(20)), "--recipe", "x" * 90]
    lines = command_line(words).split(" \\\n")
    assert len(lines) > 2
    assert "'my videos'" in lines[0]
    assert "--recipe " + "x" * 90 in lines[-1]


def contrast(first: str, second: str) -> float:
    """The contrast of two colours as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_colours_have_contrast_in_both_themes() -> None:
    style = (Path(page.__file__).parent / "page.css").read_text()
    blocks = re.findall(r"\{\s*color-scheme: (light|dark);(.*?)\}", style, re.DOTALL)
    assert [name for name, _ in blocks] == ["light", "dark", "dark"]
    assert blocks[1][1].split() == blocks[2][1].split()
    for _, block in blocks:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for words in ("text", "dim", "link", "good", "warn", "bad"):
            for ground in ("page", "card", "hint", "loud"):
                assert contrast(colours[words], colours[ground]) >= 4.5, (words, ground)
        for mark in ("accent", "focus", *(f"c{i}" for i in range(8)), "c-"):
            assert contrast(colours[mark], colours["card"]) >= 3, mark
