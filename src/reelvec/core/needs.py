"""What a method or an encoder needs from a video, declared before anything is decoded."""

from enum import StrEnum
from typing import Literal

from reelvec.core.config import Config


class Stream(StrEnum):
    """What can be read from a video file."""

    RGB = "rgb"
    """uint8, 3 channels"""
    FLOW = "flow"
    """float16, 2 channels (u right, v down): pixels of the delivered frame per native frame interval"""
    FLOW_EDGES = "flow_edges"
    """uint8, 1 channel: edges of the flow, 255 at the clamp (`modist.md` formulas A and B)"""
    MOTION_VECTORS = "motion_vectors"
    """float16, 2 channels, an eighth of the delivered frame's size: the codec's vectors as flow, in its pixels"""
    KEYFRAMES = "keyframes"
    """uint8, 3 channels: in place of each frame the key frame shown last, at or before it"""
    LUMA = "luma"
    """uint8, 1 channel: the brightness as the codec gives it; with the next two it travels in place of RGB"""
    CHROMA = "chroma"
    """uint8, 2 channels, half the size (rounded up): the two differences of colour as the codec gives them"""
    TO_RGB = "to_rgb"
    """float32, 12 channels, a single pixel: the matrix (3 4) that makes RGB from 0 to 255 of these, row by row"""


PLANES = (Stream.LUMA, Stream.CHROMA, Stream.TO_RGB)
"""what travels in place of RGB"""


FlowSource = Literal["dis", "codec"]
"""DIS: OpenCV's dense inverse search. Codec: motion vectors of H.264 and MPEG-4 files, cheaper than DIS on large frames."""


class StreamNeed(Config):
    """One stream of a clip: `frames` frames, `stride` apart.

    The stride is counted in frames at `Needs.frames_per_second` (or at the file's own rate where that is None).
    """

    stream: Stream
    frames: int
    stride: int
    source: FlowSource = "dis"
    """where flow comes from; read by `flow` and `flow_edges` alone"""
    formula: Literal["a", "b"] = "a"
    """flow edges: Sobel of the flow's magnitude (a) or of its components (b)"""
    clamp: float = 10.0
    """flow edges: the value that becomes 255, in pixels at a short side of 256"""


class Times(Config):
    """The rule for the start times of the clips of one video. The rules are in `reelvec.data.clips`."""

    rule: Literal["anywhere", "near", "apart", "decreasing", "same", "sequence", "spread"] = "anywhere"
    min_seconds: float = 0.0
    """near, apart: smallest distance of two starts. sequence: gap between the end of one and the start of the next"""
    max_seconds: float | None = None
    """near: largest distance of two starts; none: no limit"""
    power: float = 1.0
    """decreasing: CVRL's p; 1 is linear"""


class Needs(Config):
    """All that is decoded for one video of a batch: `clips` clips, each with every stream over the same span."""

    streams: tuple[StreamNeed, ...]
    clips: int = 2
    times: Times = Times()
    frames_per_second: float | None = None
    """the rate at which strides are counted; None: the file's own"""
    short_side: int = 128
    """frames are delivered with this short side, or with their own where that is smaller: nothing is enlarged"""
    fit: Literal["keep", "square"] = "keep"
    """keep the aspect ratio, or squeeze the frame into a square"""

    def need(self, stream: Stream) -> StreamNeed:
        """Return the entry of that stream; KeyError if it is not asked for."""
        return {need.stream: need for need in self.streams}[stream]

    def in_planes(self) -> "Needs":
        """Return needs by which RGB travels as planes; the same needs where key frames are needed as well, which do not."""
        if any(need.stream is Stream.KEYFRAMES for need in self.streams):
            return self
        streams: list[StreamNeed] = []
        for need in self.streams:
            kinds = PLANES if need.stream is Stream.RGB else (need.stream,)
            streams += [need.model_copy(update={"stream": kind}) for kind in kinds]
        return self.model_copy(update={"streams": tuple(streams)})

    def alone(self, need: StreamNeed) -> "Needs":
        """Return what is needed to look at one clip of one stream, at times spread over the video: after training."""
        return self.model_copy(update={"streams": (need,), "clips": 1, "times": Times(rule="spread")})
