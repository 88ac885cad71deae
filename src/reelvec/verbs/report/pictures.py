"""Pictures of videos: strips of eight frames that the page plays, and small ones for the map, as many as there is room for."""

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from reelvec.core import ReelvecError
from reelvec.core.shapes import UInt8
from reelvec.data.clips import frames_at
from reelvec.data.decode import DecodeError, decode_frames
from reelvec.data.index import VideoRow, index
from reelvec.verbs.report.markup import Html, join, short, tag

FRAMES = 8
"""of a strip"""

WHOLE_SECONDS, MIDDLE_SECONDS = 6.0, 4.0
"""a longer video is shown by seconds from its middle"""

_ASPECT = (0.75, 1.8)
"""narrowest and widest box for strips, width / height; it is that of the median strip"""

_BOX = (104, 176)
"""height and width that a frame of a strip fits into"""

MOST_THUMBS = 600
THUMB = (66, 88)
ATLAS_COLUMNS = 20
_LEFT_OUT = '.sNUMBER::after{content:"left out to keep the page small";color:#c9d1da;font-size:.8rem}'
_STRIP_QUALITY, _THUMB_QUALITY = 72, 62

OnProgress = Callable[[int, int, str], None]


@dataclass
class Pictures:
    """Reads pictures of videos once and keeps them as rules of CSS, so that a video shown in many places costs once."""

    on_progress: OnProgress | None = None
    _probed: dict[str, VideoRow | None] = field(default_factory=dict)
    _kept: list[tuple[str, float, float]] = field(default_factory=list)
    """address, width / height and seconds of each strip"""
    _aspects: list[float] = field(default_factory=list)
    """of the videos among them"""
    _strips: dict[str, str] = field(default_factory=dict)
    """path -> class of its strip, or words that say why there is none, after a "!" """
    _tiles: list[UInt8[np.ndarray, "h w 3"]] = field(default_factory=list)
    _places: dict[str, int | None] = field(default_factory=dict)

    def strip(self, path: str, alt: str) -> Html:
        """Return a strip of a video that plays when what it stands in is pointed at or focused; or words in its place."""
        if path not in self._strips:
            self._strips[path] = self._made(path)
        return _picture(self._strips[path], alt)

    def of_frames(self, frames: UInt8[np.ndarray, "n h w 3"], seconds: float, alt: str) -> Html:
        """Return a strip of frames that are at hand (RGB)."""
        return _picture(self._add(frames, seconds), alt)

    def row(self, path: str) -> VideoRow | None:
        """Return what probing a file says; None for a file that is gone or broken."""
        if path not in self._probed:
            self.probe([path])
        return self._probed[path]

    def probe(self, paths: Sequence[str]) -> None:
        """Look at files in one go."""
        new = [path for path in paths if path not in self._probed]
        there = [path for path in new if os.path.isfile(path)]
        known: dict[str, VideoRow] = {}
        try:
            found = index(there, workers=0)
            known = {os.path.realpath(row.path): row for row in map(found.row, found.usable().tolist())}
        except ReelvecError:  # not one of them can be read
            pass
        self._probed |= {path: known.get(os.path.realpath(path)) for path in new}

    def frames(self, path: str, box: tuple[int, int] = _BOX, many: int = FRAMES) -> UInt8[np.ndarray, "n h w 3"] | None:
        """Decode frames (RGB) spread over what is shown of a video, of a size that fits into a box; None if that fails."""
        row = self.row(path)
        if row is None:
            return None
        start, end = shown_seconds(row.duration_seconds)
        times = start + (np.arange(many) + 0.5) / many * (end - start)
        height, width = fitting(row.height, row.width, box)
        try:
            return decode_frames(row, frames_at(row.frame_seconds, row.duration_seconds, times).tolist(), height, width).frames
        except DecodeError:
            return None

    def thumbs(self, paths: Sequence[str]) -> list[int | None]:
        """Keep a small picture of each video; return its place among them, None where it cannot be read or there are enough."""
        room = MOST_THUMBS - len(self._tiles)
        new = [path for path in dict.fromkeys(paths) if path not in self._places][:room]
        self.probe(new)
        for number, path in enumerate(new):
            tile = self._tile(path)
            self._places[path] = None if tile is None else len(self._tiles)
            self._tiles += [] if tile is None else [tile]
            if self.on_progress:
                self.on_progress(number + 1, len(new), path)
        return [self._places.get(path) for path in paths]

    def css(self, room: int) -> str:
        """Return the rules that hold the pictures, in at most `room` bytes: strips that do not fit say so in words."""
        box = float(np.clip(np.median(self._aspects), *_ASPECT)) if self._aspects else 4 / 3
        rules = [f":root{{--box:{box:.3f}}}", *([self._atlas()] if self._tiles else [])]
        room -= sum(len(rule) + 1 for rule in rules) + len(_LEFT_OUT) * len(self._kept)
        for i, (url, aspect, seconds) in enumerate(self._kept):
            side = "width" if aspect >= box else "height"
            lasts = min(4.0, max(0.8, seconds))
            rules.append(f".s{i}{{background-image:url({url});aspect-ratio:{aspect:.4f};{side}:100%;--lasts:{lasts:.2f}s}}")
            if len(rules[-1]) > room:
                rules[-1] = _LEFT_OUT.replace("NUMBER", str(i))
            else:
                room -= len(rules[-1])
        return "\n".join(rules)

    def _atlas(self) -> str:
        """Put all small pictures into one JPEG: 600 of them by themselves would be half headers."""
        tall = -(-len(self._tiles) // ATLAS_COLUMNS)
        sheet = np.zeros((tall * THUMB[0], ATLAS_COLUMNS * THUMB[1], 3), np.uint8)
        for i, tile in enumerate(self._tiles):
            y, x = i // ATLAS_COLUMNS * THUMB[0], i % ATLAS_COLUMNS * THUMB[1]
            sheet[y : y + THUMB[0], x : x + THUMB[1]] = tile
        size = f"{ATLAS_COLUMNS * 100}% {tall * 100}%"
        url = _as_url(sheet, _THUMB_QUALITY)
        return f".atlas{{background-image:url({url});background-size:{size};aspect-ratio:{THUMB[1]}/{THUMB[0]};--tall:{tall}}}"

    def _made(self, path: str) -> str:
        row = self.row(path)
        if row is None:
            return "!cannot be read" if os.path.isfile(path) else "!file is gone"
        frames = self.frames(path)
        if frames is None:
            return "!cannot be decoded"
        start, end = shown_seconds(row.duration_seconds)
        self._aspects.append(frames.shape[2] / frames.shape[1])
        return self._add(frames, end - start)

    def _add(self, frames: UInt8[np.ndarray, "n h w 3"], seconds: float) -> str:
        wide = np.concatenate(list(frames), axis=1)
        self._kept.append((_as_url(wide, _STRIP_QUALITY), frames.shape[2] / frames.shape[1], seconds))
        return f"s{len(self._kept) - 1}"

    def _tile(self, path: str) -> UInt8[np.ndarray, "h w 3"] | None:
        frames = self.frames(path, THUMB, 1)
        if frames is None:
            return None
        tile: UInt8[np.ndarray, "h w 3"] = np.full((*THUMB, 3), 24, np.uint8)
        height, width = frames.shape[1:3]
        y, x = (THUMB[0] - height) // 2, (THUMB[1] - width) // 2
        tile[y : y + height, x : x + width] = frames[0]
        return tile


def shown_seconds(duration: float) -> tuple[float, float]:
    """Return which part of a video the page plays."""
    if duration <= WHOLE_SECONDS:
        return 0.0, duration
    return duration / 2 - MIDDLE_SECONDS / 2, duration / 2 + MIDDLE_SECONDS / 2


def fitting(height: int, width: int, box: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size of that shape in a box, 2 pixels at least."""
    scale = min(box[0] / height, box[1] / width)
    return min(box[0], max(2, round(height * scale))), min(box[1], max(2, round(width * scale)))


def file_name(path: str) -> Html:
    """Return a file's name and its last folder, with the whole path when pointed at."""
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(short(name, 60))
    shown = [tag("span", f"{short(os.path.basename(folder), 40)}/", class_="dim"), tag("wbr"), stem, tag("wbr"), suffix]
    return tag("span", shown, title=short(path, 300), class_="file")


def plain_name(path: str) -> str:
    """Return a file's name and its last folder."""
    folder, name = os.path.split(path)
    return f"{short(os.path.basename(folder), 40)}/{short(name, 60)}"


def playing_row(label: str, *cells: Html) -> Html:
    """Put strips side by side that play together when one points at them, taps them or moves the focus there."""
    return tag("div", *cells, class_="plays", tabindex=0, role="group", aria_label=label)


def cell(picture: Html, *words: object) -> Html:
    """Put words under a picture."""
    return tag("figure", picture, tag("figcaption", join(words)), class_="cell")


def _picture(name: str, alt: str) -> Html:
    """Return a box with a strip by its class, or with the words after "!"."""
    words = name[1:] if name.startswith("!") else ""
    strip = tag(
        "span",
        words,
        class_="strip gone" if words else f"strip {name}",
        role="img",
        aria_label=f"{alt}: {words}" if words else alt,
    )
    return tag("span", strip, class_="box")


def _as_url(picture: UInt8[np.ndarray, "h w 3"], quality: int) -> str:
    encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"
