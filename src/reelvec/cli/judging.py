"""Commands that judge what was learnt: evaluate, diagnose, health, compare."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from reelvec.cli.options import Json, RunVideosWords, RunWords
from reelvec.cli.words import expect_paths, keyword_arguments, settings_of_tasks, split_words

LabelFile = Annotated[
    str | None,
    typer.Option("--labels", "-l", help="Class folders, a CSV or Parquet table, or official split files.", show_default=False),
]
PathColumn = Annotated[str | None, typer.Option(help="CSV: the column of paths.")]
LabelColumn = Annotated[str | None, typer.Option(help="CSV: the column of labels.")]
SplitColumn = Annotated[str | None, typer.Option(help="CSV: the column that says train or test.")]
GroupColumn = Annotated[str | None, typer.Option(help="CSV: videos of one group stay on one side.")]


def evaluate(
    words: RunWords = None,
    labels: LabelFile = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
    suite: Annotated[str | None, typer.Option(help="quick or full: all that the data allows.")] = None,
    masks: Annotated[str | None, typer.Option(help="A folder of frames with masks, as DAVIS has it.")] = None,
    boxes: Annotated[str | None, typer.Option(help="A table of boxes with labels, as AVA has it.")] = None,
    pairs: Annotated[str | None, typer.Option(help="A table of pairs of videos in folds, or ASLAN's View2.mat.")] = None,
    as_json: Json = False,
) -> None:
    """Measure an encoder on labelled videos, beside plain baselines.

    [bold]Examples[/bold]

      reelvec evaluate runs/a --labels labelled/

      reelvec evaluate runs/a --labels my.csv --label-column action

      reelvec evaluate runs/a --labels my.csv tasks=knn,lowshot knn.k=10

      reelvec evaluate runs/a --labels my.csv tasks=finetune clips=2

      reelvec evaluate runs/a --labels my.csv --suite quick

      reelvec evaluate runs/a --masks DAVIS/ propagation.preset=crw,dino

      reelvec evaluate runs/a --pairs View2.mat videos=ASLAN_AVI/

    Beside the encoder there is always the same network untrained, raw
    pixels, a colour histogram and chance: what learning gave is what the
    encoder has over them. A column of labels that is not named is found
    where only one fits; without a column of splits, a part is held out.
    """
    from reelvec.cli.tables import battery_tables, evaluation_table
    from reelvec.core import ReelvecError
    from reelvec.evals import evaluate as verb
    from reelvec.evals import pair_similarity
    from reelvec.verbs.battery import battery

    columns = {"path": path_column, "label": label_column, "split": split_column, "group": group_column}
    if suite is masks is boxes is labels is None and pairs is not None:
        if idle := [f"--{name}-column" for name, value in columns.items() if value is not None]:
            raise ReelvecError(f"use {' '.join(idle)}", "pairs alone, no labels", "add --labels FILE, or leave it out")
        alone = {"pairs": pairs}
        return _measure(pair_similarity, evaluation_table, "evaluate", words, None, {}, as_json, alone, needs_labels=False)
    if suite is masks is boxes is pairs is None:
        return _measure(verb, evaluation_table, "evaluate", words, labels, columns, as_json)
    extra = {"suite": suite or "quick", "masks": masks, "boxes": boxes, "pairs": pairs}
    _measure(battery, battery_tables, "evaluate", words, labels, columns, as_json, extra, needs_labels=False)


def diagnose(
    words: RunWords = None,
    labels: LabelFile = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
    masks: Annotated[str | None, typer.Option(help="A folder of masks: truth/ of a generated set, or your own.")] = None,
    as_json: Json = False,
) -> None:
    """Tell how much of what an encoder knows is motion, how much scene.

    [bold]Examples[/bold]

      reelvec diagnose runs/a --labels labelled/

      reelvec diagnose runs/a --labels my.csv --label-column action

      reelvec diagnose runs/a --labels my.csv encoders=visual clips=2

      reelvec diagnose runs/a --labels shapes/ --masks shapes/truth

    A probe is fitted on ordinary clips, then asked about test videos with
    their frames shuffled, reversed, frozen or dropped; another is fitted
    on frozen clips, which hold the scene alone. What is lost is compared
    video by video, with 95 % intervals, and put into words by a stated
    rule. With masks it asks for object or background instead: the object on
    stripes, the background alone, the object on another's background. The
    result and a picture go to the evals/ folder of the run.
    """
    from reelvec.cli.tables import diagnosis_table
    from reelvec.evals import diagnose as verb
    from reelvec.evals import diagnose_masks

    columns = {"path": path_column, "label": label_column, "split": split_column, "group": group_column}
    if masks is not None:
        extra = {"masks": masks}
        return _measure(diagnose_masks, diagnosis_table, "diagnose", words, labels, columns, as_json, extra)
    _measure(verb, diagnosis_table, "diagnose", words, labels, columns, as_json)


def health(
    words: RunVideosWords = None,
    as_json: Json = False,
) -> None:
    """Look at what an encoder's features are like; no label is needed.

    [bold]Examples[/bold]

      reelvec health runs/a videos/

      reelvec health runs/a videos/ beside=runs/b,runs/c

    How many directions the features use, whether they collapsed, whether
    they know time, how alike layers, encoders and runs are (CKA), always
    beside the same network untrained. Written with a picture to the run's
    evals/ folder.
    """
    from reelvec.cli.live import counting
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.cli.tables import health_table
    from reelvec.evals import health as verb

    paths, settings = split_words(words or [])
    expect_paths([*paths[:1], *paths[1:2]], ["RUN", "VIDEOS"], "health")
    videos: Any = paths[1] if len(paths) == 2 else paths[1:]
    arguments = keyword_arguments(verb, settings, taken=("run", "videos"))
    with only_results_on_stdout(as_json), counting(talk(), "reading videos", silent=as_json) as on_progress:
        result = verb(paths[0], videos, **arguments, on_progress=on_progress)
    show(result, health_table, as_json)


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
    extra: dict[str, Any] | None = None,
    needs_labels: bool = True,
) -> None:
    """Run a verb on a run and labelled videos, and show what it returns."""
    from reelvec.cli.live import counting
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.core import ReelvecError

    paths, settings = split_words(words or [])
    expect_paths(paths, ["RUN"], command)
    if labels is None and needs_labels:
        raise ReelvecError(
            f"{command} {paths[0]}", "no labels", "add --labels FOLDER (a sub-folder for each class) or --labels FILE.csv"
        )
    given: dict[str, Any] = dict(extra or {})
    given |= {f"{name}_column": value for name, value in columns.items() if value is not None}
    takes = inspect.signature(verb).parameters
    if "settings" in takes:  # else words such as knn.k=10 are refused below
        settings, of_tasks = settings_of_tasks(settings)
        given |= {"settings": of_tasks} if of_tasks else {}
    arguments = keyword_arguments(verb, settings, taken=("run", "labels", "settings", *given))
    with only_results_on_stdout(as_json), counting(talk(), "reading videos", silent=as_json) as on_progress:
        of_labels = [labels] if "labels" in takes else []
        result = verb(paths[0], *of_labels, **given, **arguments, on_progress=on_progress)
    show(result, table, as_json)
