"""The codec's motion vectors as flow on a coarse grid, an eighth of the delivered frame's size.

A vector points from a block of a frame to where the block was copied from, in a reference frame. Flow is the way the
content goes in one native frame interval: -vector / distance for a reference in the past, vector / distance for one in
the future (B frames), the distance counted in frames.

The distance is not stored with the vectors. Without B frames and with one reference it is 1, and in MPEG-4 the order of
decoding tells it. Other H.264 files choose among several references, block by block, without saying which; there it is
estimated: of a few distances, each cell takes the one by which the frame before, moved, looks most like the frame
itself; the nearest possible reference is taken unless another is clearly better.
"""

from functools import lru_cache

import cv2
import numpy as np

from reelvec.core.shapes import Bool, Float, UInt8
from reelvec.data.index import VideoRow

CELL = 8
"""side of a cell in pixels of the delivered frame; in the coded picture, of the smallest block that FFmpeg reports"""

_DISTANCES = (1, 2, 3, 4, 6, 8)
"""distances tried beside the nearest reference's; 3 references and 3 B frames, x264's defaults, rarely reach further"""
_CLEARLY_BETTER = 0.8
"""another distance is taken where it leaves less than this share of the difference"""
_STILL_PIXELS = 0.5
"""where nothing moves this far between a frame and its reference, the distance hardly matters"""
_MPEG4_REACH = 4
"""frames looked through for a P frame: encoders put at most three B frames in a row"""
_COMPARED = 4
"""side of a cell in the pictures compared: half the size costs a quarter and chooses as well"""


