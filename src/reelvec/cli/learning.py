"""Commands that learn and judge: pretrain, evaluate, diagnose, study."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from reelvec.cli.words import expect_paths, keyword_arguments, settings_of_recipes, split_words

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
RunWords = Annotated[list[str] | None, typer.Argument(metavar="RUN [KEY=VALUE]...", help="A run folder; then settings.")]
LabelFile = Annotated[
    str | None,
    typer.Option("--labels", "-l", help="A folder with one sub-folder a class, or a CSV.", show_default=False),
]
PathColumn = Annotated[str | None, typer.Option(help="CSV: the column of paths.")]
LabelColumn = Annotated[str | None, typer.Option(help="CSV: the column of labels.")]
SplitColumn = Annotated[str | None, typer.Option(help="CSV: the column that says train or test.")]
GroupColumn = Annotated[str | None, typer.Option(help="CSV: videos of one group stay on one side.")]


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


def evaluate(
    words: RunWords = None,
    labels: LabelFile = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
    as_json: Json = False,
) -> None:
    """Measure an encoder on labelled videos, beside plain baselines.

    [bold]Examples[/bold]

      reelvec evaluate runs/a --labels labelled/

      reelvec evaluate runs/a --labels my.csv --label-column action

      reelvec evaluate runs/a --labels my.csv tasks=knn,linear clips=2

    Beside the encoder there is always the same network untrained, raw
    pixels, a colour histogram and chance: what learning gave is what the
    encoder has over them. A column of labels that is not named is found
    where only one fits; without a column of splits, a part is held out.
    """
    from reelvec.cli.tables import evaluation_table
    from reelvec.evals import evaluate as verb

    columns = {"path": path_column, "label": label_column, "split": split_column, "group": group_column}
    _measure(verb, evaluation_table, "evaluate", words, labels, columns, as_json)


def diagnose(
    words: RunWords = None,
    labels: LabelFile = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
    as_json: Json = False,
) -> None:
    """Tell how much of what an encoder knows is motion, how much scene.

    [bold]Examples[/bold]

      reelvec diagnose runs/a --labels labelled/

      reelvec diagnose runs/a --labels my.csv --label-column action

      reelvec diagnose runs/a --labels my.csv encoders=visual clips=2

    A probe is fitted on ordinary clips, then asked about test videos with
    their frames shuffled, reversed, frozen or dropped; another is fitted
    on frozen clips, which hold the scene alone. What is lost is compared
    video by video, with 95 % intervals, and put into words by a stated
    rule. The result and a picture go to the evals/ folder of the run.
    """
    from reelvec.cli.tables import diagnosis_table
    from reelvec.evals import diagnose as verb

    columns = {"path": path_column, "label": label_column, "split": split_column, "group": group_column}
    _measure(verb, diagnosis_table, "diagnose", words, labels, columns, as_json)


def compare(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN RUN... [KEY=VALUE]...", help="Run folders that `evaluate` has measured; then settings."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Set runs side by side, and say where no difference is shown.

    [bold]Examples[/bold]

      reelvec compare runs/a runs/b

      reelvec compare runs/* labels=actions encoders=visual out=board.json

    The runs must have been measured on the same labels by the same
    protocol, else they are refused. Differences are taken video by video,
    with 95 % intervals: best, worse, or no difference shown.
    """
    from reelvec.cli.output import only_results_on_stdout, show
    from reelvec.cli.tables import comparison_table
    from reelvec.evals import compare as verb

    runs, settings = split_words(words or [])
    expect_paths([*runs[:1], *runs[1:2]], ["RUN", "RUN"], "compare")
    arguments = keyword_arguments(verb, settings, taken=("runs",))
    with only_results_on_stdout(as_json):
        result = verb(runs, **arguments)
    show(result, comparison_table, as_json)


def _measure(
    verb: Callable[..., Any],
    table: Callable[[Any], RenderableType],
    command: str,
    words: list[str] | None,
    labels: str | None,
    columns: dict[str, str | None],
    as_json: bool,
) -> None:
    """Run a verb on a run and labelled videos, and show what it returns."""
    from reelvec.cli.live import counting
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.core import ReelvecError

    paths, settings = split_words(words or [])
    expect_paths(paths, ["RUN"], command)
    if labels is None:
        raise ReelvecError(
            f"{command} {paths[0]}", "no labels", "add --labels FOLDER (a sub-folder for each class) or --labels FILE.csv"
        )
    given = {f"{name}_column": value for name, value in columns.items() if value is not None}
    arguments = keyword_arguments(verb, settings, taken=("run", "labels", *given))
    with only_results_on_stdout(as_json), counting(talk(), "reading videos", silent=as_json) as on_progress:
        result = verb(paths[0], labels, **given, **arguments, on_progress=on_progress)
    show(result, table, as_json)


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
