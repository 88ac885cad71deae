"""One file, looked at closely: what is in it, when its frames are shown, and whether it really decodes.

What a container promises is not believed. Its packets are read through for the time stamps, and a sample is decoded: the
first frames, some after a key frame in the middle, and the end. Where the sample gives anything else than the packets said,
the whole file is decoded, and what then comes out is the truth.
"""

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np

from reelvec.data.file_processes import Alive
from reelvec.data.video_file import NoVideoError, open_video, packets_from_key

PROBE_VERSION = 1
"""rows of another version are made anew"""

_WHOLE = 64
"""files up to this many frames are decoded whole"""
_SAMPLE = 16
"""frames decoded at the start and in the middle of longer ones"""
_TAIL = 128
"""frames decoded at most at the end, from the last key frame that leaves room for a sample"""
_HASHED_WHOLE = 256 << 20
"""bytes; of larger files only three parts are hashed"""
_HASHED_PART = 16 << 20
_CUT = 0.9
"""a file that holds less than this share of the promised time is suspected to be cut"""

Row = dict[str, Any]


def probe(path: str) -> Row:
    """Look at one file and return its row of the index. Never raises for a bad file: status and reason say what is wrong."""
    row = empty_row(os.path.abspath(path))
    try:
        if row["path"] != os.path.abspath(path):
            return row | {"status": "broken", "reason": "its name is not UTF-8: rename it"}
        there = os.stat(path)
        row |= {"size_bytes": there.st_size, "modified_ns": there.st_mtime_ns}
        if not stat.S_ISREG(there.st_mode):
            kind = "a folder" if stat.S_ISDIR(there.st_mode) else "a device or pipe"
            return row | {"status": "not_video", "reason": f"{kind}, not a file"}
        if there.st_size == 0:
            return row | {"status": "broken", "reason": "empty: 0 bytes"}
        row["content_hash"] = content_hash(path)
        return row | _look(path)
    except NoVideoError as error:
        return row | {"status": "not_video", "reason": str(error)}
    except FileNotFoundError:
        return row | {"status": "broken", "reason": "there is no such file"}
    except PermissionError:
        return row | {"status": "broken", "reason": "no permission to read it"}
    except av.error.InvalidDataError:
        return row | {"status": "broken", "reason": "cannot be opened: no video, or cut off before its table of contents"}
    except Exception as error:  # whatever a file does to the decoder, it is one bad file and not the end of the index
        return row | {"status": "broken", "reason": f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"}


def probe_watched(path: str, alive: Alive) -> Row:
    """Probe a file for `file_processes.in_processes`: how long it may take follows from its size, whatever signs it gives.

    It stands in this module because this module imports no torch: a process is there in a fraction of a second.
    """
    return probe(path)


def content_hash(path: str) -> str:
    """Hash a file: SHA-256 of all of it up to 256 MiB ("sha256:..."); beyond, of its size and of the 16 MiB at its start,
    middle and end ("sha256-parts:...")."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= _HASHED_WHOLE:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode())
        for start in (0, (size - _HASHED_PART) // 2, size - _HASHED_PART):
            file.seek(start)
            digest.update(file.read(_HASHED_PART))
        return "sha256-parts:" + digest.hexdigest()


def empty_row(path: str) -> Row:
    """Return the row of a file of which nothing is known."""
    # a name that is not UTF-8 cannot be stored in an Arrow table as it is
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    text = dict.fromkeys(("content_hash", "container", "codec", "pixel_format"), "")
    number = dict.fromkeys(("size_bytes", "modified_ns", "width", "height", "rotation_degrees", "frames"), 0)
    flags = dict.fromkeys(("variable_rate", "has_audio", "has_motion_vectors"), False)
    return {
        "path": shown, **text, **number, **flags, "time_base_num": 0, "time_base_den": 1, "pts": [], "key_frames": [],
        "duration_seconds": 0.0, "frames_per_second": 0.0, "seeks_by_pts": True, "status": "broken", "reason": "",
    }  # fmt: skip


@dataclass
class _Packets:
    """What reading through a file without decoding says. Only frames that will be shown are listed."""

    pts: list[int] = field(default_factory=list)
    keys: set[int] = field(default_factory=set)
    durations: dict[int, int] = field(default_factory=dict)
    stamped: bool = True
    """whether every packet has a time stamp of its own"""
    damaged: bool = False
    end_seconds: float = 0.0
    """end of the last packet of any stream, from the start of the first"""

    def table(self) -> np.ndarray:
        """Time stamps in the order shown."""
        return np.sort(np.array(self.pts, np.int64))


@dataclass
class _Decoded:
    """What a run of the decoder gave."""

    pts: list[int | None] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    vectors: bool = False
    rotation_degrees: int = 0


def _look(path: str) -> Row:
    """Scan, sample, and where they disagree decode everything."""
    with open_video(path) as (container, stream):
        decoder = stream.codec_context
        row: Row = {
            "container": container.format.name,
            "codec": decoder.codec.canonical_name,
            "pixel_format": decoder.pix_fmt or "",
            "has_audio": bool(container.streams.audio),
            "time_base_num": stream.time_base.numerator,
            "time_base_den": stream.time_base.denominator,
        }
        coded, shape = (decoder.width, decoder.height), stream.sample_aspect_ratio
        time_base, rate, promised = stream.time_base, stream.average_rate, _promised_seconds(container, stream)
        packets = _scan(container, stream)
    if not packets.pts and packets.stamped:
        return row | {"status": "broken", "reason": "no frame in it can be shown"}
    pts = packets.table()
    cut = packets.end_seconds < _CUT * promised
    remark = f"ends early: {packets.end_seconds:.2f} of the {promised:.2f} promised seconds are there" if cut else ""
    seen = None
    if packets.stamped and (np.diff(pts) > 0).all() and not packets.damaged and not cut:
        seen = _sample(path, pts, packets)
    by_pts = True
    if seen is None:
        seen = _decode_whole(path, first_key=min(packets.keys, default=None))
        if seen.faults:
            reason = f"{seen.faults[0]} ({len(seen.faults)} such faults, {len(seen.pts)} frames decoded)"
            return row | {"status": "broken", "reason": f"{reason}; {remark}" if remark else reason}
        if not seen.pts:
            return row | {"status": "broken", "reason": "no frame of it decodes"}
        pts, by_pts = _settle(seen.pts, pts if packets.stamped else None, rate, time_base)
    width, height = _displayed(coded, shape, seen.rotation_degrees)
    variable, last = _is_variable(pts), _usual_step(pts, rate, time_base)
    if variable or len(pts) == 1:  # at a constant rate the step is surer: AVI gives one tick as the duration of any frame
        last = packets.durations.get(int(pts[-1]), 0) or last
    duration = float((int(pts[-1] - pts[0]) + last) * time_base)
    return row | {
        "width": width,
        "height": height,
        "rotation_degrees": seen.rotation_degrees,
        "pts": pts,
        "key_frames": np.flatnonzero(np.isin(pts, list(packets.keys))).astype(np.int32),
        "frames": len(pts),
        "duration_seconds": duration,
        "frames_per_second": len(pts) / duration,
        "variable_rate": variable,
        "has_motion_vectors": seen.vectors,
        "seeks_by_pts": by_pts,
        "status": "ok",
        "reason": remark,
    }


def _scan(container: Any, stream: Any) -> _Packets:
    """Read all packets: time stamps, key frames, and where the last one ends."""
    found, before_key, key_seen = _Packets(), [], False
    start = end = None
    try:
        for packet in container.demux():
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.size == 0 or packet.stream is None:
                continue
            if time is not None:
                start = min(time * packet.time_base, start if start is not None else time * packet.time_base)
                end = max((time + (packet.duration or 0)) * packet.time_base, end or 0)
            if packet.stream_index != stream.index:
                continue
            key_seen |= packet.is_keyframe
            found.damaged |= packet.is_corrupt
            if packet.is_discard:  # decoded but never shown: an edit list cuts it away
                continue
            if packet.pts is None:
                found.stamped = False
            elif key_seen:
                found.pts.append(packet.pts)
                found.durations[packet.pts] = packet.duration or 0
                if packet.is_keyframe:
                    found.keys.add(packet.pts)
            else:  # nothing before the first key frame can be decoded, unless the container does not mark them at all
                before_key.append(packet.pts)
    except (av.error.FFmpegError, OSError):
        found.damaged = True
    if not key_seen:
        found.pts, found.damaged = before_key, True
    found.end_seconds = float(end - start) if start is not None and end is not None else 0.0
    return found


def _promised_seconds(container: Any, stream: Any) -> float:
    """How long the header says that the file is; 0 where it says nothing of its own."""
    if container.format.name == "avi":  # counts frames, dropped ones included, in ticks
        return float(stream.frames * stream.time_base)
    if "mov" in container.format.name:
        return float((stream.duration or 0) * stream.time_base)
    if "matroska" in container.format.name:
        return (container.duration or 0) / av.time_base
    return 0.0


def _sample(path: str, pts: np.ndarray, packets: _Packets) -> _Decoded | None:
    """Decode a sample and compare it with the packets' time stamps; None where they differ or anything is wrong."""
    keys = np.flatnonzero(np.isin(pts, list(packets.keys)))
    if len(pts) <= _WHOLE or not len(keys):
        runs = [(0, len(pts))]
    else:
        middle, last = (int(keys[keys <= n].max(initial=keys[0])) for n in (len(pts) // 2, len(pts) - _SAMPLE))
        runs = [(0, _SAMPLE), (middle, middle + _SAMPLE), (last, min(last + _TAIL, len(pts)))]
    seen = _Decoded()
    with open_video(path, vectors=True) as (container, stream):
        for first, stop in runs:
            source = (
                packets_from_key(container, stream, pts[keys[keys <= first]].tolist()) if first else container.demux(stream)
            )
            expected = pts[first:stop].tolist()
            to_the_end = stop >= len(pts)
            begin = len(seen.pts)
            if source is None:
                return None
            _decode(source, seen, first_shown=expected[0], enough=None if to_the_end else begin + len(expected))
            if seen.faults or seen.pts[begin : None if to_the_end else begin + len(expected)] != expected:
                return None
    return seen


def _decode_whole(path: str, first_key: int | None) -> _Decoded:
    seen = _Decoded()
    with open_video(path, vectors=True) as (container, stream):
        _decode(container.demux(stream), seen, first_shown=first_key)
    return seen


def _decode(source: Iterable[Any], seen: _Decoded, first_shown: int | None, enough: int | None = None) -> None:
    """Decode packets and note frames and faults; what is shown before `first_shown` belongs to a group cut off earlier."""

    def early(pts: int | None) -> bool:
        return first_shown is not None and pts is not None and pts < first_shown

    try:
        for packet in source:
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                if not early(packet.pts):
                    seen.faults.append(f"damaged{_at(packet.pts, packet.time_base)}: {error.strerror}")
                continue
            for frame in frames:
                if early(frame.pts):
                    continue
                if frame.is_corrupt:
                    seen.faults.append(f"damaged{_at(frame.pts, frame.time_base)}: the decoder had to guess parts of a frame")
                seen.pts.append(frame.pts)
                seen.vectors |= frame.side_data.get("MOTION_VECTORS") is not None
                # the matrix turns counter-clockwise; what is kept is the clockwise turn to apply
                seen.rotation_degrees = round(-frame.rotation / 90) * 90 % 360
            if enough is not None and len(seen.pts) >= enough:
                return
    except (av.error.FFmpegError, OSError) as error:
        seen.faults.append(f"cannot be read to its end: {error.strerror}")


def _at(pts: int | None, time_base: Fraction | None) -> str:
    return "" if pts is None or time_base is None else f" at {float(pts * time_base):.2f} s"


def _settle(
    decoded: list[int | None], packets: np.ndarray | None, rate: Fraction | None, time_base: Fraction
) -> tuple[np.ndarray, bool]:
    """Choose the time stamps of a file that was decoded whole; and whether frames can be found by them."""
    stamps = np.array([-1 if p is None else p for p in decoded], np.int64)
    rising = None not in decoded and bool((np.diff(stamps) > 0).all())
    if rising:
        return stamps, packets is not None and bool(np.isin(stamps, packets).all())
    if packets is not None and len(packets) == len(decoded) and (np.diff(packets) > 0).all():
        return packets, False  # the right times in a wrong order: H.264 with B frames in an AVI file
    step = 1 / (rate or Fraction(25)) / time_base
    return np.array([round(i * step) for i in range(len(decoded))], np.int64), False


def _usual_step(pts: np.ndarray, rate: Fraction | None, time_base: Fraction) -> int:
    if len(pts) > 1:
        return int(np.median(np.diff(pts)))
    return max(round(1 / (rate or Fraction(25)) / time_base), 1)


def _is_variable(pts: np.ndarray) -> bool:
    """Whether steps differ by more than rounding to ticks explains."""
    steps = np.diff(pts)
    return len(steps) > 1 and bool(np.abs(steps - np.median(steps)).max() > max(1.5, 0.05 * float(np.median(steps))))


def _displayed(coded: tuple[int, int], pixel_shape: Fraction | None, rotation_degrees: int) -> tuple[int, int]:
    """Width and height as shown: square pixels, upright."""
    width, height = coded
    if pixel_shape and Fraction(1, 10) < pixel_shape < 10:
        width = max(round(width * pixel_shape), 1)
    return (height, width) if rotation_degrees in (90, 270) else (width, height)
