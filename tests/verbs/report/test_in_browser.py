"""The page in a real browser, without a screen: nothing is asked for, nothing fails, keys do what a mouse does."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelvec.evals import compare
from reelvec.verbs.report import report

sys.path.insert(0, str(Path(__file__).parent))
from headless_browser import NAMES, Browser, find_browser
from small_runs import write_log


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip(f"no browser here, none of {', '.join(NAMES)}: `apt install chromium` and run again")
    profile = tmp_path_factory.mktemp("profile")
    browser = Browser(program, profile)
    yield browser
    browser.close()
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture(scope="module")
def comparison_file(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a comparison of the run with a copy of it that has a longer log."""
    folder = tmp_path_factory.mktemp("compared")
    other = Path(shutil.copytree(run, folder / "other run"))
    write_log(other, 40)
    compare([run, other], out=folder / "board.json")
    report(folder / "board.json")
    return folder / "board.html"


@pytest.fixture
def page(browser: Browser, page_file: Path) -> Browser:
    """The page, just opened, light, on a screen of 1200 pixels, with motion allowed."""
    browser.media(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
    browser.size(1200, 900)
    browser.open(page_file)
    return browser


def animation(page: Browser, at: str = ".plays .strip:not(.gone)") -> str:
    return page.run(f"getComputedStyle(document.querySelector('{at}')).animationName")


def test_nothing_is_loaded_and_nothing_fails(page: Browser) -> None:
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.run("new Promise(done => setTimeout(done, 200))")
    assert page.errors == []
    others = [url for url in page.requests if not url.startswith(("file:", "data:"))]
    assert others == []
    assert len([url for url in page.requests if url.startswith("file:")]) == 1


def test_names_that_look_like_code_do_not_run(page: Browser) -> None:
    assert page.run("typeof window.harmed") == "undefined"
    assert page.run("document.scripts.length") == 1


def test_focus_plays_a_row_and_leaving_stops_it(page: Browser) -> None:
    assert animation(page) == "none"
    page.run("document.querySelector('.plays').focus()")
    assert animation(page) == "play"
    places = "getComputedStyle(document.querySelector('.plays .strip')).backgroundPositionX"
    first = page.run(places)
    page.wait_for(f"{places} !== '{first}'")
    page.press("Tab")
    page.wait_for("getComputedStyle(document.querySelector('.plays .strip')).animationName === 'none'")


def test_the_mouse_plays_a_sheet_and_leaving_stops_it(page: Browser) -> None:
    page.point_at("h1")
    assert animation(page) == "none"
    page.point_at("#neighbours .plays .strip")
    page.wait_for("getComputedStyle(document.querySelector('#neighbours .plays .strip')).animationName === 'play'")
    places = "getComputedStyle(document.querySelector('#neighbours .plays .strip')).backgroundPositionX"
    first = page.run(places)
    page.wait_for(f"{places} !== '{first}'")
    page.point_at("h1")
    page.wait_for("getComputedStyle(document.querySelector('#neighbours .plays .strip')).animationName === 'none'")


def test_the_mouse_on_a_point_shows_its_video(page: Browser) -> None:
    assert page.run("document.querySelector('.panel .thumb').getBoundingClientRect().height") == 0
    page.point_at(".ground .p")
    page.wait_for("document.querySelector('.panel .thumb').getBoundingClientRect().height > 50")
    assert ".mp4" in page.run("document.querySelector('.panel .words').textContent")
    assert "url(" in page.run("getComputedStyle(document.querySelector('.panel .thumb')).backgroundImage")


def test_a_command_is_copied(page: Browser) -> None:
    page.ask("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    code = page.run("document.querySelector('#commands .copy').parentElement.querySelector('code').textContent")
    page.run("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    page.click("#commands .copy")
    page.wait_for("document.querySelector('#commands .copy').textContent === 'Copied'")
    assert page.run("window.copied") == code
    page.run("navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed'))")
    page.click("#commands .copy")  # where a browser forbids it, the command is selected
    page.wait_for("document.querySelector('#commands .copy').textContent.startsWith('Selected')")
    assert page.run("getSelection().toString().trim()") == code.strip()


def test_a_comparison_opens_without_a_word_and_is_read(page: Browser, comparison_file: Path) -> None:
    page.open(comparison_file)
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.run("new Promise(done => setTimeout(done, 200))")
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    page.run("document.querySelector('.plot input').focus()")
    page.press("ArrowLeft")
    told = page.run("document.querySelector('.reading').textContent")
    assert told == "step 35: other run 2.125"
    for _ in range(3):
        page.press("ArrowLeft")
    assert page.run("document.querySelector('.reading').textContent") == "step 20: a<b> 2, other run 2.5"
    strokes = "[...document.querySelectorAll('.plot')[0].querySelectorAll('path.line')].map(p => getComputedStyle(p).stroke)"
    assert len(set(page.run(strokes))) == 2
    page.point_at("#neighbours .plays .strip")
    page.wait_for("getComputedStyle(document.querySelector('#neighbours .plays .strip')).animationName === 'play'")
    for width in (320, 768, 1200):
        page.size(width, 800)
        assert page.run("document.documentElement.scrollWidth") <= width


def test_strips_rest_where_less_motion_is_wished(page: Browser) -> None:
    page.media(prefers_reduced_motion="reduce")
    page.run("document.querySelector('.plays').focus()")
    assert animation(page) == "none"
    page.run("document.getElementById('play').click()")  # but they play for who asks for it
    assert animation(page) == "play"
    assert page.run("document.getElementById('play').getAttribute('aria-pressed')") == "true"


def test_the_first_tab_leads_past_the_contents(page: Browser) -> None:
    page.press("Tab")
    assert page.run("document.activeElement.className") == "skip"
    assert page.run("document.activeElement.getBoundingClientRect().left >= 0")
    page.press("Enter")
    page.wait_for("document.activeElement.id === 'content'")


def test_a_curve_is_read_with_keys(page: Browser) -> None:
    page.run("document.querySelector('.plot input').focus()")
    last = page.run("document.activeElement.getAttribute('aria-valuetext')")
    page.press("ArrowLeft")
    before = page.run("document.activeElement.getAttribute('aria-valuetext')")
    assert (last, before) == ("step 20: 2", "step 15: 2.25")
    assert page.run("document.querySelector('.reading').textContent") == before
    assert page.run("getComputedStyle(document.querySelector('.plot .dot')).visibility") == "visible"


def test_the_map_is_walked_with_keys(page: Browser) -> None:
    page.run("document.querySelector('.ground').focus()")
    told = [page.run("document.querySelector('.panel .words').textContent")]
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown"):
        page.press(key)
        told.append(page.run("document.querySelector('.panel .words').textContent"))
    assert len(set(told)) >= 3
    assert all(".mp4" in words and "place: " in words for words in told)
    assert page.run("document.querySelector('.panel .thumb').getBoundingClientRect().height") > 50
    assert page.run("document.querySelectorAll('.ground .p.on').length") == 1


def test_the_legend_picks_out_a_class(page: Browser) -> None:
    page.run("document.querySelector('.legend button').click()")
    chosen = page.run("document.querySelectorAll('.map:first-of-type .p.chosen').length")
    counted = page.run("Number(document.querySelector('.legend button .dim').textContent)")
    assert chosen == counted > 0


def test_the_theme_follows_the_system_and_the_button(page: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.run(ground)
    page.media(prefers_color_scheme="dark")
    dark = page.run(ground)
    assert light != dark
    page.run("document.getElementById('theme').click()")
    assert (page.run(ground), page.run("document.getElementById('theme').textContent")) == (light, "Theme: light")
    page.run("document.getElementById('theme').click()")
    page.media(prefers_color_scheme="light")
    assert page.run(ground) == dark
    page.run("document.getElementById('theme').click()")
    assert page.run(ground) == light


def test_captions_of_small_tables_are_not_squeezed(page: Browser, comparison_file: Path) -> None:
    page.open(comparison_file)
    widths = "[...document.querySelectorAll('.matrix caption > span')].map(one => one.getBoundingClientRect().width)"
    assert min(page.run(widths)) >= 300


@pytest.mark.parametrize("width", [320, 390, 768, 1200])
def test_no_width_makes_the_page_scroll_sideways(page: Browser, width: int) -> None:
    page.size(width, 800)
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_a_table_that_scrolls_can_be_reached(page: Browser) -> None:
    page.size(390, 800)
    page.run("dispatchEvent(new Event('resize'))")
    wide = "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth + 1)"
    assert page.run(f"{wide}.length") > 0
    assert page.run(f"{wide}.every(b => b.tabIndex === 0 && b.getAttribute('aria-label'))")


def test_paper_shows_what_is_folded_away(page: Browser) -> None:
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run("document.querySelectorAll('details:not([open])').length") == 0
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.run("document.querySelectorAll('details:not([open])').length") > 0
