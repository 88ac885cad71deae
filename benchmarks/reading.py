"""How fast clips are read from video files: reelvec beside bare decoding and beside other readers, on the same files.

    python benchmarks/reading.py                     files that it writes itself
    python benchmarks/reading.py --videos FOLDER     also a folder of yours
    python benchmarks/reading.py --out FILE.json     keeps the result

A request is what a method asks of one file: 2 clips of 8 frames, 4 apart, at times drawn as in training, with a short side of
128 pixels, as one array of uint8. Everyone opens the file anew for every request, as a loader does that goes through many
files, and uses one thread. Contenders take turns. glibc keeps what is freed, as in a worker of our loader, for all of them.

- floor: libavcodec alone (by PyAV, one thread): the file is opened and the frames without which the wanted ones cannot be had
  are decoded; no picture is converted, scaled or copied. Nothing that uses this decoder can be faster.
- torchcodec: seek mode exact, which scans a file when it is opened; it scales while decoding.
- torchcodec approximate: without that scan; frames are right where the frame rate is constant.
- decord2: scales while decoding.
- OpenCV: seeks where a key frame lies between, else skips by `grab`; then `resize`.
- reelvec: `read_clips` with a row of the index, in which time stamps and key frames of the file stand.
- reelvec yuv: the same with `pictures=yuv`: the planes of the codec at that size, which become RGB on the device, with the crop
  (`benchmarks/views.py` says what that takes).

The index is made before, once, and everyone reads once before anything is timed, so files come from the system's cache.
torchcodec needs FFmpeg's shared libraries: it is lent those in PyAV's wheel, and so runs the same libavcodec as the floor.
"""

import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from lent_ffmpeg import lend_ffmpeg
from measuring import (
    Row,
    absent,
    arguments,
    figure,
    finish,
    machine,
    moving_frames,
    one_thread,
    rate,
    ratio,
    table,
    take_turns,
    write_video,
)

from reelvec.core import Needs, Stream, StreamNeed
from reelvec.core.machine import keep_freed_memory
from reelvec.data.index import Index, VideoRow, index
from reelvec.data.loader import TrainingPlan
from reelvec.data.streams import delivered_size, frames_shown, read_clips
from reelvec.verbs.prepare import prepare

PEERS = {
    "torchcodec": "torchcodec",
    "torchcodec approximate": "torchcodec",
    "decord2": "decord2",
    "OpenCV": "opencv-python-headless",
}
"""contender -> package"""

OURS = ("floor", "reelvec", "reelvec yuv")
NEIGHBOURS = 2
"""frames before and after the wanted one that a picture is compared with"""
LONGEST = 3000
"""frames of a file whose pictures are compared: all of them are kept in memory for that"""


@dataclass(frozen=True)
class Request:
    """What is asked of one file, in the words of all contenders."""

    videos: Index
    needs: Needs
    row: VideoRow
    start_seconds: tuple[float, ...]
    wanted: np.ndarray
    """(clips, frames): the numbers of the frames"""
    size: tuple[int, int]
    """height and width"""

    @property
    def numbers(self) -> np.ndarray:
        """The frames to decode, rising, each once."""
        return np.unique(self.wanted)

    def clips(self, frames: np.ndarray) -> np.ndarray:
        """Put frames (k h w 3), in the order of `numbers`, together as clips (n 3 t h w)."""
        return np.ascontiguousarray(frames[np.searchsorted(self.numbers, self.wanted)].transpose(0, 4, 1, 2, 3))


Readers = dict[str, Callable[[Request], Any]]


def by_reelvec(request: Request) -> np.ndarray:
    row = request.videos.row(request.row.row)  # a row of the index becomes Python objects with every request
    return read_clips(row, request.needs, request.start_seconds)[Stream.RGB]


def by_reelvec_yuv(request: Request) -> dict[Stream, np.ndarray]:
    row = request.videos.row(request.row.row)
    return read_clips(row, request.needs.in_planes(), request.start_seconds)


