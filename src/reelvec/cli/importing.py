"""The command that takes in encoders from outside: import."""

from typing import Annotated

import typer

from reelvec.cli.options import Json
from reelvec.cli.words import expect_paths, keyword_arguments, split_words


def import_encoder(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME [KEY=VALUE]...", help="r3d_18, timm:NAME, videomae, vjepa2, ...; then settings."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an encoder folder of a network that was trained elsewhere.

    [bold]Examples[/bold]

      reelvec import r3d_18 weights=r3d_18.pth out=encoders/r3d

      reelvec import timm:resnet50 weights=resnet50.safetensors

      reelvec import videomae weights=videomae-base/ out=encoders/videomae

      reelvec import vjepa2 weights=vjepa2-vitl/ frames=32 stride=2

      reelvec evaluate encoders/videomae --labels labelled/

    Weights are files of yours: nothing is downloaded. Size, frames, stride,
    mean and std are those of the folder's preprocessor config or of the
    architecture, or what you say. Without weights= the network is fresh,
    and every result says so. timm and transformers come with the extra
    'hf': pip install 'reelvec[hf]'.
    """
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.cli.tables import facts_table
    from reelvec.verbs.import_encoder import import_encoder as verb

    paths, settings = split_words(words or [])
    expect_paths(paths, ["NAME"], "import")
    arguments = keyword_arguments(verb, settings, taken=("name",))
    with only_results_on_stdout(as_json):
        summary = verb(paths[0], **arguments)
    show(summary, lambda all_facts: facts_table({k: v for k, v in all_facts.items() if k != "notes"}), as_json)
    for note in summary["notes"]:
        talk().print(note, style="bold red" if "fresh" in note else "yellow", markup=False)
