"""Parts of bodies followed along a video: mean IoU of VIP, from its folders as published.

FOLDER/Images/VIDEO/000000000001.jpg
FOLDER/Annotations/Category_ids/VIDEO/000000000001.png    numbers of the parts, 0 for background
FOLDER/lists/val_videos.txt                               a video on each line

Zhou et al., "Adaptive Temporal Encoding Network for Video Instance-level Human Parsing", ACM Multimedia 2018. What is done at
the test: eval_protocols, section f.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from reelvec.core import ReelvecError
from reelvec.core.shapes import Float, Int, UInt8
from reelvec.evals.dense.frame_folders import FrameSequence, frames_with_masks, in_short, listed, named, pictures_by_folder
from reelvec.evals.dense.frame_picture import with_masks
from reelvec.evals.dense.label_propagation import Preset, to_map, to_mask
from reelvec.evals.dense.pooled import INTERVAL, Counts, difference, pooled, with_bounds
from reelvec.evals.dense.region_metrics import confusion, iou_by_class, mean_iou

PARTS = (
    "background", "hat", "hair", "sun-glasses", "upper-clothes", "dress", "coat", "socks", "pants", "gloves", "scarf", "skirt",
    "torso-skin", "face", "right-arm", "left-arm", "right-leg", "left-leg", "right-shoe", "left-shoe",
)  # fmt: skip
_FRAMES, _MASKS, _LIST = "Images", "Annotations/Category_ids", "lists/val_videos.txt"
_NOT_JUDGED = 255
_SIZE, _TOP = (448, 880), 10
"""height and width of the frames as they are shown; places that labels are taken from"""


@dataclass(frozen=True)
class ParsedVideo:
    """Frames of people with the parts of their bodies; the parts of the first frame are followed, all frames are judged."""

    sequence: FrameSequence
    size: tuple[int, int]
    parts: list[int]
    notes: list[str]

    def truth(self, frame: int) -> Int[Tensor, "h w"] | None:
        """Return the part of each pixel; 255 where that is not judged. ReelvecError for parts that VIP does not have."""
        values = self.sequence.mask_values(frame, self.size)
        return None if values is None else torch.from_numpy(_checked(values, self.sequence.masks[frame])).long()

    def labels(
        self, truth: Int[Tensor, "h0 w0"], input_size: tuple[int, int], map_size: tuple[int, int], preset: Preset
    ) -> Float[Tensor, "k h w"]:
        """Turn parts into a layer of background and one for each part of the first frame."""
        return to_map(truth, self.parts, input_size, map_size, preset)

    def answer(self, labels: Float[Tensor, "k h w"], input_size: tuple[int, int], preset: Preset) -> Int[Tensor, "h0 w0"]:
        """Name the likeliest part of each pixel."""
        return to_mask(labels, self.parts, input_size, self.size, preset)

    def score(self, answers: Iterable[Int[Tensor, "h w"]]) -> Counts:
        """Count pixels by true and named part, over all frames, the first too."""
        counts = np.zeros((len(PARTS), len(PARTS)), np.int64)
        for frame, answer in enumerate(answers):
            truth = self.truth(frame)
            if truth is not None:
                named = answer.cpu().numpy()
                counts += confusion(np.where(named == _NOT_JUDGED, 0, named), truth.numpy(), len(PARTS))
        return counts

    def drawn(self, frame: int, answer: Int[Tensor, "h w"] | None) -> UInt8[np.ndarray, "h w 3"]:
        """Tint the parts."""
        picture = self.sequence.frame(frame)
        return picture if answer is None else with_masks(picture, (answer * (answer != _NOT_JUDGED)).numpy())


@dataclass(frozen=True)
class Vip:
    """Mean IoU of VIP's twenty classes."""

    videos: list[ParsedVideo]
    numbers: ClassVar[tuple[str, ...]] = ("mIoU",)
    kept: ClassVar[str] = "first parts kept"
    title: ClassVar[str] = "Parts of bodies carried along by features"
    protocol: ClassVar[dict[str, str]] = {
        "metric": "VIP: pixels of all frames of all videos together, the first frames too; intersection over union of each of "
        "20 classes, background too; mean over the classes that are there or are named",
        "interval": INTERVAL,
        "first parts kept": "the parts of the first frame, unmoved, in every frame",
        "ceiling": "the true parts of every frame that the first frame has, made a map and named again: no features can do "
        "better than about this",
    }

    def setting(self, preset: Preset, size: int | tuple[int, int] | None) -> tuple[Preset, tuple[int, int]]:
        """Show frames at 448 x 880 whatever their shape, or at another short side, and take labels from ten places."""
        short = size if isinstance(size, int) else _SIZE[0]
        shown = size if isinstance(size, tuple) else (short, round(short * _SIZE[1] / _SIZE[0]))
        return preset.model_copy(update={"top": _TOP}), shown

    def in_words(self, preset: Preset, size: int | tuple[int, int] | None) -> str:
        """Say the preset."""
        return preset.in_words(size)

    def value(self, scores: Sequence[Counts]) -> float:
        """Return the mean IoU."""
        return pooled([scores], mean_iou)[0]

    def row(self, draws: Sequence[Sequence[Counts]]) -> dict[str, Any]:
        """Return the mean IoU, that of each class that is there or named, and that of each video."""
        value, bounds = with_bounds(draws, mean_iou)
        by_class = np.stack([iou_by_class(np.sum(np.stack(counts), 0)) for counts in draws])
        parts = {name: by_class[:, n][~np.isnan(by_class[:, n])] for n, name in enumerate(PARTS)}
        return {
            "mIoU": value,
            **bounds,
            "parts": {name: float(each.mean()) for name, each in parts.items() if len(each)},
            "sequences": {
                video.sequence.name: {"mIoU": fmean(mean_iou(counts[n]) for counts in draws)}
                for n, video in enumerate(self.videos)
            },
        }

    def difference(self, ours: Sequence[Sequence[Counts]], theirs: Sequence[Sequence[Counts]]) -> dict[str, float | None]:
        """Return the difference of the mean IoUs."""
        return difference(ours, theirs, mean_iou)