def by_floor(request: Request) -> None:
    row = request.row
    with av.open(row.path) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        decoder.thread_count, decoder.thread_type = 1, "SLICE"
        for key, numbers in runs_from_keys(row, request.numbers):
            if key:
                container.seek(int(row.pts[key]), stream=stream)
            left = set(row.pts[numbers].tolist())
            for packet in container.demux(stream):
                decoder.skip_frame = "DEFAULT" if packet.pts in left else "NONREF"
                left.difference_update(frame.pts for frame in packet.decode())
                if not left:
                    break


def runs_from_keys(row: VideoRow, numbers: np.ndarray) -> Iterator[tuple[int, list[int]]]:
    """Split frames at key frames: (key frame to start at, frames); 0 stands for the beginning and for just going on."""
    keys = row.key_frames[np.searchsorted(row.key_frames, numbers, side="right") - 1].tolist()
    run: list[int] = []
    start, reached = 0, -1
    for number, key in zip(numbers.tolist(), keys, strict=True):
        if key > reached + 1:
            if run:
                yield start, run
            start, run = key, []
        run.append(number)
        reached = number
    yield start, run


def by_torchcodec(mode: str) -> Callable[[Request], np.ndarray]:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    def read(request: Request) -> np.ndarray:
        decoder = VideoDecoder(
            request.row.path, seek_mode=mode, num_ffmpeg_threads=1, dimension_order="NHWC", transforms=[Resize(request.size)]
        )
        return request.clips(decoder.get_frames_at(request.numbers.tolist()).data.numpy())

    return read


def by_decord() -> Callable[[Request], np.ndarray]:
    from decord import VideoReader

    def read(request: Request) -> np.ndarray:
        height, width = request.size
        reader = VideoReader(request.row.path, width=width, height=height, num_threads=1)
        return request.clips(reader.get_batch(request.numbers.tolist()).asnumpy())

    return read


