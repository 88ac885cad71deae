"""Videos as folders of frames with object masks, in DAVIS's layout or a plainer one; read a frame at a time.

FOLDER/JPEGImages/480p/dog/00000.jpg    FOLDER/JPEGImages/dog/00000.jpg    FOLDER/JPEGImages/00000.jpg    FOLDER/00000.jpg
FOLDER/Annotations/480p/dog/00000.png   FOLDER/Annotations/dog/00000.png   FOLDER/Annotations/00000.png   FOLDER/00000.png
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import av
import cv2
import numpy as np

from reelvec.core import ReelvecError
from reelvec.core.shapes import UInt8

_FRAMES, _MASKS = "JPEGImages", "Annotations"
_FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
_VOID = 255
"""in a mask of several objects: not judged by a person. The official evaluation counts it as background, and so do we"""
_NAMED_AT_MOST = 12
"""sequences that an error names"""
_Place = TypeVar("_Place")
_LAYOUT = f"{_FRAMES}/[RESOLUTION/]SEQUENCE/00000.jpg beside {_MASKS}/[RESOLUTION/]SEQUENCE/00000.png"


@dataclass(frozen=True)
class FrameSequence:
    """The frames of one video in order, each with the file of its mask, or None where there is none."""

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path | None, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, number: int) -> UInt8[np.ndarray, "h w 3"]:
        """Read a frame as RGB; ReelvecError where it is no picture."""
        pixels = cv2.imread(str(self.frames[number]), cv2.IMREAD_COLOR)
        if pixels is None:
            raise ReelvecError(f"read the frame {self.frames[number]}", "a file that is no picture", "copy it again")
        return np.ascontiguousarray(pixels[..., ::-1])

    def mask(self, number: int, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"] | None:
        """Read the mask of a frame: 0 background, k where the k-th object is seen. None where the frame has no mask.

        Pictures of 0 and 255 hold one object, 1. Others hold the objects' numbers, plainly or as a palette's indices.
        ReelvecError for other pictures, and for a mask that has not the frames' `size`, height and width.
        """
        values = self.mask_values(number, size)
        if values is None:
            return None
        seen = np.unique(values)
        if seen[-1] == _VOID and len(seen) <= 2 and seen[0] in (0, _VOID):
            return (values == _VOID).astype(np.uint8)
        return np.where(values == _VOID, 0, values).astype(np.uint8)

    def mask_values(self, number: int, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"] | None:
        """Read the numbers in the mask of a frame as they stand there; else as `mask`."""
        path = self.masks[number]
        if path is None:
            return None
        values = _numbers(path)
        if values.shape != size:
            raise ReelvecError(
                f"read the mask {path}",
                f"{values.shape[1]} x {values.shape[0]} pixels, and frames of {size[1]} x {size[0]}",
                "give frames and masks of one size",
            )
        return values


def read_frame_folder(folder: str | os.PathLike[str], sequences: Sequence[str] | None = None) -> list[FrameSequence]:
    """Find the sequences of a folder, sorted by name; the layouts are those at the head of this file.

    `sequences` chooses by name (dog, or 480p/dog where it is there in several resolutions), or by lists of names: files
    that end in .txt, within the folder or not, such as ImageSets/2017/val.txt. No picture is opened.
    Raises ReelvecError for a folder that holds no such thing, for masks without frames, a first frame without mask and names
    that are not there.
    """
    root = Path(folder)
    asked = f"read frames and masks of {root}"
    if not root.is_dir():
        raise ReelvecError(asked, "no such folder", f"give a folder with {_LAYOUT}")
    plain = not (root / _FRAMES).is_dir() and not (root / _MASKS).is_dir()
    frames = pictures_by_folder(root if plain else root / _FRAMES, (".jpg", ".jpeg") if plain else _FRAME_SUFFIXES)
    masks = pictures_by_folder(root if plain else root / _MASKS, (".png",))
    if not frames or not masks:
        there = f"{sum(map(len, frames.values()))} frames and {sum(map(len, masks.values()))} masks"
        raise ReelvecError(asked, there, f"lay them out as {_LAYOUT}")
    names = _names(list(frames), root.absolute().name)
    chosen = _chosen(asked, root, names, sequences)
    return [frames_with_masks(asked, names[place], frames[place], masks.get(place, {})) for place in chosen]


def frames_with_masks(asked: str, name: str, frames: Mapping[str, Path], masks: Mapping[str, Path]) -> FrameSequence:
    """Put frames and masks together by their names without suffix; ReelvecError if the first mask or any frame is missing."""
    if strange := sorted(set(masks) - set(frames)):
        raise ReelvecError(asked, f"{name}: a mask {strange[0]} without a frame of that name", "give both the same names")
    order = sorted(frames)
    if order[0] not in masks:
        raise ReelvecError(
            asked, f"{name}: no mask of the first frame, {order[0]}", "give it: it says which object is to be followed"
        )
    return FrameSequence(name, tuple(frames[stem] for stem in order), tuple(masks.get(stem) for stem in order))


def pictures_by_folder(root: Path, suffixes: tuple[str, ...]) -> dict[Path, dict[str, Path]]:
    """Return the pictures by the folder they stand in, relative to `root`, and by their name without suffix."""
    found: dict[Path, dict[str, Path]] = defaultdict(dict)
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            found[path.parent.relative_to(root)][path.stem] = path
    return dict(found)


def _names(places: list[Path], root_name: str) -> dict[Path, str]:
    """Name each folder of frames: by its last part, or by its whole path where two end alike."""
    short = [place.name or root_name for place in places]
    return {
        place: name if short.count(name) == 1 else place.as_posix()
        for place, name in sorted(zip(places, short, strict=True), key=lambda pair: pair[1])
    }


def _chosen(asked: str, root: Path, names: dict[Path, str], sequences: Sequence[str] | None) -> list[Path]:
    by_name = {name: place for place, name in names.items()} | {place.as_posix(): place for place in names}
    if sequences is None:
        twice = [name for place, name in names.items() if "/" in name and place.as_posix() == name]
        twins = [name for name in twice if sum(Path(name).name == Path(other).name for other in twice) > 1]
        if twins:
            raise ReelvecError(
                asked, f"the same sequence more than once: {', '.join(twins[:4])}", f"choose: sequences={twins[0]},..."
            )
        return list(names)
    return sorted(set(named(asked, root, by_name, list(names.values()), sequences)), key=lambda place: names[place])


def named(
    asked: str, root: Path, by_name: Mapping[str, _Place], all_names: Sequence[str], sequences: Sequence[str]
) -> list[_Place]:
    """Return what `sequences` names, by name or in lists (.txt, within `root` or not); else ReelvecError with `all_names`."""
    wanted = [name for one in sequences for name in (listed(asked, root, one) if one.endswith(".txt") else [one])]
    there = f"the sequences {in_short(all_names)}"
    if unknown := [name for name in wanted if name not in by_name]:
        raise ReelvecError(asked, there, f"name some of these; not {in_short(unknown)}")
    if not wanted:
        raise ReelvecError(f"{asked} with no sequences", there, "name some of these")
    return [by_name[name] for name in wanted]


def in_short(names: Sequence[str]) -> str:
    """Name a dozen at most."""
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def listed(asked: str, root: Path, file: str) -> list[str]:
    """Return the first words of a file's lines; ReelvecError if there is no such file, within `root` or not."""
    path = root / file if (root / file).is_file() else Path(file)
    if not path.is_file():
        raise ReelvecError(asked, f"no list of sequences {file}", "give the path of a text file with a name on each line")
    return [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _numbers(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Read the numbers that stand in a mask's pixels; OpenCV alone would turn a palette's indices into colours."""
    asked, do = f"read the mask {path}", "save masks as PNG in 8 bits: 0 and 255, or the objects' numbers, or a palette"
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ReelvecError(asked, "a file that is no picture", do)
    if values.dtype != np.uint8:
        raise ReelvecError(asked, f"a picture of {8 * values.dtype.itemsize} bits", do)
    if values.ndim == 2:
        return values
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        if frame.format.name == "pal8":
            indices, _ = frame.to_ndarray()
            return np.ascontiguousarray(indices)
    if (values[..., :3] != values[..., :1]).any():
        raise ReelvecError(asked, "a picture of colours without a palette", do)
    return np.ascontiguousarray(values[..., 0])
