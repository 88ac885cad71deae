"""Options and words that several commands take alike."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
RunWords = Annotated[list[str] | None, typer.Argument(metavar="RUN [KEY=VALUE]...", help="A run folder; then settings.")]
RunVideosWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="RUN VIDEOS [KEY=VALUE]...", help="A run folder, then videos, then settings."),
]
