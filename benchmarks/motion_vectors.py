"""How many frames a second give motion vectors, on one core, beside plain decoding and optical flow.

    python benchmarks/motion_vectors.py                       files that it makes itself
    python benchmarks/motion_vectors.py VIDEOS --out NAME     also a folder; writes benchmarks/results/NAME.json

Each file is read from its first to its last frame in these ways:

- decode: the decoder alone; no picture is converted.
- +vectors: the same, and the decoder hands out its motion vectors, which are copied.
- grid: `motion_vectors` as a method gets them, from file to grid; for H.264 files of several references this includes the
  pictures by which distances are estimated.
- rgb: pictures as a method gets them.
- rgb+grid: both from one decoding, as CMD reads them.
- dis: optical flow by OpenCV's DIS between neighbouring frames, on the first frames only: it is slow.

Huang et al. (CVPR 2021, arXiv 2104.00862) say that CMD's targets are extracted at over 500 frames/s on a CPU; of their steps,
`+vectors` and `grid` are nearest.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import av
import cv2
import numpy as np
from measuring import machine

from reelvec.core import Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.index import VideoRow, index
from reelvec.data.streams import delivered_size, read_clips
from reelvec.data.video_file import open_video

RESULTS = Path(__file__).parent / "results"
WAYS = ("decode", "+vectors", "grid", "rgb", "rgb+grid", "dis")
DIS_FRAMES = 60
FILES: dict[str, dict[str, Any]] = {
    "mpeg4_320x240.avi": {"encoder": "mpeg4", "size": (320, 240)},
    "h264_320x240.mp4": {"encoder": "libx264", "size": (320, 240), "options": {"bf": "0", "refs": "1"}},
    "h264_320x240_refs3_b3.mp4": {"encoder": "libx264", "size": (320, 240), "options": {"bf": "3", "refs": "3"}},
    "h264_1280x720.mp4": {"encoder": "libx264", "size": (1280, 720), "options": {"bf": "0", "refs": "1"}},
}
"""made here: a key frame in twelve, as in the paper; two layers of noise that move"""


def make(path: Path, encoder: str, size: tuple[int, int], frames: int, options: dict[str, str] | None = None) -> None:
    """Write a video of a moving ground with a patch that moves against it."""
    width, height = size
    rng = np.random.default_rng(0)
    ground, patch = (_noise(rng, height, width) for _ in range(2))
    inside = np.s_[height // 4 : height // 2, width // 4 : width // 2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, "yuv420p", 12
        stream.bit_rate = width * height * 8
        for number in range(frames):
            picture = np.roll(ground, (number, 2 * number), (0, 1))
            picture[inside] = np.roll(patch, (0, -3 * number), (0, 1))[inside]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    soft = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3)).astype(np.float32), (0, 0), 4)
    return cv2.normalize(soft, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def decode(row: VideoRow, vectors: bool) -> int:
    """Decode a file and return its frames; with `vectors`, take over what the decoder exports."""
    frames = 0
    with open_video(row.path, vectors=vectors) as (container, stream):
        for frame in container.decode(stream):
            frames += 1
            data = frame.side_data.get("MOTION_VECTORS") if vectors else None
            if data is not None:
                data.to_ndarray().copy()
    return frames


def read(row: VideoRow, streams: tuple[Stream, ...], short_side: int, most: int | None = None) -> int:
    """Read all frames (or the first `most`) of streams as a method gets them."""
    frames = min(row.frames, most or row.frames)
    needs = Needs(streams=tuple(StreamNeed(stream=s, frames=frames, stride=1) for s in streams), clips=1, short_side=short_side)
    read_clips(row, needs, [0.0])
    return frames


def measure(row: VideoRow, short_side: int, repeats: int) -> dict[str, float | None]:
    """Return frames a second of each way, the median of some repeats; None where the file has no vectors."""
    ways: dict[str, Callable[[], int]] = {
        "decode": lambda: decode(row, False),
        "+vectors": lambda: decode(row, True),
        "grid": lambda: read(row, (Stream.MOTION_VECTORS,), short_side),
        "rgb": lambda: read(row, (Stream.RGB,), short_side),
        "rgb+grid": lambda: read(row, (Stream.RGB, Stream.MOTION_VECTORS), short_side),
        "dis": lambda: read(row, (Stream.FLOW,), short_side, DIS_FRAMES),
    }
    without = {"+vectors", "grid", "rgb+grid"} if not row.has_motion_vectors else set()
    return {way: None if way in without else median(_rates(ways[way], repeats)) for way in WAYS}


def _rates(work: Callable[[], int], repeats: int) -> Iterator[float]:
    for _ in range(repeats):
        began = perf_counter()
        frames = work()
        yield frames / (perf_counter() - began)


def main() -> None:
    """Measure, print a table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="?", help="a folder of videos to measure as well")
    parser.add_argument("--frames", type=int, default=250, help="frames of the files that are made (default: 250)")
    parser.add_argument("--short-side", type=int, default=128, help="of the frames delivered (default: 128)")
    parser.add_argument("--repeats", type=int, default=3, help="the median of these counts (default: 3)")
    parser.add_argument("--out", help="write benchmarks/results/OUT.json")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)

    described = machine("reelvec", "av", "numpy", "opencv-python-headless")  # before the work: the load is that of others
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        made = [Path(folder) / name for name in FILES]
        for path, settings in zip(made, FILES.values(), strict=True):
            make(path, frames=arguments.frames, **settings)
        try:
            found = [index(made, workers=0), *([index(arguments.videos, workers=0)] if arguments.videos else [])]
        except ReelvecError as error:
            parser.error(str(error))
        print(f"{'frames/s on one core':34}{'size':>11}{'frames':>8}" + "".join(f"{way:>11}" for way in WAYS))
        for row in (videos.row(int(i)) for videos in found for i in videos.usable()):
            rates = measure(row, arguments.short_side, arguments.repeats)
            name, size = Path(row.path).name, f"{row.width}x{row.height}"
            shown = "".join(f"{'-' if rate is None else f'{rate:.0f}':>11}" for rate in rates.values())
            print(f"{name[:33]:34}{size:>11}{row.frames:>8}{shown}", flush=True)
            rows.append(
                {
                    "file": name,
                    "made_here": row.path.startswith(folder),
                    "codec": row.codec,
                    "size": [row.width, row.height],
                    "frames": row.frames,
                    "delivered": delivered_size(row, Needs(streams=(), short_side=arguments.short_side))[::-1],
                    "frames_per_second": {way: None if rate is None else round(rate, 1) for way, rate in rates.items()},
                }
            )
    if arguments.out:
        RESULTS.mkdir(exist_ok=True)
        out = RESULTS / f"{arguments.out}.json"
        settings = {"frames": arguments.frames, "short_side": arguments.short_side, "repeats": arguments.repeats}
        out.write_text(json.dumps({"machine": described, "settings": settings, "files": rows}, indent=2) + "\n")
        print(f"written: {out}")


if __name__ == "__main__":
    main()
