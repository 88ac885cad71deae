"""What is shown while a command works: a live panel in a terminal, plain lines elsewhere; never on stdout."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

VERDICT_COLOURS = {"healthy": "bold green", "shrinking": "bold yellow", "collapsed": "bold red"}

# what each number of the health panel should do, for who has not met it before
HEALTH_WORDS = {
    "feature_std": ("feature std", "1 is well spread, 0 is one point"),
    "effective_rank": ("effective rank", "directions in use; more is better"),
    "mean_cosine": ("mean cosine", "of different videos; near 1 all look alike"),
    "alignment": ("alignment", "distance of two views of a video; falls while learning"),
    "uniformity": ("uniformity", "more negative is more spread"),
}


def clock(seconds: float) -> str:
    """Write a time as 9 s, 3:07 or 2:03:07."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    return f"{minutes}:{whole % 60:02d}" if not hours else f"{hours}:{minutes % 60:02d}:{whole % 60:02d}"


class RunView:
    """Shows the events of a run. In a terminal one panel is kept up to date; elsewhere a line is printed now and then."""

    def __init__(self, console: Console, silent: bool = False, plain_lines: int = 20) -> None:
        self.console, self.silent = console, silent
        self.plain_lines = plain_lines
        self.reading: Mapping[str, Any] = {}
        self.progress: Mapping[str, Any] = {}
        self.health: Mapping[str, Any] = {}
        self.saved_step: int | None = None
        self._live: Live | None = None
        if console.is_terminal and not silent:  # drawn four times a second, however many steps that are
            self._live = Live(console=console, refresh_per_second=4, get_renderable=self.panel)

    def __enter__(self) -> "RunView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take in one event of `pretrain`."""
        kind = event["kind"]
        if kind == "index":
            self.reading = event
        elif kind == "start":
            self.reading, self.progress, self.health, self.saved_step = {}, {}, {}, None  # the demo shows several runs
        elif kind == "progress":
            self.progress = event
        elif kind == "health":
            self.health = event
        elif kind == "saved":
            self.saved_step = event["step"]
        if self._live:
            if text := _said(event):
                self._live.console.print(text, markup=False)
        elif not self.silent and (line := self._line(event)):
            self.console.print(line, markup=False, soft_wrap=True)

    def panel(self) -> RenderableType:
        """Draw where the run stands: bar, numbers, losses, health."""
        parts: list[RenderableType] = []
        if self.reading:
            parts.append(Text(f"reading videos {self.reading['done']}/{self.reading['total']}"))
        if self.progress:
            step, total = self.progress["step"], self.progress["total"]
            bar = Table.grid(padding=(0, 1), expand=True)
            bar.add_column()
            bar.add_column(ratio=1)
            bar.add_column(justify="right")
            bar.add_row(f"step {step}/{total}", ProgressBar(total, step), f"{_left(self.progress)} left")
            parts += [bar, Text(f"{_pace(self.progress)}   {_losses(self.progress)}{self._saved()}")]
        if self.health:
            parts.append(_health_panel(self.health))
        return Group(*parts)

    def _saved(self) -> str:
        return "" if self.saved_step is None else f"   saved at {self.saved_step}"

    def _line(self, event: Mapping[str, Any]) -> str | None:
        kind = event["kind"]
        if kind == "progress":
            step, total = event["step"], event["total"]
            every = max(1, total // self.plain_lines)
            due = step == 1 or step == total or step % every == 0
            return f"step {step}/{total}  {_losses(event)}  {_pace(event)}  {_left(event)} left" if due else None
        if kind == "health":
            numbers = "  ".join(f"{_health_name(name)} {value:.3g}" for name, value in event["values"].items())
            return f"health at step {event['step']}: {event['verdict']}  ({numbers})\n  {event['advice']}"
        if kind == "saved":
            return f"saved step {event['step']}"
        return _said(event)


def _said(event: Mapping[str, Any]) -> str | None:
    """Return the sentence in an event, if it holds one."""
    if event["kind"] == "start":
        left_out = f" ({event['left_out']} more left out as broken)" if event["left_out"] else ""
        return (
            f"{event['method']} in {event['run']}: {event['videos']} videos{left_out}, {event['steps']} steps of "
            f"{event['batch']}, {event['weights'] / 1e6:.2f} M weights, on {event['device']}"
            + (f", {event['processes']} processes" if event["processes"] > 1 else "")
        )
    return str(event["text"]) if event["kind"] == "message" else None


def _health_panel(event: Mapping[str, Any]) -> Panel:
    grid = Table.grid(padding=(0, 2))
    for name, value in event["values"].items():
        grid.add_row(_health_name(name), f"{value:.3g}", Text(HEALTH_WORDS.get(name, ("", ""))[1], style="dim"))
    word = Text(event["verdict"], style=VERDICT_COLOURS.get(event["verdict"], "bold"))
    title = Text.assemble(f"health at step {event['step']}: ", word)
    return Panel(Group(grid, Text(event["advice"], style="italic")), title=title, title_align="left", expand=False)


def _health_name(name: str) -> str:
    return HEALTH_WORDS.get(name, (name, ""))[0]


def _pace(event: Mapping[str, Any]) -> str:
    return f"{event['clips_per_second']:.1f} clips/s, {event['waiting_share']:.0%} waiting for data"


def _losses(event: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in event["losses"].items())


def _left(event: Mapping[str, Any]) -> str:
    return clock(event["seconds_left"])


@contextmanager
def counting(console: Console, what: str, silent: bool = False) -> Iterator[Callable[..., None]]:
    """Give an `on_progress(done, total, ...)` that moves a bar in a terminal and is silent elsewhere."""
    if silent or not console.is_terminal:
        yield lambda *_: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def on_progress(done: int, total: int, *_: Any) -> None:
            bar.update(task, completed=done, total=total)

        yield on_progress
