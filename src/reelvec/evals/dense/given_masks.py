"""Masks of labelled videos: those of a set made by `reelvec shapes`, or a folder of one's own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reelvec.core import EncoderCard, ReelvecError
from reelvec.core.shapes import Float, UInt8
from reelvec.data.clips import clip_seconds, frames_at
from reelvec.data.index import Index, VideoRow
from reelvec.data.streams import step_seconds
from reelvec.evals.dense.frame_folders import FrameSequence
from reelvec.evals.labels import Labels


@dataclass(frozen=True)
class GivenMasks:
    """Where labels and masks of videos stand."""

    table: Path
    """what `read_labels` reads: labels.csv of a generated set, else the labels themselves"""
    folder: Path
    """by which videos are named"""
    masks: Path

    def of(self, video: str) -> Path | None:
        """Return where the masks of a video are: named as its path within the folder of the labels, or as its file."""
        path = Path(os.path.abspath(video))
        root = Path(os.path.abspath(self.folder))
        inside = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
        for name in (inside.with_suffix(""), Path(path.stem)):
            if (file := self.masks / f"{name}.npz").is_file():
                return file
            if any((self.masks / name).glob("*.png")):
                return self.masks / name
        return None

    def sides(
        self, asked: str, labelled: Labels, found: Index, usable: list[tuple[int, int]], tests: Sequence[bool]
    ) -> tuple[list[int], dict[int, Path], dict[str, str]]:
        """Return the rows of training videos, row -> masks of the test videos, and path -> why of those without.

        `usable` and `found` are what `find_videos` returns, `tests` says of each labelled video whether it is a test video.
        Raises ReelvecError where a side is empty.
        """
        train = [row for number, row in usable if not tests[number]]
        of_tests = {row: self.of(labelled.videos[number].path) for number, row in usable if tests[number]}
        places = {row: place for row, place in of_tests.items() if place is not None}
        if not train or not places:
            raise ReelvecError(
                asked,
                f"{len(train)} training videos, and of {len(of_tests)} test videos {len(places)} with masks in {self.masks}",
                "name masks as the videos: VIDEO.npz or VIDEO/*.png for VIDEO.mp4",
            )
        return train, places, {found.row(row).path: f"no masks in {self.masks}" for row in of_tests if row not in places}


def is_generated(labels: Path) -> bool:
    """Whether these are the labels of a set that `reelvec shapes` made, with its truth."""
    folder = labels.parent
    return labels.name == "labels.csv" and (folder / "settings.json").is_file() and (folder / "truth").is_dir()


def masks_beside(asked: str, labels: Path, masks: str | os.PathLike[str] | None) -> GivenMasks:
    """Find the masks of labelled videos: `masks`, or truth/ beside the labels. ReelvecError where there is no such folder."""
    table = labels / "labels.csv" if (labels / "settings.json").is_file() else labels
    folder = table.parent if table.is_file() else table
    masks_in = folder / "truth" if masks is None else Path(masks)
    if not masks_in.is_dir():
        raise ReelvecError(
            asked, f"no folder {masks_in} with masks", "give a set made by `reelvec shapes`, with its truth, or masks=FOLDER"
        )
    return GivenMasks(table, folder, masks_in)


def masks_of_clip(place: Path, video: VideoRow, card: EncoderCard, start_seconds: float) -> UInt8[np.ndarray, "t h w"]:
    """Read the masks of the frames that a clip shows to an encoder; ReelvecError as `read_masks`."""
    need = card.needs.streams[0]
    return read_masks(place, video, clip_seconds(start_seconds, need.frames, step_seconds(need, card.needs, video)))


def read_masks(place: Path, video: VideoRow, seconds: Float[np.ndarray, "t"]) -> UInt8[np.ndarray, "t h w"]:
    """Read the masks at these times of a video from a file .npz or a folder of PNGs; not 0 where the object is.

    Raises ReelvecError for masks that do not have the frames and the size of the video.
    """
    asked, size = f"read the masks {place}", (video.height, video.width)
    pictures = tuple(sorted(place.glob("*.png"))) if place.is_dir() else ()
    if pictures:
        many, shape = len(pictures), size
    else:
        with np.load(place) as file:
            if "masks" not in file or file["masks"].ndim != 3:
                raise ReelvecError(asked, f"no `masks` (t h w), but {', '.join(file)}", "save them under that name")
            masks: UInt8[np.ndarray, "t h w"] = (file["masks"] != 0).astype(np.uint8)
        many, shape = len(masks), masks.shape[1:]
    if many != video.frames or shape != size:
        raise ReelvecError(
            asked,
            f"{many} masks of {shape[1]} x {shape[0]} pixels, and {video.frames} frames of {size[1]} x {size[0]}",
            "give one mask for each frame, of its size",
        )
    shown = frames_at(video.frame_seconds, video.duration_seconds, seconds)
    if not pictures:
        return masks[shown]
    sequence = FrameSequence(place.name, (), pictures)
    each = {frame: sequence.mask(frame, size) for frame in set(shown.tolist())}
    return np.stack([each[frame] for frame in shown.tolist()])  # type: ignore[misc]
