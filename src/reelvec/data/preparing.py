"""One video made ready for training: small, upright, H.264 with frequent key frames, no B frames and one reference.

What training asks of a file is a few frames from a random place. Key frames close to one another make the way to them short,
small frames make it quick; and where each frame is coded from the one before it, the codec's motion vectors are the motion
of one frame interval (data/motion_vectors.py need not guess how far back they reach).

Every frame keeps its time. The result stands under its name when it has been read back: frames and times are compared with
those of the source.

A process that prepares imports this module, and with it no torch: it is there in a fraction of a second.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from pydantic import BaseModel, ConfigDict, Field

from reelvec.data.file_processes import Alive
from reelvec.data.probe import Row, probe
from reelvec.data.video_file import open_video, scaling

# x264's tune for fast decoding leaves out the loop filter and CABAC. Measured at 228 x 128 with quality 20: decoding 1.7 times
# as fast for a tenth more bytes and 0.3 dB. Presets beyond veryfast give no better picture there, and take longer. Its
# macroblock tree saves a sixth of the bytes at the same quality (20 real clips, 43.5 dB), and in its AVX-512 code has a fault:
# now and then a block of the very same pictures is coded with another quantiser (78 of 1488 encodings of a tiny file,
# beside busy threads; none without the tree, none with AVX2). So bytes are not promised, times and pictures are.
_X264 = {"preset": "veryfast", "tune": "fastdecode", "refs": "1", "bf": "0", "sc_threshold": "0"}
_SOUND_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
"""samples a second that AAC knows"""
_SOUND_BITS = 64_000
"""a second and channel"""
_RATES = 1, 240
"""frames a second that the encoder is told, whatever the file; it is a hint, and the times are kept"""


class PrepareSettings(BaseModel):
    """What a prepared video is like. Strict like core's Config, which is not used here because core imports torch."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    short_side: int = Field(default=128, ge=16, multiple_of=2)
    """pixels; a smaller video keeps its size"""
    gop: int = Field(default=12, ge=2)
    """frames from one key frame to the next"""
    quality: int = Field(default=20, ge=1, le=51)
    """x264's crf: smaller is better and larger; 6 less is about twice the bytes"""
    audio: Literal["keep", "drop"] = "keep"


class FlowEdgeSettings(BaseModel):
    """How flow edges are computed: what `core.StreamNeed` says of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: Literal["dis", "codec"] = "dis"
    formula: Literal["a", "b"] = "a"
    clamp: float = Field(default=10.0, gt=0, allow_inf_nan=False)


class NotPreparedError(Exception):
    """A source that cannot be prepared, and why."""


@dataclass(frozen=True)
class Task:
    """One file to prepare."""

    row: Row
    """of the source, as the index has it"""
    target: str
    settings: PrepareSettings
    has_video: bool = False
    """the prepared video stands already, and only its flow edges are wanted"""
    edges: FlowEdgeSettings | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a task."""

    reason: str = ""
    """why the file was not prepared"""
    remark: str = ""
    """what is to be said of it, though it was"""
    flow_remark: str = ""
    """why it has no flow edges, though they were asked for"""
    nowhere_to_write: str = ""
    """why no other file would be prepared either: the disk is full"""


def prepare_file(task: Task, alive: Alive = lambda: None) -> Outcome:
    """Prepare a file, its flow edges too where they are asked for. Never raises: the outcome says what is wrong."""
    try:
        remark = "" if task.has_video else prepare_video(task.row, task.target, task.settings, alive)
    except Exception as error:  # whatever a file does to the decoder, it is one file of many
        reason = _in_words(error)
        return Outcome(nowhere_to_write=reason) if _is_full(error) else Outcome(reason=reason)
    if task.edges is None:
        return Outcome(remark=remark)
    try:
        from reelvec.data.flow_caching import cache_flow_edges  # brings torch, seldom needed

        cache_flow_edges(task.target, task.edges, alive)
    except Exception as error:  # the video is good without
        if _is_full(error):
            return Outcome(nowhere_to_write=_in_words(error))
        return Outcome(remark=remark, flow_remark=f"without flow edges: {_in_words(error)}")
    return Outcome(remark=remark)


def _in_words(error: Exception) -> str:
    if isinstance(error, NotPreparedError):
        return str(error)
    return f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"


def _is_full(error: Exception) -> bool:
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def prepare_video(row: Row, target: str, settings: PrepareSettings, alive: Alive = lambda: None) -> str:
    """Write the prepared video of a source, whole or not at all; returns a remark, most often an empty one.

    What is written is what decodes: where that is less than the index promised, the remark says so.

    Raises:
        NotPreparedError: the source is damaged, or what was written is not what it should be.
        OSError: something cannot be written.
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    part = part_of(target)
    remarks = []
    try:
        try:
            times = _encode(row, part, settings, settings.audio == "keep" and row["has_audio"], alive)
        except _SoundError as error:
            remarks.append(f"without its sound: {error}")
            times = _encode(row, part, settings, False, alive)
        if len(times) < row["frames"]:
            remarks.append(f"{len(times)} of {row['frames']} frames decode")
        _verify(part, times, row, settings)
        os.replace(part, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
    return "; ".join(remarks)


def part_of(path: str) -> str:
    """Return the name under which this process writes a file until it is whole; `writer_of_part` reads it."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.part-{os.getpid()}")


