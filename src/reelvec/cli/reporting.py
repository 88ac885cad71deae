"""The command that shows: report."""

from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from reelvec.cli.options import Json
from reelvec.cli.words import expect_paths, keyword_arguments, split_words


def report(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|COMPARISON [KEY=VALUE]...",
            help="A run folder, or the JSON file of a comparison; then settings.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a run, or a comparison of runs, as one HTML page that opens offline.

    [bold]Examples[/bold]

      reelvec report runs/a

      reelvec report runs/a out=a.html videos=more/

      reelvec report board.json

    The page holds what was trained on what, curves, health, all that
    was measured in the evals/ folder, neighbours, duplicates, errors, a
    map, activation maps, and the commands to repeat it. It is one file
    below 10 MB that loads nothing. videos= adds videos without labels.
    A comparison is what `reelvec compare RUN RUN out=board.json` wrote; its
    page holds the boards and the runs side by side.
    """
    from reelvec.cli.live import counting
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.verbs.report import report as verb

    paths, settings = split_words(words or [])
    expect_paths(paths, ["RUN|COMPARISON"], "report")
    arguments = keyword_arguments(verb, settings, taken=("run",))
    with only_results_on_stdout(as_json), counting(talk(), "looking at videos", silent=as_json) as on_progress:
        result = verb(paths[0], **arguments, on_progress=on_progress)
    show(result, _table, as_json)


def _table(result: Any) -> RenderableType:
    """Draw where the page is, and what it could not show."""
    from reelvec.cli.tables import facts_table

    facts = {"page": result["file"], "megabytes": result["bytes"] / 1e6, "sections": result["sections"]}
    return Group(facts_table(facts), *(Text(words) for words in result["missing"]))
