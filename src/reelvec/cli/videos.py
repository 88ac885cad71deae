"""Commands about video files: index, prepare, shapes."""

from typing import Annotated, Any

import typer

from reelvec.cli.options import Json
from reelvec.cli.words import expect_paths, keyword_arguments, split_words


def index(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="VIDEOS [KEY=VALUE]...", help="A folder, a glob, or a CSV with a column of paths."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look into every video file once and name what is broken.

    [bold]Examples[/bold]

      reelvec index videos/

      reelvec index videos/ out=index.parquet workers=8

    The index says for each file: codec, size, frame times, key frames, sound,
    whether the codec's motion vectors can be read, and a status. Every other
    command takes the index in place of the folder. A second run looks at new
    files only.
    """
    from reelvec.cli.live import counting
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.cli.tables import index_table
    from reelvec.data.index import index as verb

    paths, settings = split_words(words or [])
    expect_paths(paths[:1] if len(paths) > 1 else paths, ["VIDEOS"], "index")
    source: Any = paths[0] if len(paths) == 1 else paths
    arguments = {"out": "index.parquet", **keyword_arguments(verb, settings, taken=("source",))}
    with only_results_on_stdout(as_json), counting(talk(), "reading videos", silent=as_json) as on_progress:
        made = verb(source, **arguments, on_progress=on_progress)
    bad = [{"path": path, "status": status, "reason": reason} for path, status, reason in made.bad()]
    show({**made.summary(), "out": arguments["out"], "bad": bad}, index_table, as_json)


def prepare(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="VIDEOS OUT [KEY=VALUE]...", help="What `reelvec index` takes, or an index; a folder to make."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Encode videos anew, so that training reads them many times as fast.

    [bold]Examples[/bold]

      reelvec prepare videos/ prepared/

      reelvec prepare videos/ prepared/ short_side=256 quality=18 audio=drop

      reelvec prepare index.parquet prepared/ flow=edges workers=8

      reelvec pretrain prepared/index.parquet --method modist

    Small H.264 files: short side 128 (short_side=), a key frame every 12
    (gop=), no B frames, one reference, upright, times of all frames kept.
    Each is read back and compared with its source before it gets its name.
    flow=edges also keeps MoDist's motion input beside each video: large
    files, said before it begins. The same command again does what is
    missing or has changed. Originals are only read; keep them, for nothing
    larger than short_side can be had from what is prepared.
    """
    from reelvec.cli.live import counting
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.cli.tables import prepare_table
    from reelvec.verbs.prepare import prepare as verb

    paths, settings = split_words(words or [])
    expect_paths(paths, ["VIDEOS", "OUT"], "prepare")
    arguments = keyword_arguments(verb, settings, taken=("videos", "out"))
    console = talk()
    with only_results_on_stdout(as_json), counting(console, "preparing videos", silent=as_json) as on_progress:
        result = verb(paths[0], paths[1], **arguments, on_progress=on_progress, on_message=None if as_json else console.print)
    show(result, prepare_table, as_json)


def shapes(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="OUT [KEY=VALUE]...", help="The folder to make; then settings.")
    ] = None,
    train: Annotated[int, typer.Option(min=1, help="Videos to learn from.")] = 500,
    test: Annotated[int, typer.Option(min=0, help="Videos to measure with, of textures unseen in training.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same videos.")] = 0,
    size: Annotated[int, typer.Option(min=32, help="Side of a frame in pixels.")] = 72,
    frames: Annotated[int, typer.Option(min=2, help="Frames of a video.")] = 24,
    camera: Annotated[bool, typer.Option("--camera", help="Move the camera too; camera=0.3 for a slow one.")] = False,
    as_json: Json = False,
) -> None:
    """Make small labelled videos: motion and scene are independent.

    [bold]Examples[/bold]

      reelvec shapes shapes/

      reelvec shapes shapes/ --train 500 --test 200 --size 72 --camera

    "Does the encoder know the motion, or only the scene?" has an exact answer
    on it. labels.csv holds motion, scene and split of each video; truth/
    holds flow, boxes and masks as they were drawn.
    """
    from reelvec.cli.live import counting
    from reelvec.cli.output import only_results_on_stdout, show, talk
    from reelvec.cli.tables import facts_table
    from reelvec.core import ReelvecError
    from reelvec.data.shapes import make_shapes as verb

    paths, settings = split_words(words or [])
    expect_paths(paths, ["OUT"], "shapes")
    if camera and any(setting.startswith("camera=") for setting in settings):
        raise ReelvecError("make a set of shapes", "--camera, which is camera=1, and camera=...", "give one of the two")
    taken = ("out", "videos", "split", "seed", "size", "frames")
    arguments = ({"camera": 1.0} if camera else {}) | keyword_arguments(verb, settings, taken)
    counts = {"train": train, "test": test} if test else {"train": train}
    with only_results_on_stdout(as_json), counting(talk(), "drawing videos", silent=as_json) as on_progress:
        folder = verb(
            paths[0],
            videos=list(counts.values()),
            split=list(counts),
            seed=seed,
            size=size,
            frames=frames,
            **arguments,
            on_progress=on_progress,
        )
    show({"folder": folder, **counts, "labels": folder / "labels.csv"}, facts_table, as_json)
