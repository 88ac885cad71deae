"""The commands by name, in the order in which a newcomer needs them."""

import typer

from reelvec.cli import about, importing, judging, learning, reporting, using, videos

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Self-supervised learning on video: a folder of unlabelled videos in, an encoder you can trust out.",
    epilog="Begin with: reelvec demo. Any setting follows the paths as key=value. Each command explains itself: "
    "reelvec COMMAND --help.",
)

for command in (
    about.demo,
    videos.index,
    videos.prepare,
    learning.pretrain,
    judging.evaluate,
    judging.diagnose,
    judging.health,
    judging.compare,
    reporting.report,
    learning.study,
    using.embed,
    using.search,
    about.methods,
    about.doctor,
    videos.shapes,
):
    app.command()(command)
app.command("import")(importing.import_encoder)  # a function cannot have that name


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        from reelvec import __version__

        typer.echo(f"reelvec {__version__}")
        raise typer.Exit