def writer_of_part(name: str) -> int | None:
    """Return the process that writes (or wrote) a file of this name, None where it is no unfinished file."""
    head, _, process = name.rpartition(".part-")
    return int(process) if head.startswith(".") and process.isdigit() else None


def prepared_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return width and height of the prepared picture: even, in proportion, never larger than the source.

    A side of one pixel becomes two, for the encoder knows no less.
    """
    own = min(width, height)
    short = min(short_side, own)

    def side(own_side: int) -> int:
        return max(2, min(2 * round(own_side * short / own / 2), own_side // 2 * 2))

    return side(width), side(height)


def _encode(row: Row, part: str, settings: PrepareSettings, keep_sound: bool, alive: Alive) -> list[int]:
    """Decode a source and encode it anew; returns the times of the frames written, in its ticks, its first frame at 0."""
    first = row["pts"][0]
    with (
        open_video(row["path"]) as (source, picture),
        # its table of contents stands first, so that opening it is one read
        av.open(part, "w", format="mp4", options={"movflags": "+faststart"}) as out,
    ):
        sound = source.streams.audio[0] if keep_sound else None
        pictures = _PictureTrack(out, row, settings)
        sounds = _SoundTrack(out, sound, first * picture.time_base) if sound else None
        frames = _Frames(row)
        for packet in _packets(source, [picture, sound] if sound else [picture]):
            alive()
            if packet.stream_index == picture.index:
                for pts, frame in frames.of(packet):
                    pictures.write(frame, pts - first)
            elif sounds:
                sounds.write(packet)
        if not pictures.times:
            raise NotPreparedError("no frame of it decodes")
        pictures.end()
        if sounds:
            sounds.end()
    return pictures.times


def _packets(source: Any, streams: list[Any]) -> Iterator[Any]:
    try:
        yield from source.demux(*streams)
    except av.error.FFmpegError as error:
        raise NotPreparedError(f"it cannot be read to its end: {error.strerror}") from error


class _Frames:
    """The frames of a source that are shown, with their times."""

    def __init__(self, row: Row) -> None:
        self.seconds_per_tick = row["time_base_num"] / row["time_base_den"]
        self.times: list[int] = row["pts"]
        self.known = set(self.times) if row["seeks_by_pts"] else None
        self.counted = 0
        self.last: int | None = None

    def of(self, packet: Any) -> Iterator[tuple[int, Any]]:
        """Decode a packet; yields time stamps of the index and frames. Raises NotPreparedError where it is damaged."""
        try:
            decoded = packet.decode()
        except av.error.FFmpegError as error:
            if self.known and packet.pts is not None and packet.pts < self.times[0]:
                return  # of a group of pictures whose beginning was cut away
            raise NotPreparedError(f"damaged{self._at(packet.pts)}: {error.strerror}") from error
        for frame in decoded:
            pts = self._time(frame)
            if pts is None:
                continue
            if frame.is_corrupt:
                raise NotPreparedError(f"damaged{self._at(pts)}: the decoder had to guess parts of a frame")
            if self.last is None or pts > self.last:
                self.last = pts
                yield pts, frame

    def _time(self, frame: Any) -> int | None:
        """Return a frame's time stamp, None where it is not shown. Files without right ones are counted through."""
        if self.known is not None:
            return frame.pts if frame.pts in self.known else None
        self.counted += 1
        return self.times[self.counted - 1] if self.counted <= len(self.times) else None

    def _at(self, pts: int | None) -> str:
        return "" if pts is None else f" at {(pts - self.times[0]) * self.seconds_per_tick:.2f} s"


