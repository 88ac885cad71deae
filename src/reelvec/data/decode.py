"""Frames of a file by number, exactly those that decoding from the first frame on would give."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from reelvec.core.shapes import Int, UInt8
from reelvec.data.index import VideoRow
from reelvec.data.pictures import PlanePictures, Planes, RgbPictures
from reelvec.data.video_file import NoVideoError, open_video, packets_from_key, scaling

_TYPES = "?IPBSIPB"
"""FFmpeg's picture types by number; the switching and BI pictures count as what they resemble"""
_SEEK_GAIN = 4
"""frames that a seek must save; it costs about as much as decoding that many"""
_REORDER = 32
"""frames beyond the last wanted one whose packets may come before it: more than any codec reorders"""


class DecodeError(Exception):
    """A file that cannot give what was asked of it; the loader puts it into quarantine."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[type["DecodeError"], tuple[str, str]]:
        """Cross a process border whole."""
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class Decoded:
    """Frames in the order they were asked for. Vectors are those of the coded picture: before rotation and scaling."""

    frames: UInt8[np.ndarray, "n h w 3"]
    """RGB, as displayed; none (n = 0) where planes were asked for"""
    planes: Planes | None
    """as displayed, where they were asked for"""
    picture_types: list[str]
    """I, P, B, ... or ? of each frame"""
    vectors: list[np.ndarray | None] | None
    """with vectors=True: FFmpeg's AVMotionVector records of each frame (source, w, h, src_x, src_y, dst_x, dst_y, flags,
    motion_x, motion_y, motion_scale) in pixels of the coded picture; None where a frame has none: I frames, and the B frames
    of MPEG-4, for which FFmpeg writes zeros"""
    references: Int[np.ndarray, "n 2"] | None
    """with vectors=True: the numbers of the nearest past and the nearest future frame that each frame can refer to, -1 for
    none. Exact for MPEG-4 and for H.264 with one reference a direction; H.264 may refer further, and does not say so"""
    coded_size: tuple[int, int]
    """height and width of the coded picture, in whose pixels the vectors are"""


@dataclass
class _Kept:
    """What is kept of one wanted frame, beside its picture."""

    picture_type: str
    vectors: np.ndarray | None
    references: tuple[int, int]


def decode_frames(
    row: VideoRow, wanted: Sequence[int], height: int, width: int, *, vectors: bool = False, planes: bool = False
) -> Decoded:
    """Decode frames by number: one opening, one pass forward, seeking where a later key frame saves work.

    Args:
        row: the file's row of the index.
        wanted: frame numbers in presentation order, in any order, repeats allowed; at least one.
        height, width: pixels of the frames delivered, as displayed (after rotation).
        vectors: also export the codec's motion vectors.
        planes: deliver the planes of the codec, which takes less time than RGB.

    Raises:
        DecodeError: the file cannot be opened, is damaged on the way to a wanted frame, or does not hold it.
        IndexError: a number is not one of the row's frames.
    """
    numbers = sorted({int(n) for n in wanted})
    if not numbers or numbers[0] < 0 or numbers[-1] >= row.frames:
        raise IndexError(f"frames {list(wanted)} of a file of {row.frames}: {row.path}")
    reader = _Reader(row, numbers, (height, width), vectors, planes)
    try:
        with open_video(row.path, vectors=vectors) as (container, stream):
            for run in _runs(row, numbers):
                reader.read(container, stream, run)
        missing = [n for n in numbers if n not in reader.kept]
        if missing:  # what could not be had by seeking is had from the start, if at all
            with open_video(row.path, vectors=vectors) as (container, stream):
                reader.read(container, stream, _Run(None, missing))
    except (av.error.FFmpegError, OSError, NoVideoError) as error:
        raise DecodeError(row.path, f"{getattr(error, 'strerror', None) or error}") from error
    missing = [n for n in numbers if n not in reader.kept]
    if missing:
        raise DecodeError(row.path, f"frame {missing[0]} of {row.frames} does not decode: {reader.fault or 'it is not there'}")
    kept = [reader.kept[int(n)] for n in wanted]
    places = np.searchsorted(numbers, wanted)
    as_asked = len(places) == len(numbers) and bool((places == np.arange(len(numbers))).all())
    pictures = reader.pictures.at(None if as_asked else places)
    return Decoded(
        frames=pictures if isinstance(pictures, np.ndarray) else np.empty((0, height, width, 3), np.uint8),
        planes=pictures if isinstance(pictures, Planes) else None,
        picture_types=[k.picture_type for k in kept],
        vectors=[k.vectors for k in kept] if vectors else None,
        references=np.array([k.references for k in kept], np.int64) if vectors else None,
        coded_size=reader.coded_size,
    )


@dataclass(frozen=True)
class _Run:
    """Wanted frames that are decoded in one go, from a key frame or (None) from the start of the file."""

    key: int | None
    wanted: list[int]


def _runs(row: VideoRow, numbers: list[int]) -> list[_Run]:
    """Split rising frame numbers where seeking to a key frame skips enough frames."""
    runs: list[_Run] = []
    reached = 0
    for n in numbers:
        before = int(np.searchsorted(row.key_frames, n, side="right")) - 1
        key = int(row.key_frames[before]) if before >= 0 and row.seeks_by_pts else 0
        if key - reached >= _SEEK_GAIN:
            runs.append(_Run(key, [n]))
        elif runs:
            runs[-1].wanted.append(n)
        else:
            runs.append(_Run(None, [n]))
        reached = n + 1
    return runs


class _Order:
    """Follows the order of decoding, to say which frames a frame can refer to."""

    def __init__(self, first: int) -> None:
        self.fed: dict[int, int] = {}
        self.packets = 0
        self.anchors: list[tuple[int, int]] = []
        """(frame number, place in the order of decoding) of frames shown that others can refer to"""
        self.cursor, self.latest = first, -1

    def feed(self, number: int) -> None:
        """Note that a frame's packet goes into the decoder."""
        self.fed[number] = self.packets
        self.packets += 1

    def show(self, number: int, picture_type: str) -> tuple[int, int]:
        """Note that a frame comes out, in the order shown; return its nearest past and future reference."""
        place = self.fed.get(number, self.packets)  # unknown where frames are not found by time stamp
        past = next((n for n, p in reversed(self.anchors) if p < place), -1) if picture_type != "I" else -1
        later = [n for n, p in self.fed.items() if n > number and p < place] if picture_type == "B" else []
        while self.cursor < number:
            self.latest = max(self.latest, self.fed.pop(self.cursor, -1))
            self.cursor += 1
        # a B picture that is decoded before one shown earlier is there to be referred to
        if picture_type != "B" or place < self.latest:
            self.anchors = [*self.anchors[-16:], (number, place if number in self.fed else -1)]
        return past, min(later, default=-1)


