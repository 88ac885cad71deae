"""Commands that learn: pretrain, study."""

from typing import Annotated, Any

import typer

from reelvec.cli.options import Json
from reelvec.cli.words import expect_paths, keyword_arguments, settings_of_recipes, split_words


def pretrain(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="VIDEOS [KEY=VALUE]...", help="A folder, a glob, a CSV or an index.parquet; then settings."),
    ] = None,
    method: Annotated[str | None, typer.Option("--method", "-m", help="One of `reelvec methods`.")] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help="A recipe's name or YAML file.")] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes on this machine, a GPU each.")] = 1,
    memory: Annotated[str | None, typer.Option(help="What a process may use, such as 24GB: picks batch and chunk.")] = None,
    as_json: Json = False,
) -> None:
    """Learn an encoder from unlabelled videos.

    [bold]Examples[/bold]

      reelvec pretrain videos/ --method modist out=runs/a

      reelvec pretrain videos/ -m modist encoder=tiny steps=150 batch=32 seed=0

      reelvec pretrain videos/ --recipe cvrl-gpu optimiser.lr=0.1 --devices 4

      reelvec pretrain videos/ -m rho_simclr batch=512 --memory 24GB

      reelvec pretrain 'clips/*.mp4' --recipe mine.yaml

    A key is a setting of the run (steps, epochs, batch, seed, out, workers,
    precision, optimiser.lr, ...) or one of the method (encoder, frames,
    stride, size, ...); a misspelt one is refused with the nearest that exist.
    The run folder keeps all of them in config.yaml. The same command again
    goes on where the run stopped.
    """
    from reelvec.cli.live import RunView
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.cli.tables import run_table
    from reelvec.verbs.pretrain import pretrain as verb

    paths, settings = split_words(words or [])
    expect_paths(paths[:1] if len(paths) > 1 else paths, ["VIDEOS"], "pretrain")
    videos: Any = paths[0] if len(paths) == 1 else paths
    with only_results_on_stdout(as_json), RunView(talk(), silent=as_json) as view:
        summary = verb(videos, method=method, recipe=recipe, settings=settings, devices=devices, memory=memory, on_event=view)
    show(summary, run_table, as_json)


def study(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME] [KEY=VALUE]...", help="A study's name or .py file; then settings."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How often every arm is trained: 3 or more.")] = 3,
    budget: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    page: Annotated[str | None, typer.Option(help="Write the page of all results to this file instead.")] = None,
    as_json: Json = False,
) -> None:
    """Put a paper's claim to the test: arms that differ in one thing.

    [bold]Examples[/bold]

      reelvec study

      reelvec study modist_motion --seeds 3

      reelvec study modist_motion data=ut_interaction fit=square

      reelvec study --page docs/studies.md

    Without a name, lists what there is. Every arm is trained and measured
    with every seed; each claim is judged by the paired difference and its
    95 % interval: holds, does not hold, undecided. What is finished is kept
    in work=runs/studies, and the same command goes on from there. Other
    settings, such as fit=square for videos of several shapes, go to the
    recipes of all arms.
    """
    from pathlib import Path

    from reelvec.cli.live import RunView
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.cli.tables import studies_table, study_table
    from reelvec.core.shipped import shipped_folder
    from reelvec.verbs.study import find_study, list_studies, results_page, run_study

    names, settings = split_words(words or [])
    if page is not None:
        Path(page).write_text(results_page(shipped_folder("studies") / "results"), encoding="utf-8")
        return show({"page": page}, lambda result: f"wrote {result['page']}", as_json)
    if not names:
        known = [{"name": name, "question": find_study(name).question} for name in list_studies()]
        return show(known, studies_table, as_json)
    expect_paths(names, ["NAME"], "study")
    own, for_recipes = settings_of_recipes(run_study, settings)
    arguments = keyword_arguments(run_study, own, taken=("name", "seeds", "budget", "settings"))
    with only_results_on_stdout(as_json), RunView(talk(), silent=as_json, plain_lines=3) as view:
        result = run_study(names[0], seeds=seeds, budget=budget, **arguments, settings=for_recipes, on_event=view)
    show(result, study_table, as_json)
