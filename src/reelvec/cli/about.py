"""Commands about reelvec itself: methods, doctor, demo."""

from typing import Annotated

import typer

from reelvec.cli.options import Json
from reelvec.cli.words import expect_paths, keyword_arguments, split_words


def methods(as_json: Json = False) -> None:
    """List the methods, what they read and where they are published.

    [bold]Examples[/bold]

      reelvec methods

      reelvec methods --json
    """
    from reelvec.cli.output import only_results_on_stdout, show
    from reelvec.cli.tables import methods_table
    from reelvec.verbs.methods_table import list_methods

    with only_results_on_stdout(as_json):
        rows = list_methods()
    show(rows, methods_table, as_json)


def doctor(
    self_test: Annotated[bool, typer.Option(help="Encode, index, decode and train for some seconds.")] = True,
    as_json: Json = False,
) -> None:
    """Look at this machine, then try all that a run needs once.

    [bold]Examples[/bold]

      reelvec doctor

      reelvec doctor --no-self-test --json

    Exit code 1 when something is wrong that would stop a run.
    """
    from reelvec.cli.output import only_results_on_stdout, show
    from reelvec.cli.tables import doctor_table
    from reelvec.verbs.doctor import examine

    with only_results_on_stdout(as_json):
        report = examine(self_test=self_test)
    show(report, doctor_table, as_json)
    if report["verdict"] == "problem":
        raise typer.Exit(1)


def demo(
    words: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the demo.")] = None,
    as_json: Json = False,
) -> None:
    """Make videos, learn from them, compare, search: minutes on a CPU.

    [bold]Examples[/bold]

      reelvec demo

      reelvec demo out=demo seeds=1 steps=60

    The videos are made so that motion and scene are independent. The table
    says what each encoder knows of either: an encoder that sees the motion
    beats one that only recognises the scene.
    """
    from reelvec.cli.live import RunView
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.cli.tables import demo_table
    from reelvec.verbs.demo import demo as verb

    paths, settings = split_words(words or [])
    expect_paths(paths, [], "demo")
    arguments = keyword_arguments(verb, settings, taken=())
    with only_results_on_stdout(as_json), RunView(talk(), silent=as_json, plain_lines=3) as view:
        result = verb(**arguments, on_event=view)
    show(result, demo_table, as_json)
