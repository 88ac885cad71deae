"""Computing all flow edges of a video, for the file beside it."""

import os
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from reelvec.core import Needs, Stream, StreamNeed
from reelvec.data.flow_files import flow_edges_file
from reelvec.data.index import index
from reelvec.data.preparing import FlowEdgeSettings, part_of
from reelvec.data.streams import decode_streams

_AT_ONCE = 256
"""frames decoded in one go: they are held in memory"""


def cache_flow_edges(video: str, settings: FlowEdgeSettings, alive: Callable[[], None] = lambda: None) -> str:
    """Write the flow edges of every frame of a video, at its own size, whole or not at all; returns the file's name.

    Raises:
        DecodeError: the video is damaged, or has no motion vectors where they are asked for.
        ReelvecError: it is no video.
        OSError: the file cannot be written.
    """
    row = index([video], workers=0).row(0)
    need = StreamNeed(stream=Stream.FLOW_EDGES, frames=1, stride=1, **settings.model_dump())
    needs = Needs(streams=(need,), short_side=min(row.height, row.width))
    file = flow_edges_file(video, settings.source, settings.formula, settings.clamp)
    part = part_of(file)
    try:
        with open(part, "wb") as out:  # not by memory map: on a full disk that ends the process, without a word
            header = {"descr": "|u1", "fortran_order": False, "shape": (row.frames, row.height, row.width)}
            np.lib.format.write_array_header_1_0(out, header)
            for first in range(0, row.frames, _AT_ONCE):
                frames = np.arange(first, min(first + _AT_ONCE, row.frames))
                out.write(decode_streams(row, needs, {need: frames})[need].tobytes())
                alive()
        os.replace(part, file)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
    return file