def grid_size(height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of the grid of a picture."""
    return -(-height // CELL), -(-width // CELL)


def frames_to_try(row: VideoRow, frame: int) -> list[int]:
    """Return the frames whose vectors may stand for the motion from `frame` to the next, best first.

    The next frame has them. A key frame has none: the one after it stands in (at the end of a file, the one before), as
    decoding goes through that anyway, while the one before belongs to another group of pictures. In MPEG-4 the nearest P
    frame stands in for a B frame, whose vectors FFmpeg does not report rightly; later ones first. Other frames without
    vectors are cuts coded afresh, and have no motion to report. A video of one frame has none either: an empty list.
    """
    last = row.frames - 1
    following = min(frame + 1, last)
    if row.codec == "mpeg4":
        tries = [*range(following, following + _MPEG4_REACH), *range(following - 1, following - _MPEG4_REACH, -1)]
    elif not _is_key(row, following):
        tries = [following]
    else:
        tries = [following, following + 1 if following < last else last - 1]
    return [k for k in tries if 1 <= k <= last]


def _is_key(row: VideoRow, frame: int) -> bool:
    place = int(np.searchsorted(row.key_frames, frame))
    return place < len(row.key_frames) and int(row.key_frames[place]) == frame


def flow_grid(
    vectors: np.ndarray,
    coded_size: tuple[int, int],
    rotation_degrees: int,
    before: UInt8[np.ndarray, "h w"],
    shown: UInt8[np.ndarray, "h w"],
    distances: tuple[int, int] = (1, 1),
    distances_are_exact: bool = False,
) -> Float[np.ndarray, "2 gh gw"]:
    """Turn the vectors of the frame `shown` into the flow from `before`, the frame before it, to it: u right, v down.

    `vectors` count in the coded picture of `coded_size` (height, width), which is turned clockwise by
    `rotation_degrees` for display. `before` and `shown` are delivered frames in grey; the flow is in their pixels per
    native frame interval. `distances`: frames from `shown` to the nearest possible reference in the past and in the
    future; exact where there is no other.
    """
    height, width = shown.shape
    rows, columns = grid_size(height, width)
    lies = rotation_degrees % 180 != 0
    motion, share = _resample(*_lay_out(vectors, coded_size), coded_size, (columns, rows) if lies else (rows, columns))
    motion, share = _turn(motion, share, rotation_degrees)
    turned_height, turned_width = coded_size[::-1] if lies else coded_size
    motion = motion * np.array([width / turned_width, height / turned_height], np.float32)[:, None, None]
    known = share > 0
    anywhere = np.logical_or(known[0, 0], known[1, 0])
    flow = _at_distances(motion, known, distances)
    if not distances_are_exact and np.abs(motion * known).max() >= _STILL_PIXELS:
        flow = _choose_distances(flow, motion, known, before, shown)
    return _fill_holes(flow, anywhere)


def _lay_out(vectors: np.ndarray, coded_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Lay blocks out on cells of 8 x 8 coded pixels, as motion from the earlier to the later frame.

    Returns it (source 2, xy 2, rows, columns), source 0 being the past and 1 the future, and which cells are known, as
    1 or 0 (source 2, 1, rows, columns).
    """
    rows, columns = grid_size(*coded_size)
    from_future = vectors["source"] > 0
    sign = np.where(from_future, 1, -1) / np.maximum(vectors["motion_scale"], 1)
    left = (vectors["dst_x"].astype(np.int64) - vectors["w"] // 2) // CELL
    top = (vectors["dst_y"].astype(np.int64) - vectors["h"] // 2) // CELL
    # blocks are 8 or 16 pixels high and wide: up to 2 x 2 cells each
    down, right = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])[:, :, None]
    y, x = top + down, left + right
    inside = (right * CELL < vectors["w"]) & (down * CELL < vectors["h"])
    inside &= (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    cells = ((from_future * rows + y) * columns + x)[inside]

    def add_up(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(cells, np.broadcast_to(values, inside.shape)[inside], 2 * rows * columns)
        return sums.astype(np.float32).reshape(2, 1, rows, columns)

    blocks = add_up(np.ones(1))
    motion = np.concatenate([add_up(vectors["motion_x"] * sign), add_up(vectors["motion_y"] * sign)], 1)
    return motion / np.maximum(blocks, 1), np.minimum(blocks, 1)


@lru_cache(maxsize=64)
def _overlaps(length: int, cells: int, parts: int) -> np.ndarray:
    """Share of each of `parts` equal parts of `length` pixels that lies in each cell of 8 pixels (parts, cells)."""
    edges = np.linspace(0, length, parts + 1)
    starts = np.arange(cells) * CELL
    overlap = np.minimum(edges[1:, None], starts + CELL) - np.maximum(edges[:-1, None], starts)
    return (np.maximum(overlap, 0) * parts / length).astype(np.float32)


def _resample(
    motion: np.ndarray, share: np.ndarray, coded_size: tuple[int, int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Average over the area of each cell of another grid, holes left out; the last coded cells may stick out."""
    down = _overlaps(coded_size[0], motion.shape[2], size[0])
    across = _overlaps(coded_size[1], motion.shape[3], size[1]).T
    known = down @ share @ across
    return down @ (motion * share) @ across / np.maximum(known, 1e-6), known


def _turn(motion: np.ndarray, share: np.ndarray, rotation_degrees: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn the grid clockwise, as the picture is turned for display, and the vectors with it."""
    for _ in range(rotation_degrees // 90 % 4):
        motion, share = np.rot90(motion, -1, (2, 3)), np.rot90(share, -1, (2, 3))
        motion = np.stack([-motion[:, 1], motion[:, 0]], 1)  # what went right goes down, what went down goes left
    return motion, share


def _at_distances(motion: np.ndarray, known: np.ndarray, distances: tuple[int, int]) -> Float[np.ndarray, "2 gh gw"]:
    """Divide by the distance of each reference; the mean where past and future are known, zero where neither is."""
    weight = known.astype(np.float32)
    shares = weight / np.array(distances, np.float32).clip(1)[:, None, None, None]
    return (motion * shares).sum(0) / weight.sum(0).clip(1)


def _choose_distances(
    first_choice: Float[np.ndarray, "2 gh gw"],
    motion: np.ndarray,
    known: np.ndarray,
    before: UInt8[np.ndarray, "h w"],
    shown: UInt8[np.ndarray, "h w"],
) -> Float[np.ndarray, "2 gh gw"]:
    """Take for each cell the source and the distance that explain the change of the picture best."""
    sources = [source for source in range(2) if known[source].any()]
    candidates = np.stack([first_choice, *(motion[source] / d for source in sources for d in _DISTANCES)])
    possible = np.stack([known[0, 0] | known[1, 0], *(known[source, 0] for source in sources for _ in _DISTANCES)])
    missed = np.where(possible, _differences(before, shown, candidates), np.inf)
    missed[0] *= _CLEARLY_BETTER
    return np.take_along_axis(candidates, missed.argmin(0)[None, None], 0)[0]


def _differences(
    before: UInt8[np.ndarray, "h w"], shown: UInt8[np.ndarray, "h w"], flows: Float[np.ndarray, "k 2 gh gw"]
) -> Float[np.ndarray, "k gh gw"]:
    """Mean absolute difference in each cell between `shown` and `before` moved by each of the flows, in grey levels."""
    height, width = shown.shape
    many, _, rows, columns = flows.shape
    size = columns * _COMPARED, rows * _COMPARED
    small = [cv2.resize(grey, size, interpolation=cv2.INTER_AREA) for grey in (before, shown)]
    earlier, later = (grey.astype(np.float32) for grey in small)
    moves = flows * np.array([size[0] / width, size[1] / height], np.float32)[:, None, None]
    dense = moves.repeat(_COMPARED, 2).repeat(_COMPARED, 3)
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    moved = [cv2.remap(earlier, x - u, y - v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for u, v in dense]
    missed = np.abs(np.stack(moved) - later)
    return missed.reshape(many, rows, _COMPARED, columns, _COMPARED).mean((2, 4))


def _fill_holes(flow: Float[np.ndarray, "2 gh gw"], known: Bool[np.ndarray, "gh gw"]) -> Float[np.ndarray, "2 gh gw"]:
    """Give cells without a vector (blocks coded afresh, as where something appears) the mean of their neighbours."""
    if known.all():
        return flow
    weight = known.astype(np.float32)

    def add_around(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)

    around = np.stack([add_around(part * weight) for part in flow]) / add_around(weight).clip(1)
    return np.where(known, flow, around)
