"""How many frames a second give motion vectors, on one core, beside plain decoding and optical flow.

    python benchmarks/motion_vectors.py                            files that it makes itself
    python benchmarks/motion_vectors.py VIDEOS --out FILE.json     also a folder

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

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from measuring import Row, arguments, finish, machine, one_thread, rate, table, take_turns

from reelvec.core import Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.index import VideoRow, index
from reelvec.data.streams import delivered_size, read_clips
from reelvec.data.video_file import open_video

TITLE = "By file"
NOTE = "Frames a second on one core; delivered is the size of rgb and of the frames that DIS sees."
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


def measure(row: VideoRow, short_side: int, rounds: int) -> Row:
    """Return a line of the table: frames a second of each way, in turns; None where the file has no vectors."""
    ways: dict[str, Callable[[], int]] = {
        "decode": lambda: decode(row, False),
        "+vectors": lambda: decode(row, True),
        "grid": lambda: read(row, (Stream.MOTION_VECTORS,), short_side),
        "rgb": lambda: read(row, (Stream.RGB,), short_side),
        "rgb+grid": lambda: read(row, (Stream.RGB, Stream.MOTION_VECTORS), short_side),
        "dis": lambda: read(row, (Stream.FLOW,), short_side, DIS_FRAMES),
    }
    without = {"+vectors", "grid", "rgb+grid"} if not row.has_motion_vectors else set()
    tried = {way: work for way, work in ways.items() if way not in without}
    frames = {way: work() for way, work in tried.items()}
    seconds = take_turns(tried, rounds)
    height, width = delivered_size(row, Needs(streams=(), short_side=short_side))
    return {
        "file": Path(row.path).name,
        "codec": row.codec,
        "size": f"{row.width}x{row.height}",
        "frames": row.frames,
        "delivered": f"{width}x{height}",
        **{way: rate(frames[way], seconds[way]) if way in tried else None for way in WAYS},
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("videos", nargs="?", help="a folder of videos to measure as well")
    parser.add_argument("--short-side", type=int, default=128, help="of the frames delivered (default: 128)")
    given = parser.parse_args(argv)
    given.rounds = given.rounds or (1 if given.quick else 3)
    one_thread()
    described = machine("reelvec", "av", "numpy", "opencv-python-headless")  # before the work: the load is that of others
    with tempfile.TemporaryDirectory() as folder:
        made = [Path(folder) / name for name in FILES]
        for path, settings in zip(made, FILES.values(), strict=True):
            make(path, frames=20 if given.quick else 250, **settings)
        try:
            found = [index(made, workers=0), *([index(given.videos, workers=0)] if given.videos else [])]
        except ReelvecError as error:
            parser.error(str(error))
        rows = [measure(videos.row(int(i)), given.short_side, given.rounds) for videos in found for i in videos.usable()]
    finish("motion_vectors", given, described, [table(TITLE, NOTE, rows)])


if __name__ == "__main__":
    main()