def is_vip(folder: Path) -> bool:
    """Whether a folder is laid out as VIP."""
    return (folder / _MASKS).is_dir()


def read_vip(folder: str | os.PathLike[str], sequences: Sequence[str] | None = None) -> Vip:
    """Read the videos of lists/val_videos.txt, or those that `sequences` names: VIDEO, or .txt files of these.

    Raises ReelvecError for a folder that lacks a part of the layout at the head of this file, for masks without frames, and a
    first frame without mask.
    """
    root = Path(folder)
    asked = f"read VIP from {root}"
    frames = {place.as_posix(): found for place, found in pictures_by_folder(root / _FRAMES, (".jpg", ".jpeg")).items()}
    masks = {place.as_posix(): found for place, found in pictures_by_folder(root / _MASKS, (".png",)).items()}
    names = sorted(frames)
    if sequences is None:
        if not (root / _LIST).is_file():
            raise ReelvecError(asked, f"no {_LIST}", "copy it there, or name videos: sequences=VIDEO,...")
        chosen = sorted(set(listed(asked, root, _LIST)))
        if absent := [name for name in chosen if name not in frames]:
            there = f"no {_FRAMES} of {len(absent)} of the {len(chosen)} videos, {absent[0]} first"
            raise ReelvecError(asked, there, f"copy {_FRAMES} whole, or name what is there: sequences=VIDEO,...")
        if not chosen:
            raise ReelvecError(asked, f"{_LIST} without a name", "copy it again, or name videos: sequences=VIDEO,...")
    else:
        chosen = sorted(set(named(asked, root, {name: name for name in names}, names, sequences)))
    return Vip([_video(frames_with_masks(asked, name, frames[name], masks.get(name, {}))) for name in chosen])


def _video(sequence: FrameSequence) -> ParsedVideo:
    size = sequence.frame(0).shape[:2]
    values = sequence.mask_values(0, size)
    seen = [] if values is None else np.unique(_checked(values, sequence.masks[0])).tolist()
    without = sum(mask is None for mask in sequence.masks)
    notes = [f"{sequence.name}: {without} frames without a mask are not judged"] if without else []
    return ParsedVideo(sequence, size, [part for part in seen if part not in (0, _NOT_JUDGED)], notes)


def _checked(values: UInt8[np.ndarray, "h w"], file: Path | None) -> UInt8[np.ndarray, "h w"]:
    if unknown := [str(part) for part in np.unique(values) if len(PARTS) <= part < _NOT_JUDGED]:
        there = f"the numbers {in_short(unknown)}, where VIP has parts 0 to {len(PARTS) - 1}"
        raise ReelvecError(f"read the parts {file}", there, f"give {_MASKS}, not those of persons or colours")
    return values
