"""Clips of a video in every stream that was asked for, from one opening of its file."""

from collections import Counter
from collections.abc import Hashable, Sequence

import cv2
import numpy as np

from reelvec.core import Needs, ReelvecError, Stream, StreamNeed
from reelvec.core.needs import PLANES
from reelvec.core.shapes import Float, Int, Shaped, UInt8
from reelvec.data.cache import DecodedCache
from reelvec.data.clips import clip_seconds, frames_at
from reelvec.data.decode import Decoded, DecodeError, decode_frames
from reelvec.data.flow import dis_flow, flow_from_grid
from reelvec.data.flow_edges import flow_edges
from reelvec.data.flow_files import stored_flow_edges
from reelvec.data.index import Index, VideoRow
from reelvec.data.motion_vectors import flow_grid, frames_to_try, grid_size
from reelvec.data.pictures import Planes, chroma_size

_BYTES_PER_PIXEL = {
    Stream.RGB: 3, Stream.FLOW: 4, Stream.FLOW_EDGES: 1, Stream.MOTION_VECTORS: 4, Stream.KEYFRAMES: 3, Stream.LUMA: 1,
    Stream.CHROMA: 2, Stream.TO_RGB: 48,
}  # fmt: skip
_PICTURES = (Stream.RGB, Stream.KEYFRAMES, *PLANES)
"""streams of decoded pictures as they are"""


def step_seconds(need: StreamNeed, needs: Needs, row: VideoRow) -> float:
    """Return the time from one frame of a stream to the next."""
    return need.stride / (needs.frames_per_second or row.frames_per_second)


def span_seconds(needs: Needs, row: VideoRow) -> float:
    """Return the time from a clip's first frame to the end of its last frame's step, of the longest stream."""
    return max(need.frames * step_seconds(need, needs, row) for need in needs.streams)


def delivered_size(row: VideoRow, needs: Needs) -> tuple[int, int]:
    """Return height and width of the delivered frames.

    The short side is `needs.short_side`, or the video's own where that is smaller: nothing is enlarged. With fit="keep"
    the long side follows in proportion (rounded); with "square" it is squeezed to the same.
    """
    own = min(row.height, row.width)
    short = min(needs.short_side, own)
    if needs.fit == "square":
        return short, short
    height, width = (max(1, round(side * short / own)) for side in (row.height, row.width))
    return height, width


def rows_offering(index: Index, needs: Needs) -> Int[np.ndarray, "rows"]:
    """Return the usable rows of an index whose files offer every stream that is needed."""
    usable = index.usable()
    if not any(_from_codec(need) for need in needs.streams):
        return usable
    return usable[_column(index, "has_motion_vectors")[usable].astype(bool)]


def check_needs(index: Index, needs: Needs) -> None:
    """Refuse needs that fewer than half of the usable files can meet, before anything starts.

    The rest of the files, where there is one, is left out by `rows_offering`.
    Raises ReelvecError, saying how many files of which codecs lack the vectors.
    """
    usable, offering = index.usable(), rows_offering(index, needs)
    if len(offering) and 2 * len(offering) >= len(usable):
        return
    if not len(usable):
        raise ReelvecError(
            "read videos",
            f"no readable video among {len(index)} files",
            "run `reelvec index` on a folder that has some",
        )
    codecs = Counter(_column(index, "codec")[np.setdiff1d(usable, offering)].tolist())
    listed = ", ".join(f"{count} {codec}" for codec, count in codecs.most_common())
    asked = " and ".join(need.stream.value for need in needs.streams if _from_codec(need))
    raise ReelvecError(
        f"take {asked} from the codec's motion vectors",
        f"{codecs.total()} of {len(usable)} files have none ({listed}); H.264 and MPEG-4 files have them, "
        "unless every frame is a key frame",
        'let OpenCV compute the motion (stream flow or flow_edges with source "dis"), or run `reelvec prepare`, which makes '
        "H.264 files with clean vectors",
    )


def read_clips(
    row: VideoRow, needs: Needs, start_seconds: Sequence[float], cache: DecodedCache | None = None
) -> dict[Stream, Shaped[np.ndarray, "n c t h w"]]:
    """Read clips that start at the given times, every stream in the type that `core.Stream` states.

    Times past the end wrap around to the beginning (`clips.frames_at`). A map of motion goes from the frame shown at its
    time to the next frame of the file, whatever the stride. The last frame, which has no next, repeats the motion of the
    pair before; in a video of one frame nothing moves. Key frames are those of the file: in some there is one in two
    frames, in others one in ten seconds.
    With a cache, short videos are decoded whole; the numbers are the same.

    Raises:
        DecodeError: the file is damaged, or does not offer a stream.
    """
    shown = _shown(row, needs, start_seconds)
    kept = None if cache is None else _read_whole(row, needs, cache)
    if kept is None:
        # streams over the same frames share one array of numbers, which is sorted once
        sorted_once = {id(numbers): np.unique(numbers, return_inverse=True) for numbers in shown.values()}
        wanted = {need: sorted_once[id(numbers)][0] for need, numbers in shown.items()}
        places = {need: sorted_once[id(numbers)][1].reshape(numbers.shape) for need, numbers in shown.items()}
        kept = _read_frames(row, needs, wanted)
    else:
        places = shown
    return {need.stream: _as_clips(kept[need], places[need]) for need in needs.streams}