class _PictureTrack:
    """Scales, turns and encodes frames."""

    def __init__(self, out: Any, row: Row, settings: PrepareSettings) -> None:
        self.out = out
        self.rotation_degrees = row["rotation_degrees"]
        self.width, self.height = prepared_size(row["width"], row["height"], settings.short_side)
        self.time_base = Fraction(row["time_base_num"], row["time_base_den"])
        self.reformatter = VideoReformatter()
        self.times: list[int] = []
        """of the frames written, in ticks of the source"""
        rate = Fraction(min(max(row["frames_per_second"], _RATES[0]), _RATES[1])).limit_denominator(1001)
        self.stream = out.add_stream("libx264", rate=rate, options=_X264 | {"crf": str(settings.quality)})
        self.stream.width, self.stream.height, self.stream.pix_fmt = self.width, self.height, "yuv420p"
        self.encoder = self.stream.codec_context
        self.encoder.time_base = self.stream.time_base = self.time_base
        self.encoder.gop_size, self.encoder.max_b_frames, self.encoder.thread_count = settings.gop, 0, 1
        self.encoder.options = self.encoder.options | {"keyint_min": str(settings.gop)}
        self.durations = _durations(row)

    def write(self, frame: Any, time: int) -> None:
        """Encode one frame, to be shown at `time` (ticks of the source)."""
        small = self._small(frame)
        small.pts, small.time_base = time, self.time_base
        small.pict_type = 0  # the source's own I, P and B would be taken for orders
        if not self.times:  # how its colours are meant: the source's matrix, and levels of 16 to 235
            self.encoder.colorspace, self.encoder.color_range = small.colorspace, 1
        self.times.append(time)
        self._mux(self.stream.encode(small))

    def end(self) -> None:
        """Encode what the encoder still holds back."""
        self._mux(self.stream.encode())

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self.durations[packet.pts]
            self.out.mux(packet)

    def _small(self, frame: Any) -> Any:
        lies = self.rotation_degrees in (90, 270)
        width, height = (self.height, self.width) if lies else (self.width, self.height)
        # unless told so, it leaves the full range of levels that phones and MJPEG use in a picture marked otherwise
        range_of_levels: dict[str, Any] = (
            {"src_color_range": "JPEG", "dst_color_range": "MPEG"} if frame.color_range == 2 else {}
        )
        small = self.reformatter.reformat(frame, width, height, "yuv420p", **scaling(frame, width, height), **range_of_levels)
        return _turn(small, self.rotation_degrees) if self.rotation_degrees else small


def _durations(row: Row) -> dict[int, int]:
    """Return how long each frame is shown, by its time, in ticks of the source, the first frame at 0."""
    times = [pts - row["pts"][0] for pts in row["pts"]]
    end = round(row["duration_seconds"] * row["time_base_den"] / row["time_base_num"])
    return {time: max(after - time, 1) for time, after in zip(times, [*times[1:], end], strict=True)}


def _turn(frame: Any, degrees: int) -> Any:
    """Turn a picture clockwise, plane by plane."""
    width, height, values = frame.width, frame.height, frame.to_ndarray().reshape(-1)
    luma, blue, red = np.split(values, [width * height, width * height * 5 // 4])
    planes = [luma.reshape(height, width), *(part.reshape(height // 2, width // 2) for part in (blue, red))]
    turned = [np.rot90(plane, -degrees // 90) for plane in planes]  # rot90 turns counter-clockwise
    upright = np.concatenate([plane.reshape(-1) for plane in turned]).reshape(-1, turned[0].shape[1])
    result = av.VideoFrame.from_ndarray(upright, format="yuv420p")
    result.colorspace = frame.colorspace
    return result


class _SoundError(Exception):
    """Sound that cannot be carried over; the pictures can do without."""


class _SoundTrack:
    """Encodes sound afresh, as AAC with one channel or two; what sounds before the first frame is left out."""

    def __init__(self, out: Any, source: Any, begin_seconds: Fraction) -> None:
        self.out, self.begin_seconds = out, begin_seconds
        try:
            channels = min(source.codec_context.channels, 2)
            rate = min(_SOUND_RATES, key=lambda known: abs(known - source.codec_context.sample_rate))
            self.stream = out.add_stream("aac", rate=rate, layout=("mono", "stereo")[channels - 1])
            self.stream.bit_rate = channels * _SOUND_BITS
        except (av.error.FFmpegError, AttributeError, IndexError, ValueError) as error:
            raise _SoundError(f"{error}") from error

    def write(self, packet: Any) -> None:
        """Encode what is in a packet. Damage is passed over, as players do."""
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return
        for frame in frames:
            if frame.pts is not None:
                # in samples: the ticks of a container can be as long as a frame, and frames are cut anew for the encoder
                frame.pts = round((frame.pts * frame.time_base - self.begin_seconds) * frame.sample_rate)
                frame.time_base = Fraction(1, frame.sample_rate)
                if frame.pts >= 0:
                    self._encode(frame)

    def end(self) -> None:
        """Encode what the encoder still holds back."""
        self._encode(None)

    def _encode(self, frame: Any) -> None:
        try:
            self.out.mux(self.stream.encode(frame))
        except (av.error.FFmpegError, ValueError) as error:
            if _is_full(error):
                raise
            raise _SoundError(f"{error}") from error


def _verify(part: str, times: list[int], row: Row, settings: PrepareSettings) -> None:
    """Read a written file back; raises NotPreparedError where frames, times or size are not those intended."""
    made = probe(part)
    if made["status"] != "ok" or made["reason"]:
        raise NotPreparedError(f"what was written does not read back: {made['reason']}")
    if made["frames"] != len(times):
        raise NotPreparedError(f"{made['frames']} frames read back where {len(times)} were written")
    tick = row["time_base_num"] / row["time_base_den"]
    written = np.array(made["pts"], np.float64) * (made["time_base_num"] / made["time_base_den"])
    worst = float(np.abs(written - np.array(times, np.float64) * tick).max())
    if worst > tick / 2:
        raise NotPreparedError(f"a frame reads back {worst:.4f} s from its time")
    if (made["width"], made["height"]) != prepared_size(row["width"], row["height"], settings.short_side):
        raise NotPreparedError(f"{made['width']} x {made['height']} pixels read back")
