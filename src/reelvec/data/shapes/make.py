"""Writing a set: H.264 files, a table of labels, truth files. The set appears whole or not at all."""

import csv
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
from pydantic import ValidationError

from reelvec.core import ReelvecError, write_json, write_whole
from reelvec.core.shapes import UInt8
from reelvec.data.shapes.render import draw_video, render
from reelvec.data.shapes.settings import SPLITS, Settings

COLUMNS = ("path", "split", "motion", "scene", "speed", "shapes", "textures", "radius")
SMALLEST_SIZE, MOST_SPRITES, FASTEST_CAMERA = 32, 50, 10


def make_shapes(
    out: str | os.PathLike[str],
    *,
    videos: int | Sequence[int] = (512, 256),
    seed: int = 0,
    size: int = 72,
    frames: int = 24,
    frames_per_second: int = 24,
    sprites: int = 5,
    camera: float = 0.0,
    split: Sequence[str] = SPLITS,
    truth: bool = True,
    b_frames: int = 0,
    gop: int = 12,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make a set of labelled short videos: motion says nothing about the scene, and no single frame gives the motion.

    `out` becomes a folder with SPLIT/00000.mp4 ..., labels.csv, truth/SPLIT/00000.npz ... and settings.json. A folder
    that holds the same set already is left as it is; any other that is not empty is an error. `videos` is the number of
    videos of each split, or of every one; `size` the side of the square picture in pixels, `sprites` how many
    things move in it, all alike, `camera` the speed of the camera (0: it stands; True or 1: it drifts by 0.3 to 1 pixel a
    frame of 72 pixels, and shakes), `gop` the number of frames from one key frame to the next. `workers` threads render and
    encode; the files do not depend on their number. `on_progress` is called with (videos made, videos to make).

    Returns the folder. Raises ReelvecError for settings that make no video and for a folder that holds something else.
    """
    out = Path(out).resolve()
    settings = _settings(
        videos=videos,
        seed=seed,
        size=size,
        frames=frames,
        frames_per_second=frames_per_second,
        sprites=sprites,
        camera=float(camera) if isinstance(camera, bool) else camera,
        split=split,
        truth=truth,
        b_frames=b_frames,
        gop=gop,
    )
    if not _stands(out, settings):
        write_whole(out, lambda part: _write_set(part, settings, workers, on_progress))
    return out


def encode(path: Path, frames: UInt8[np.ndarray, "t h w 3"], frames_per_second: int, b_frames: int = 0, gop: int = 12) -> None:
    """Write RGB frames as H.264 in an mp4: yuv420p, CRF 18, a key frame at least every `gop` frames.

    Once in some thousand files x264 makes another choice for the very same pictures (seen twice in 2112, one thread, other
    threads at work beside it; the fault is in the AVX-512 code of its macroblock tree, see data/preparing.py). So a file is
    written when it has come out the same twice.
    """
    seen: set[bytes] = set()
    while (content := _encoded(frames, frames_per_second, b_frames, gop)) not in seen:
        seen.add(content)
    path.write_bytes(content)


def _encoded(frames: UInt8[np.ndarray, "t h w 3"], frames_per_second: int, b_frames: int, gop: int) -> bytes:
    # one thread: the bytes then do not depend on the machine's load; refs=1: motion vectors point to the frame before
    options = {"crf": "18", "preset": "fast", "g": str(gop), "bf": str(b_frames), "refs": "1", "threads": "1"}
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frames_per_second, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _settings(*, videos: int | Sequence[int], split: Sequence[str], **rest: float | bool) -> Settings:
    """Check what was asked for."""
    asked = "make a set of shapes"
    split = [split] if isinstance(split, str) else list(split)
    if not split or len(set(split)) < len(split) or not set(split) <= set(SPLITS):
        raise ReelvecError(asked, f"split={','.join(split) or 'none'}", f"name each split once, of {', '.join(SPLITS)}")
    counts = list(videos) if isinstance(videos, Sequence) else [videos] * len(split)
    if len(counts) != len(split) or min(counts) < 1:
        raise ReelvecError(asked, f"videos={videos} for {len(split)} splits", "ask for one video or more of each split")
    try:
        settings = Settings.model_validate({"videos": dict(zip(split, counts, strict=True)), **rest}, strict=True)
    except ValidationError as error:
        wrong = error.errors()[0]
        there = f"{'.'.join(map(str, wrong['loc']))}={wrong['input']!r}: {wrong['msg']}"
        raise ReelvecError(asked, there, "give whole numbers, but for camera (a speed) and truth (yes or no)") from error
    if settings.size < SMALLEST_SIZE or settings.size % 2:
        raise ReelvecError(
            asked,
            f"size={settings.size}",
            f"take an even size of at least {SMALLEST_SIZE} pixels: H.264 stores colours at half the size",
        )
    if not 1 <= settings.sprites <= MOST_SPRITES:
        raise ReelvecError(asked, f"sprites={settings.sprites}", f"ask for 1 to {MOST_SPRITES} sprites")
    if not 0 <= settings.camera <= FASTEST_CAMERA:
        raise ReelvecError(asked, f"camera={settings.camera:g}", f"give the camera a speed of 0 to {FASTEST_CAMERA}")
    if settings.frames < 2 or settings.frames_per_second < 1 or not 0 <= settings.b_frames <= 16 or settings.gop < 1:
        numbers = {name: getattr(settings, name) for name in ("frames", "frames_per_second", "b_frames", "gop")}
        there = " ".join(f"{name}={number}" for name, number in numbers.items())
        raise ReelvecError(asked, there, "ask for two frames or more, one a second or more, 0 to 16 b_frames and gop=1 or more")
    return settings


def _stands(out: Path, settings: Settings) -> bool:
    """Whether the folder already holds this very set; ReelvecError if it holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    asked, other = f"make a set of shapes in {out}", "choose an empty folder or a new name, or delete what is there"
    if not out.is_dir():
        raise ReelvecError(asked, "a file of that name", other)
    try:
        there = Settings.model_validate_json((out / "settings.json").read_text())
    except (OSError, ValueError) as error:
        raise ReelvecError(asked, "a folder that holds something else than such a set", other) from error
    if there != settings:
        differ = [key for key in Settings.model_fields if getattr(there, key) != getattr(settings, key)]
        values = ", ".join(f"{key}={getattr(there, key)} (asked: {getattr(settings, key)})" for key in differ)
        raise ReelvecError(asked, f"another set, with {values}", other)
    missing = [name for name in _files(settings) if not (out / name).is_file()]
    if missing:
        raise ReelvecError(asked, f"this set, but {len(missing)} of its files are gone, {missing[0]} first", other)
    return True


def _files(settings: Settings) -> list[str]:
    """Name all files of a set but settings.json."""
    videos = [f"{split}/{number:05d}" for split, count in settings.videos.items() for number in range(count)]
    truth = [f"truth/{name}.npz" for name in videos] if settings.truth else []
    return ["labels.csv", *(f"{name}.mp4" for name in videos), *truth]


def _write_set(folder: Path, settings: Settings, workers: int, on_progress: Callable[[int, int], None] | None) -> None:
    for split in settings.videos:
        (folder / split).mkdir(parents=True)
        if settings.truth:
            (folder / "truth" / split).mkdir(parents=True)
    wanted = [(split, number) for split, count in settings.videos.items() for number in range(count)]
    rows = []
    with ThreadPoolExecutor(max(workers, 1)) as threads:
        try:
            for row in threads.map(lambda which: write_video(folder, settings, *which), wanted):
                rows.append(row)
                if on_progress:
                    on_progress(len(rows), len(wanted))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    write_json(folder / "settings.json", settings.model_dump())


def write_video(folder: Path, settings: Settings, split: str, number: int) -> dict[str, str]:
    """Make one video of a set, in whatever order. Returns its row of labels.csv."""
    video = draw_video(settings, split, number)
    pixels, truth = render(settings, video)
    encode(folder / video.name, pixels, settings.frames_per_second, settings.b_frames, settings.gop)
    if settings.truth:
        truth.save((folder / "truth" / video.name).with_suffix(".npz"))
    return {
        "path": video.name,
        "split": split,
        "motion": video.motion,
        "scene": video.scene,
        "speed": f"{truth.speed.mean():.4f}",
        "shapes": " ".join(sprite.shape for sprite in video.sprites),
        "textures": " ".join(sprite.texture for sprite in video.sprites),
        "radius": f"{np.mean([path.radius[:-1] for path in video.paths]):.4f}",
    }
