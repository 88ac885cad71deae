import io
from typing import Any

import pytest
from rich.console import Console

from reelvec.cli.live import RunView, clock, counting

HEALTH = {
    "kind": "health",
    "step": 50,
    "values": {"feature_std": 0.98, "effective_rank": 61.2, "mean_cosine": 0.02, "alignment": 0.4, "uniformity": -3.6},
    "verdict": "collapsed",
    "advice": "lower the learning rate",
}


def progress(step: int, total: int = 100) -> dict[str, Any]:
    return {
        "kind": "progress",
        "step": step,
        "total": total,
        "clips_per_second": 123.4,
        "waiting_share": 0.25,
        "losses": {"loss": 1.5, "cross": 0.25},
        "seconds_left": 187.0,
    }


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system="truecolor" if terminal else None)


def written(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.7, "1:00"), (187.0, "3:07"), (7387.0, "2:03:07"), (-1.0, "0 s")]
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_without_a_terminal_there_are_few_plain_lines() -> None:
    screen = console(terminal=False)
    with RunView(screen, plain_lines=4) as view:
        for step in range(1, 101):
            view(progress(step))
    lines = written(screen).splitlines()
    assert [line.split()[1] for line in lines] == ["1/100", "25/100", "50/100", "75/100", "100/100"]
    assert lines[1] == "step 25/100  loss 1.500  cross 0.250  123.4 clips/s, 25% waiting for data  3:07 left"


def test_health_is_said_with_its_verdict_and_advice() -> None:
    screen = console(terminal=False)
    with RunView(screen) as view:
        view(HEALTH)
        view({"kind": "message", "text": "going on from step [10]"})
        view({"kind": "saved", "step": 50})
    assert "health at step 50: collapsed" in written(screen)
    assert "lower the learning rate" in written(screen)
    assert "going on from step [10]\nsaved step 50" in written(screen)


def test_a_run_is_introduced_with_what_was_left_out() -> None:
    screen = console(terminal=False)
    with RunView(screen) as view:
        view({
            "kind": "start", "method": "modist", "run": "runs/a", "videos": 497, "left_out": 3, "steps": 150, "batch": 32,
            "device": "cpu", "processes": 1, "weights": 1_250_000,
        })  # fmt: skip
    said = "modist in runs/a: 497 videos (3 more left out as broken), 150 steps of 32, 1.25 M weights, on cpu"
    assert written(screen).strip() == said


def test_in_a_terminal_one_panel_shows_all() -> None:
    screen = console(terminal=True)
    with RunView(screen) as view:
        view({"kind": "index", "done": 3, "total": 9, "path": "a.mp4"})
        view(progress(25))
        view(HEALTH)
        view({"kind": "saved", "step": 20})
        flat = Console(file=io.StringIO(), width=100)
        flat.print(view.panel())
    text = written(flat)
    for part in ("step 25/100", "3:07 left", "123.4 clips/s", "25% waiting", "cross 0.250", "saved at 20", "effective rank"):
        assert part in text
    assert "\x1b[1;31mcollapsed" in written(screen)


def test_the_next_run_begins_with_an_empty_panel() -> None:
    with RunView(console(terminal=False)) as view:
        view(progress(100))
        view(HEALTH)
        view({"kind": "start", "method": "cvrl", "run": "runs/b", "videos": 8, "left_out": 0, "steps": 2, "batch": 4,
              "device": "cpu", "processes": 2, "weights": 1000})  # fmt: skip
    flat = Console(file=io.StringIO(), width=100)
    flat.print(view.panel())
    assert written(flat).strip() == ""


def test_silence_is_silence() -> None:
    for terminal in (False, True):
        screen = console(terminal)
        with RunView(screen, silent=True) as view, counting(screen, "reading", silent=True) as on_progress:
            view(progress(1))
            view(HEALTH)
            on_progress(1, 2, "a.mp4")
        assert written(screen) == ""


def test_counting_takes_whatever_a_verb_says_beside_the_numbers() -> None:
    screen = console(terminal=True)
    with counting(screen, "reading videos") as on_progress:
        on_progress(1, 3)
        on_progress(3, 3, "a.mp4")
    assert "3/3" in written(screen)