def _as_clips(frames: Shaped[np.ndarray, "k c h w"], places: Int[np.ndarray, "n t"]) -> Shaped[np.ndarray, "n c t h w"]:
    """Put frames where clips show them; copied once: all at once where they stand in that order, else one at a time."""
    many, time = places.shape
    _, channels, height, width = frames.shape
    in_order = len(frames) == places.size and bool((places.ravel() == np.arange(places.size)).all())
    if in_order and frames.flags.writeable:  # those of a cache are not handed out themselves
        return np.ascontiguousarray(frames.reshape(many, time, channels, height, width).swapaxes(1, 2))
    if channels == 1 or height * width == 1:
        return np.ascontiguousarray(frames[places].swapaxes(1, 2))
    clips = np.empty((many, channels, time, height, width), frames.dtype)
    for clip, row in zip(clips, places.tolist(), strict=True):
        for t, place in enumerate(row):
            clip[:, t] = frames[place]
    return clips


def _shown(row: VideoRow, needs: Needs, start_seconds: Sequence[float]) -> dict[StreamNeed, Int[np.ndarray, "n t"]]:
    """Return which frames every stream shows, worked out once for streams that show the same ones (the planes of RGB)."""
    alike: dict[Hashable, np.ndarray] = {}
    shown: dict[StreamNeed, np.ndarray] = {}
    for need in needs.streams:
        key = (need.frames, need.stride, need.stream is Stream.KEYFRAMES)
        if key not in alike:
            alike[key] = frames_shown(row, needs, need, start_seconds)
        shown[need] = alike[key]
    return shown


def frames_shown(row: VideoRow, needs: Needs, need: StreamNeed, start_seconds: Sequence[float]) -> Int[np.ndarray, "n t"]:
    """Return which frames of the file a stream shows in clips that start at the given times."""
    seconds = [clip_seconds(start, need.frames, step_seconds(need, needs, row)) for start in start_seconds]
    shown = frames_at(_unrounded_seconds(row), row.duration_seconds, np.stack(seconds))
    return key_frames_before(row, shown) if need.stream is Stream.KEYFRAMES else shown


def key_frames_before(row: VideoRow, frames: Int[np.ndarray, "*any"]) -> Int[np.ndarray, "*any"]:
    """Return for each frame number that of the key frame shown last, at or before it.

    For frames before the first key frame, as at the head of a file that was cut out of another, it is the first.
    """
    keys = row.key_frames if len(row.key_frames) else np.zeros(1, np.int32)
    return keys[np.maximum(np.searchsorted(keys, frames, side="right") - 1, 0)].astype(np.int64)


def _unrounded_seconds(row: VideoRow) -> Float[np.ndarray, "frames"]:
    """Return the times at which frames appear, with the container's rounding taken out where the rate is constant.

    Matroska counts in milliseconds: at 30 frames a second its frames appear at 0, 33, 67, 100. Steps of exactly 1/30 s
    would then show some frames twice and others never. Files that keep within two ticks of an even rate get it.
    """
    even = np.arange(row.frames) / row.frames_per_second if row.frames_per_second > 0 else row.frame_seconds
    is_even = np.abs(row.frame_seconds - even).max(initial=0) <= 2 * float(row.time_base)
    return even if is_even and 4 * float(row.time_base) * row.frames_per_second < 1 else row.frame_seconds


def _read_whole(row: VideoRow, needs: Needs, cache: DecodedCache) -> dict[StreamNeed, np.ndarray] | None:
    """Return all frames of all streams by way of the cache, None where the video is not one to keep."""
    height, width = delivered_size(row, needs)
    keys: dict[StreamNeed, Hashable] = {need: (row.path, height, width, _content(need)) for need in needs.streams}
    needs_by_key = {key: need for need, key in keys.items()}
    sizes = {key: row.frames * _frame_bytes(need.stream, height, width) for key, need in needs_by_key.items()}

    def read(missing: Sequence[Hashable]) -> dict[Hashable, np.ndarray]:
        every = np.arange(row.frames)
        streams = _read_frames(row, needs, {needs_by_key[key]: every for key in missing})
        return {key: streams[needs_by_key[key]] for key in missing}

    kept = cache.fetch(row.frames, sizes, read)
    return None if kept is None else {need: kept[key] for need, key in keys.items()}