class _Reader:
    """Decodes runs of one file and keeps the wanted frames."""

    def __init__(self, row: VideoRow, numbers: list[int], size: tuple[int, int], vectors: bool, planes: bool) -> None:
        self.row, self.vectors = row, vectors
        height, width = size
        self.width_height = (height, width) if row.rotation_degrees in (90, 270) else (width, height)
        """before rotation"""
        self.pictures = (PlanePictures if planes else RgbPictures)(len(numbers), height, width)
        self.place = {number: i for i, number in enumerate(numbers)}
        self.kept: dict[int, _Kept] = {}
        self.fault = ""
        self.coded_size = (0, 0)
        self.reformatter = VideoReformatter()

    def read(self, container: Any, stream: Any, run: _Run) -> None:
        """Decode until every wanted frame of the run is kept, or the file gives no more; `fault` then says why."""
        row, first = self.row, run.key or 0
        packets: Iterator[Any] | None = container.demux(stream)
        if run.key is not None:
            packets = packets_from_key(container, stream, row.pts[row.key_frames[row.key_frames <= first]].tolist())
        if packets is None:
            return
        ahead = row.pts[first : run.wanted[-1] + _REORDER].tolist()
        number_of = {pts: first + i for i, pts in enumerate(ahead)} if row.seeks_by_pts else {}
        left, counted, all_frames = set(run.wanted), 0, True
        stream.codec_context.skip_frame = "DEFAULT"
        order = _Order(first) if self.vectors else None
        for packet in packets:
            fed = number_of.get(packet.pts)
            if order and fed is not None:
                order.feed(fed)
            # a frame that nobody wants and none refers to need not be decoded
            if row.seeks_by_pts and (fed in left) != all_frames:
                all_frames = not all_frames
                stream.codec_context.skip_frame = "DEFAULT" if all_frames else "NONREF"
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                if self._early(packet.pts, first):
                    continue
                self.fault = f"damaged on the way: {error.strerror}"
                return
            for frame in frames:
                number = number_of.get(frame.pts) if row.seeks_by_pts else counted
                counted += 1
                if number is None:  # before the run's first frame, or far behind its last
                    continue
                if frame.is_corrupt:
                    self.fault = f"damaged on the way, at frame {number}"
                    return
                picture_type = _TYPES[frame.pict_type]
                references = order.show(number, picture_type) if order else (-1, -1)
                if number in left:
                    self.kept[number] = self._keep(frame, number, picture_type, references)
                    left.remove(number)
            if not left:
                return

    def _early(self, pts: int | None, first: int) -> bool:
        """Whether something is shown before the run's first frame: of a group whose beginning was not decoded."""
        return self.row.seeks_by_pts and pts is not None and pts < int(self.row.pts[first])

    def _keep(self, frame: Any, number: int, picture_type: str, references: tuple[int, int]) -> _Kept:
        width, height = self.width_height
        self.coded_size = (frame.height, frame.width)
        scaled = self.reformatter.reformat(frame, width, height, self.pictures.form, **scaling(frame, width, height))
        self.pictures.keep(self.place[number], scaled, -self.row.rotation_degrees // 90)  # rot90 turns counter-clockwise
        zeros = picture_type == "B" and self.row.codec == "mpeg4"
        data = frame.side_data.get("MOTION_VECTORS") if self.vectors and not zeros else None
        # the records lie in the frame's own memory, which goes with it
        return _Kept(picture_type, None if data is None else data.to_ndarray().copy(), references)
