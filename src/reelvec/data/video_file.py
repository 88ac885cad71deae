"""Opening a video file for decoding, and getting its packets from a key frame on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import av

# These decoders conceal damage and mark the frame. The others conceal and say nothing unless told to give up on damage;
# telling H.264 so would also refuse sound files with odd side information.
_MARKS_DAMAGE = {"h264", "mpeg4", "mpeg1video", "mpeg2video", "h263", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "flv1"}


_ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
"""PyAV 17 began to scale with as many threads as there are cores, by default"""


class NoVideoError(Exception):
    """The file opens, but has no moving picture that can be decoded."""


@contextmanager
def open_video(path: str, *, vectors: bool = False) -> Iterator[tuple[Any, Any]]:
    """Open a file and its first real video stream: (container, stream), closed at the end.

    One slice thread: decoders with threads of their own have locked up inside loader workers (PyAV issue 1962).

    Raises:
        av.error.FFmpegError, OSError: the file cannot be opened.
        NoVideoError: it has no video stream, or one that no decoder here knows.
    """
    # titles in other encodings than UTF-8 are common in old AVI files, and nobody reads them here
    with av.open(path, metadata_errors="replace") as container:
        # the cover picture of a music file is a video stream to FFmpeg
        streams = [s for s in container.streams.video if not s.disposition & s.disposition.__class__.attached_pic]
        if not streams:
            raise NoVideoError("it has sound but no picture" if container.streams.audio else "it has no video stream")
        stream = streams[0]
        decoder = stream.codec_context
        if decoder is None:
            raise NoVideoError("no decoder for its video")
        decoder.thread_count, decoder.thread_type = 1, "SLICE"
        options = {} if decoder.name in _MARKS_DAMAGE else {"err_detect": "+explode"}
        decoder.options = options | ({"flags2": "+export_mvs"} if vectors else {})
        yield container, stream


def packets_from_key(container: Any, stream: Any, key_pts: Sequence[int]) -> Iterator[Any] | None:
    """Seek to the key frame with time stamp key_pts[-1], or to an earlier one; None where that cannot be done.

    Containers keep their own order: MP4 seeks by decoding time, which with B frames is earlier than the time shown, and a
    transport stream lands anywhere. So what is reached is checked, and an earlier key frame is aimed at when it is too late.

    Args:
        key_pts: time stamps of key frames, rising; the last is the one wanted.
    """
    for target in key_pts[: -len(key_pts) - 1 : -1][:2]:
        try:
            container.seek(int(target), stream=stream)
        except (av.error.FFmpegError, OSError):
            return None  # some formats cannot seek at all
        packets = container.demux(stream)
        for packet in packets:
            if packet.is_keyframe and packet.size:
                if packet.pts is not None and packet.pts <= key_pts[-1]:
                    return chain([packet], packets)
                break
    return None


def scaling(frame: Any, width: int, height: int) -> dict[str, Any]:
    """Return the options by which a frame is scaled to a size, for `VideoReformatter.reformat`: on one thread.

    To shrink, the mean over the area: FAST_BILINEAR is a third faster but picks single pixels (from 340x256 to half its
    size: 34 grey levels rms from the true mean, AREA 1.4, BILINEAR 8.6). To enlarge, AREA repeats pixels.
    """
    shrinks = width <= frame.width and height <= frame.height
    return {"interpolation": "AREA" if shrinks else "BILINEAR", **_ONE_THREAD}