def whole_needs(needs: Needs) -> Needs:
    """Return needs whose streams are those of `needs` with all that plays no part in a frame's picture left out, each once."""
    contents = {(content := _content(need)).stream: content for need in needs.streams}
    return needs.model_copy(update={"streams": tuple(contents.values()), "clips": 1})


def read_whole(
    row: VideoRow, needs: Needs, start_seconds: Sequence[float], cache: DecodedCache | None = None
) -> dict[Stream, Shaped[np.ndarray, "1 c frames h w"]]:
    """Read all frames of a video as one clip, every stream of `whole_needs`; the times asked for do not matter."""
    every = np.arange(row.frames)
    streams = _read_frames(row, needs, dict.fromkeys(needs.streams, every))
    return {need.stream: _as_clips(frames, every[None]) for need, frames in streams.items()}


def whole_bytes(row: VideoRow, needs: Needs) -> int:
    """Return the bytes of all frames of a video in every stream of `whole_needs`."""
    height, width = delivered_size(row, needs)
    return row.frames * sum(_frame_bytes(need.stream, height, width) for need in needs.streams)


def content_stream(stream: Stream) -> Stream:
    """Return the stream that holds a stream's frames where whole videos are kept: key frames are frames like others."""
    return Stream.RGB if stream is Stream.KEYFRAMES else stream


def _content(need: StreamNeed) -> StreamNeed:
    """Leave out what plays no part in a frame's picture."""
    return need.model_copy(update={"stream": content_stream(need.stream), "frames": 1, "stride": 1})


def _frame_bytes(stream: Stream, height: int, width: int) -> int:
    size = {Stream.MOTION_VECTORS: grid_size(height, width), Stream.CHROMA: chroma_size(height, width), Stream.TO_RGB: (1, 1)}
    rows, columns = size.get(stream, (height, width))
    return rows * columns * _BYTES_PER_PIXEL[stream]


def _read_frames(
    row: VideoRow, needs: Needs, wanted: dict[StreamNeed, Int[np.ndarray, "k"]]
) -> dict[StreamNeed, Shaped[np.ndarray, "k c h w"]]:
    """Return each stream at the frames wanted of it: flow edges from the file beside the video, the rest decoded.

    Where no such file stands for what is needed, the edges are computed too.
    """
    size = delivered_size(row, needs)
    asked = {need: stored_flow_edges(row, need, size) for need in wanted if need.stream is Stream.FLOW_EDGES}
    stored = {need: edges[wanted[need], None] for need, edges in asked.items() if edges is not None}
    rest = {need: frames for need, frames in wanted.items() if need not in stored}
    decoded = decode_streams(row, needs, rest) if rest else {}
    return {need: stored[need] if need in stored else decoded[need] for need in wanted}


def decode_streams(
    row: VideoRow, needs: Needs, wanted: dict[StreamNeed, Int[np.ndarray, "k"]]
) -> dict[StreamNeed, Shaped[np.ndarray, "k c h w"]]:
    """Decode a file once, only the frames that count, and return each stream at the frames wanted of it.

    What is wanted of a stream of key frames are the numbers of key frames. Nothing is taken from files beside the video.
    Raises DecodeError as `read_clips` does.
    """
    from_codec = any(_from_codec(need) for need in wanted)
    if from_codec and not row.has_motion_vectors:
        raise DecodeError(row.path, f"its {row.codec} video has no motion vectors")
    decode = sorted(set().union(*(_sources(row, need, frames.tolist()) for need, frames in wanted.items())))
    height, width = delivered_size(row, needs)
    planes = any(need.stream in PLANES for need in wanted)
    pictures = _Pictures(row, decode, decode_frames(row, decode, height, width, vectors=from_codec, planes=planes))
    return {need: pictures.stream_at(need, frames.tolist()) for need, frames in wanted.items()}


def _sources(row: VideoRow, need: StreamNeed, frames: list[int]) -> list[int]:
    """Return the frames to decode for some frames of a stream."""
    if need.stream in _PICTURES:
        return frames
    pairs = [_pair(row, frame) for frame in frames]
    if _from_codec(need):
        # a frame's size is known from `pair` even where no frame has vectors
        return pairs + [k for pair in pairs for holder in frames_to_try(row, pair) for k in (holder - 1, holder)]
    return pairs + [min(pair + 1, row.frames - 1) for pair in pairs]


def _pair(row: VideoRow, frame: int) -> int:
    """Return the first of the two frames whose motion stands for a frame."""
    return max(min(frame, row.frames - 2), 0)


def _from_codec(need: StreamNeed) -> bool:
    is_flow = need.stream in (Stream.FLOW, Stream.FLOW_EDGES)
    return need.stream is Stream.MOTION_VECTORS or (is_flow and need.source == "codec")