def by_opencv(request: Request) -> np.ndarray:
    capture = cv2.VideoCapture(request.row.path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    pictures, at = [], 0
    for key, numbers in runs_from_keys(request.row, request.numbers):
        if key:
            at = numbers[0]
            capture.set(cv2.CAP_PROP_POS_FRAMES, at)
        for number in numbers:
            while at <= number:
                capture.grab()
                at += 1
            small = cv2.resize(capture.retrieve()[1], request.size[::-1], interpolation=cv2.INTER_AREA)
            pictures.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
    capture.release()
    return request.clips(np.stack(pictures))


def contenders() -> tuple[Readers, dict[str, str]]:
    """Return those that can run here, and a word on those that cannot."""
    makers: dict[str, Callable[[], Callable[[Request], Any]]] = {
        "torchcodec": partial(by_torchcodec, "exact"),
        "torchcodec approximate": partial(by_torchcodec, "approximate"),
        "decord2": by_decord,
        "OpenCV": lambda: by_opencv,
    }
    missing = absent(PEERS.values())
    ready: Readers = {"floor": by_floor}
    left_out = {name: missing[package] for name, package in PEERS.items() if package in missing}
    for name, make in makers.items():
        if name in left_out:
            continue
        try:
            ready[name] = make()
        except (ImportError, RuntimeError, OSError) as error:
            left_out[name] = f"it does not load here (torchcodec needs FFmpeg's shared libraries): {str(error).splitlines()[0]}"
    ready |= {"reelvec": by_reelvec, "reelvec yuv": by_reelvec_yuv}
    return ready, left_out


def needs_of(frames: int = 8, stride: int = 4) -> Needs:
    """Two clips of a file."""
    return Needs(streams=(StreamNeed(stream=Stream.RGB, frames=frames, stride=stride),), clips=2, short_side=128)


def requests_of(videos: Index, needs: Needs, many: int) -> list[Request]:
    """Draw requests as a training run does; of upright files, since not every reader turns the others."""
    upright = [row for row in videos.usable().tolist() if not videos.row(row).rotation_degrees]
    plan = TrainingPlan(videos, needs, seed=0, rows=upright)
    drawn = (plan.request(number, 0) for number in range(many))
    return [request_of(videos, needs, one.row, one.start_seconds) for one in drawn]


def request_of(videos: Index, needs: Needs, number: int, start_seconds: tuple[float, ...]) -> Request:
    """Say which frames clips at these times are."""
    row = videos.row(number)
    wanted = frames_shown(row, needs, needs.streams[0], start_seconds)
    return Request(videos, needs, row, start_seconds, wanted, delivered_size(row, needs))


def able(requests: Sequence[Request], readers: Readers, left_out: dict[str, str]) -> Readers:
    """Return the readers that can read these files at all; a word on the others goes into `left_out`."""
    kept = {}
    for who, read in readers.items():
        try:
            for request in requests:
                read(request)
            kept[who] = read
        except Exception as error:  # whatever files of all kinds do to a reader
            if who in OURS:
                raise
            left_out[f"{who} on your files"] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return kept


def measure(name: str, requests: Sequence[Request], readers: Readers, rounds: int) -> Row:
    """Return a line: clips a second of each reader, and the ratios that count."""

    def all_of(read: Callable[[Request], Any]) -> None:
        for request in requests:
            read(request)

    seconds = take_turns({who: partial(all_of, read) for who, read in readers.items()}, rounds)
    clips = sum(len(request.wanted) for request in requests)
    peers = [who for who in readers if who not in OURS]
    fastest = fastest_of(peers, seconds)
    return {
        "files": name,
        **{who: rate(clips, seconds[who]) for who in readers},
        "reelvec, of the floor's speed": ratio(seconds["floor"], seconds["reelvec"]),
        "reelvec over the fastest peer": ratio(seconds[fastest], seconds["reelvec"]) if fastest else None,
        "yuv, of the floor's speed": ratio(seconds["floor"], seconds["reelvec yuv"]),
        "yuv over the fastest peer": ratio(seconds[fastest], seconds["reelvec yuv"]) if fastest else None,
        "fastest peer": fastest,
    }


def fastest_of(peers: Sequence[str], seconds: dict[str, list[float]]) -> str | None:
    """Return the peer of the lowest median; None where there is none."""
    return min(peers, key=lambda who: sorted(seconds[who])[len(seconds[who]) // 2], default=None)


def compare(name: str, requests: Sequence[Request], readers: Readers) -> list[Row]:
    """Compare everyone's pictures with those of decoding the whole file from its beginning."""
    whole: dict[str, np.ndarray] = {}
    rows = []
    for who, read in readers.items():
        if who in ("floor", "reelvec yuv"):  # planes are compared in tests/data/test_pictures.py
            continue
        off, others, frames = [], 0, 0
        for request in requests:
            path = request.row.path
            if request.row.frames > LONGEST:
                continue
            if path not in whole:
                whole[path] = decode_whole(path, request.size)
            clips = read(request).astype(np.int16)
            for clip, numbers in zip(clips, request.wanted, strict=True):
                for picture, number in zip(clip.transpose(1, 2, 3, 0), numbers.tolist(), strict=True):
                    around = range(max(number - NEIGHBOURS, 0), min(number + NEIGHBOURS + 1, len(whole[path])))
                    distance = {n: float(np.abs(picture - whole[path][n]).mean()) for n in around}
                    others += min(distance, key=distance.__getitem__) != number
                    off.append(distance[number])
                    frames += 1
        if frames:
            rows.append(
                {"files": name, "reader": who, "frames": frames, "other frames": others, "grey levels off": figure(off)}
            )
    return rows


def decode_whole(path: str, size: tuple[int, int]) -> np.ndarray:
    """Decode a file from its first to its last frame, scaled by the mean over the area."""
    with av.open(path) as container:
        frames = container.decode(container.streams.video[0])
        return np.stack([f.to_ndarray(format="rgb24", height=size[0], width=size[1], interpolation="AREA") for f in frames])


def measure_preparing(name: str, before: Sequence[Request], after: Sequence[Request], rounds: int) -> Row:
    """Return a line: the same clips of the same films, from the files as they are and as `reelvec prepare` leaves them."""
    work = {
        "as they are": lambda: [by_reelvec(request) for request in before],
        "prepared": lambda: [by_reelvec(request) for request in after],
    }
    seconds = take_turns(work, rounds)
    clips = sum(len(request.wanted) for request in before)
    rates = {who: rate(clips, taken) for who, taken in seconds.items()}
    return {"files": name, **rates, "prepared over as they are": ratio(seconds["as they are"], seconds["prepared"])}


def make_files(folder: Path, given: Namespace) -> dict[str, Index]:
    """Write the files of each kind; returns their indexes by name."""
    frames, many = (60, 1) if given.quick else (300, 3)
    large, gops = (180, (48, 12)) if given.quick else (720, (250, 48))
    heights = () if given.quick else (240, 480, 1080)
    effort = {"preset": "ultrafast"} if given.quick else {}

    def write(height: int, gop: int) -> list[Path]:
        width = height * 16 // 9 // 2 * 2
        return [
            write_video(folder / f"{height}_{gop}_{seed}.mp4", moving_frames(width, height, frames, seed), gop, **effort)
            for seed in range(many)
        ]

    rare, frequent = (write(large, gop) for gop in gops)
    prepared = prepare(frequent, folder / "prepared", workers=0)["index"]
    return {
        f"{large}p, GOP {gops[0]}": index(rare, workers=0),
        f"{large}p, GOP {gops[1]}": index(frequent, workers=0),
        "prepared": Index.load(prepared),
        **{f"{height}p, GOP {gops[1]}": index(write(height, gops[1]), workers=0) for height in heights},
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--videos", type=Path, metavar="FOLDER", help="also measure the upright videos of a folder")
    parser.add_argument("--requests", type=int, help="requests of each contender in a turn (default: 12)")
    given = parser.parse_args(argv)
    given.rounds = given.rounds or (2 if given.quick else 5)
    given.requests = given.requests or (2 if given.quick else 12)
    one_thread()
    keep_freed_memory()
    described = machine("reelvec", "av", *dict.fromkeys(PEERS.values()))
    readers, left_out = contenders()
    with tempfile.TemporaryDirectory() as folder:
        kinds = make_files(Path(folder), given)
        if given.videos:
            kinds[f"your {given.videos.name}"] = index(given.videos)
        drawn = {name: requests_of(videos, needs_of(), given.requests) for name, videos in kinds.items()}
        who = dict.fromkeys(drawn, readers)
        if given.videos:
            yours = list(drawn)[-1]
            who[yours] = able(drawn[yours], readers, left_out)
        rates = [measure(name, requests, who[name], given.rounds) for name, requests in drawn.items()]
        same = [row for name, requests in drawn.items() for row in compare(name, requests[:4], who[name])]
        few = {name: readers[name] for name in OURS}
        large, frequent, prepared = list(kinds)[:3]
        gains = [measure_preparing(name, drawn[name], drawn[prepared], given.rounds) for name in (large, frequent)]
        lengths = [
            measure(f"{name}, {frames} frames", requests_of(kinds[name], needs_of(frames), given.requests), few, given.rounds)
            for name in (large, prepared)
            for frames in ((4, 8) if given.quick else (4, 8, 16, 32))
        ]
    unit = "Clips a second on one core"
    tables = [
        table(
            "By kind of file and resolution",
            f"{unit}; B frames and x264's usual settings; `prepared` is what `reelvec prepare` makes of them.",
            rates,
        ),
        table(
            "Whether all read the same frames",
            "Pictures beside those of decoding the whole file, scaled by the mean over the area as reelvec does: frames that "
            "look more like a neighbour of the one asked for, and the mean difference in grey levels, which the scaling makes.",
            same,
        ),
        table("What preparing gains", f"{unit}, read by reelvec; `reelvec prepare` with its own settings.", gains),
        table(
            "By length of the clips",
            f"{unit}; frames 4 apart.",
            [without(row, "over the fastest", "fastest peer") for row in lengths],
        ),
    ]
    finish("reading", given, described, tables, left_out)


def without(row: Row, *words: str) -> Row:
    """Leave out columns whose name has one of these words."""
    return {name: cell for name, cell in row.items() if not any(word in name for word in words)}


if __name__ == "__main__":
    lend_ffmpeg()
    main()
