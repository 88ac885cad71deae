"""Commands that put an encoder to use: embed, search."""

from typing import Annotated, Any

import typer

from reelvec.cli.options import Json, RunVideosWords
from reelvec.cli.words import expect_paths, keyword_arguments, split_words


def embed(
    words: RunVideosWords = None,
    as_json: Json = False,
) -> None:
    """Turn videos into vectors, in a Parquet file.

    [bold]Examples[/bold]

      reelvec embed runs/a videos/ out=emb.parquet

      reelvec embed runs/a videos/ out=emb.parquet encoder=motion

      reelvec embed runs/a videos/ out=emb.parquet window_seconds=2

    A row is a video, or a window of it: path, start, end, vector, and the
    hash of the encoder's weights. What was stopped goes on.
    """
    from reelvec.cli.live import counting
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.cli.tables import embedding_table
    from reelvec.embeddings import embed as verb

    paths, settings = split_words(words or [])
    expect_paths([*paths[:1], *paths[1:2]], ["RUN", "VIDEOS"], "embed")
    videos: Any = paths[1] if len(paths) == 2 else paths[1:]
    arguments = {"out": "embeddings.parquet", **keyword_arguments(verb, settings, taken=("run", "videos"))}
    with only_results_on_stdout(as_json), counting(talk(), "embedding", silent=as_json) as on_progress:
        summary = verb(paths[0], videos, **arguments, on_progress=on_progress)
    show(summary, embedding_table, as_json)


def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUERY EMBEDDINGS [KEY=VALUE]...", help="A video, or a row's number; then what `embed` wrote."),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="The run folder, to embed a query video.")] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many to find.")] = 10,
    sheet: Annotated[str | None, typer.Option("--sheet", help="Write what was found as a PNG.")] = None,
    as_json: Json = False,
) -> None:
    """Find the clips that are nearest to one.

    [bold]Examples[/bold]

      reelvec search query.mp4 emb.parquet --run runs/a --sheet sheet.png

      reelvec search 17 emb.parquet

    The search is exact, by cosine similarity. A query by number takes that
    row of the embeddings and needs no run.
    """
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.cli.tables import search_table
    from reelvec.embeddings import search as verb

    paths, settings = split_words(words or [])
    expect_paths(paths, ["QUERY", "EMBEDDINGS"], "search")
    arguments = keyword_arguments(verb, settings, taken=("query", "embeddings", "run", "top", "sheet"))
    query: Any = int(paths[0]) if paths[0].isdecimal() else paths[0]
    with only_results_on_stdout(as_json):
        found = verb(query, paths[1], top=top, run=run, sheet=sheet, **arguments)
    show(found, search_table, as_json)
    if sheet and not as_json:
        talk().print(f"frames of these in {sheet}", markup=False)