def _column(index: Index, name: str) -> np.ndarray:
    return index.table.column(name).to_numpy(zero_copy_only=False)


def _plane_stream(planes: Planes, stream: Stream, places: list[int]) -> Shaped[np.ndarray, "k c h w"]:
    """Return one of the three streams of planes; those that are wanted whole and in order, as mostly, are not copied."""
    frames = {
        Stream.LUMA: planes.luma[:, None],
        Stream.CHROMA: planes.chroma,
        Stream.TO_RGB: planes.to_rgb.reshape(-1, 12, 1, 1),
    }[stream]
    return frames if places == list(range(len(frames))) else frames[places]


def _grey(planes: Planes, place: int) -> UInt8[np.ndarray, "h w"]:
    """Return the brightness of a picture, stretched to 0 to 255 where the codec's goes from 16 to 235."""
    stretch, black = float(planes.to_rgb[place, 0, 0]), 16
    luma = planes.luma[place]
    return luma if stretch == 1 else cv2.convertScaleAbs(cv2.subtract(luma, black), alpha=stretch)


class _Pictures:
    """Decoded frames of one video, and the motion between them: computed once for a pair, whatever streams ask."""

    def __init__(self, row: VideoRow, numbers: list[int], decoded: Decoded) -> None:
        self.row, self.frames, self.planes = row, decoded.frames, decoded.planes
        self.size = self.frames.shape[1:3]
        self.vectors = decoded.vectors or []
        self.references: list[list[int]] = [] if decoded.references is None else decoded.references.tolist()
        self.coded_size = decoded.coded_size
        self.place = {number: i for i, number in enumerate(numbers)}
        self._grey: dict[int, np.ndarray] = {}
        self._flow: dict[tuple[str, int], np.ndarray] = {}
        self._grid: dict[int, np.ndarray] = {}

    def stream_at(self, need: StreamNeed, frames: list[int]) -> Shaped[np.ndarray, "k c h w"]:
        """Return frames of a stream."""
        if need.stream not in _PICTURES:
            return np.stack([self.motion(need, frame) for frame in frames])
        places = [self.place[frame] for frame in frames]
        if self.planes:
            return _plane_stream(self.planes, need.stream, places)
        colours = np.empty((len(frames), 3, *self.size), np.uint8)
        for into, place in zip(colours, places, strict=True):
            cv2.split(self.frames[place], list(into))  # many times as fast as numpy's copy of a transposed array
        return colours

    def motion(self, need: StreamNeed, frame: int) -> Shaped[np.ndarray, "c h w"]:
        """Return one frame of a stream of motion."""
        pair = _pair(self.row, frame)
        if need.stream is Stream.MOTION_VECTORS:
            return self.grid(pair).astype(np.float16)
        flow = self.flow(need.source, pair)
        return flow.astype(np.float16) if need.stream is Stream.FLOW else flow_edges(flow, need.formula, need.clamp)[None]

    def grey(self, frame: int) -> UInt8[np.ndarray, "h w"]:
        if frame not in self._grey:
            place = self.place[frame]
            self._grey[frame] = (
                _grey(self.planes, place) if self.planes else cv2.cvtColor(self.frames[place], cv2.COLOR_RGB2GRAY)
            )
        return self._grey[frame]

    def flow(self, source: str, pair: int) -> Float[np.ndarray, "2 h w"]:
        """Return the flow from frame `pair` to the next."""
        if (source, pair) not in self._flow:
            height, width = self.size
            if self.row.frames < 2:
                flow = np.zeros((2, height, width), np.float32)
            elif source == "codec":
                flow = flow_from_grid(self.grid(pair), height, width)
            else:
                flow = dis_flow(self.grey(pair), self.grey(pair + 1))
            self._flow[source, pair] = flow
        return self._flow[source, pair]

    def grid(self, pair: int) -> Float[np.ndarray, "2 gh gw"]:
        """Return the codec's vectors for the motion from frame `pair` to the next."""
        if pair not in self._grid:
            self._grid[pair] = self._vector_grid(pair)
        return self._grid[pair]

    def _vector_grid(self, pair: int) -> Float[np.ndarray, "2 gh gw"]:
        for frame in frames_to_try(self.row, pair):
            i = self.place[frame]
            vectors = self.vectors[i]
            if vectors is not None and len(vectors):
                past, future = self.references[i]
                return flow_grid(
                    vectors,
                    self.coded_size,
                    self.row.rotation_degrees,
                    before=self.grey(frame - 1),
                    shown=self.grey(frame),
                    distances=(frame - past if past >= 0 else 1, future - frame if future >= 0 else 1),
                    distances_are_exact=self.row.codec != "h264",
                )
        return np.zeros((2, *grid_size(*self.size)), np.float32)
