"""A body's joints followed along a video: PCK of JHMDB, from its folders as published.

FOLDER/Rename_Images/CLASS/VIDEO/00001.png
FOLDER/joint_positions/CLASS/VIDEO/joint_positions.mat    pos_img (2 x 15 x frames): x and y, counted from 1
FOLDER/splits/CLASS_test_split1.txt                       VIDEO.avi 1 for training, VIDEO.avi 2 for the test

Jhuang et al., "Towards Understanding Action Recognition", ICCV 2013. What is done at the test: eval_protocols, section f.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from reelvec.backbones.optional import optional_package
from reelvec.core import ReelvecError
from reelvec.core.shapes import Float, UInt8
from reelvec.evals.dense.frame_folders import FrameSequence, in_short, named, pictures_by_folder
from reelvec.evals.dense.frame_picture import with_joints
from reelvec.evals.dense.joint_tracking import THRESHOLDS, joint_maps, joint_places, pck, pck_counts, share_lost
from reelvec.evals.dense.label_propagation import Preset
from reelvec.evals.dense.pooled import INTERVAL, Counts, difference, pooled, with_bounds

JOINTS = (
    "neck", "belly", "face", "right shoulder", "left shoulder", "right hip", "left hip", "right elbow", "left elbow",
    "right knee", "left knee", "right wrist", "left wrist", "right ankle", "left ankle",
)  # fmt: skip
_BONES = ((2, 0), (0, 1), (0, 3), (3, 7), (7, 11), (0, 4), (4, 8), (8, 12), (1, 5), (5, 9), (9, 13), (1, 6), (6, 10), (10, 14))
_FRAMES, _JOINTS, _SPLITS = "Rename_Images", "joint_positions", "splits"
_SPLIT_END, _TEST = "_test_split1.txt", "2"
_SIDE = 320
"""of the frames as they are shown, both ways"""


@dataclass(frozen=True)
class PosedVideo:
    """Frames of one person, and where their joints are; frames beyond the last of which that is known are not judged."""

    sequence: FrameSequence
    size: tuple[int, int]
    joints: Float[Tensor, "frames joints 2"]
    notes: list[str]

    def truth(self, frame: int) -> Float[Tensor, "joints 2"] | None:
        """Return the joints' places, x and y in pixels."""
        return self.joints[frame] if frame < len(self.joints) else None

    def labels(
        self, truth: Float[Tensor, "joints 2"], input_size: tuple[int, int], map_size: tuple[int, int], preset: Preset
    ) -> Float[Tensor, "k h w"]:
        """Turn joints into heat, the same with every preset and size of the frames."""
        return joint_maps(truth, self.size, map_size)

    def answer(self, labels: Float[Tensor, "k h w"], input_size: tuple[int, int], preset: Preset) -> Float[Tensor, "joints 2"]:
        """Say where the joints are; NaN of one that is lost."""
        return joint_places(labels, self.size)

    def score(self, answers: Iterable[Float[Tensor, "joints 2"]]) -> Counts:
        """Count what is near enough, joint by joint."""
        found = torch.stack([answer.cpu() for answer in answers])
        return pck_counts(found[: len(self.joints)], self.joints)

    def drawn(self, frame: int, answer: Float[Tensor, "joints 2"] | None) -> UInt8[np.ndarray, "h w 3"]:
        """Draw the joints and what ties them."""
        picture = self.sequence.frame(frame)
        return picture if answer is None else with_joints(picture, answer.numpy(), _BONES)


@dataclass(frozen=True)
class Jhmdb:
    """PCK of JHMDB's fifteen joints."""

    videos: list[PosedVideo]
    numbers: ClassVar[tuple[str, ...]] = ("PCK@0.1", "PCK@0.2")
    kept: ClassVar[str] = "first pose kept"
    title: ClassVar[str] = "Joints carried along by features"
    protocol: ClassVar[dict[str, str]] = {
        "metric": "JHMDB: share of joints whose distance to the truth is at most 0.1 (to 0.5) of 0.6 times the diagonal of "
        "the box around the true joints; all frames but the first of all videos together, joint by joint, mean over the 15 "
        "joints; a joint without any heat is lost: not asked for, nor in the box, as in the official evaluation; `lost` is "
        "their share",
        "interval": INTERVAL,
        "first pose kept": "the joints of the first frame, unmoved, in every frame",
        "ceiling": "the true joints of every frame, made heat and places again: no features can do better than about this",
    }

    def setting(self, preset: Preset, size: int | tuple[int, int] | None) -> tuple[Preset, tuple[int, int]]:
        """Show frames at 320 x 320 whatever their shape, or at another side."""
        return preset, size if isinstance(size, tuple) else (size or _SIDE, size or _SIDE)

    def in_words(self, preset: Preset, size: int | tuple[int, int] | None) -> str:
        """Say the preset, with heat in place of masks."""
        return preset.in_words(size, "joints to maps: heat of half a cell; back: the mean of the five hottest cells, by heat")

    def value(self, scores: Sequence[Counts]) -> float:
        """Return PCK@0.1."""
        return pooled([scores], _pck_at(0))[0]

    def row(self, draws: Sequence[Sequence[Counts]]) -> dict[str, Any]:
        """Return PCK at all thresholds, the share that is lost, and PCK@0.1 of each joint and of each video."""
        value, bounds = with_bounds(draws, _pck_at(0))
        sums = [np.sum(np.stack(counts), 0) for counts in draws]
        return {
            "PCK@0.1": value,
            **bounds,
            **{f"PCK@{limit:g}": fmean(pck(one)[n] for one in sums) for n, limit in enumerate(THRESHOLDS) if n},
            "lost": fmean(share_lost(one) for one in sums),
            "joints": {name: fmean(pck(one[:, [n]])[0] for one in sums) for n, name in enumerate(JOINTS)},
            "sequences": {
                video.sequence.name: {"PCK@0.1": fmean(pck(counts[n])[0] for counts in draws)}
                for n, video in enumerate(self.videos)
            },
        }

    def difference(self, ours: Sequence[Sequence[Counts]], theirs: Sequence[Sequence[Counts]]) -> dict[str, float | None]:
        """Return the difference of PCK@0.1."""
        return difference(ours, theirs, _pck_at(0))


def _pck_at(threshold: int) -> Any:
    return lambda counts: pck(counts)[threshold]


def is_jhmdb(folder: Path) -> bool:
    """Whether a folder is laid out as JHMDB."""
    return (folder / _JOINTS).is_dir() or (folder / _FRAMES).is_dir()


def read_jhmdb(folder: str | os.PathLike[str], sequences: Sequence[str] | None = None) -> Jhmdb:
    """Read the test videos of split 1, or those that `sequences` names: VIDEO, CLASS/VIDEO, or .txt files of these.

    Raises ReelvecError for a folder that lacks a part of the layout at the head of this file, for joints that are no file of
    MATLAB with pos_img of 15 joints and at most as many frames as there are pictures, and where SciPy is not installed.
    """
    root = Path(folder)
    asked = f"read JHMDB from {root}"
    for part in (_FRAMES, _JOINTS):
        if not (root / part).is_dir():
            raise ReelvecError(asked, f"no folder {part}", f"unpack JHMDB's {part} beside its other parts")
    frames = {place.as_posix(): found for place, found in pictures_by_folder(root / _FRAMES, (".png", ".jpg")).items()}
    names = sorted(frames)
    if sequences is None:
        chosen = _test_videos(asked, root)
        if absent := [name for name in chosen if name not in frames]:
            there = f"no frames of {len(absent)} of the {len(chosen)} test videos, {absent[0]} first"
            raise ReelvecError(asked, there, f"unpack {_FRAMES} whole, or name what is there: sequences=CLASS/VIDEO,...")
    else:
        often = Counter(Path(name).name for name in names)
        short = {Path(name).name: name for name in names if often[Path(name).name] == 1}
        chosen = sorted(set(named(asked, root, {**short, **{name: name for name in names}}, names, sequences)))
    loadmat = optional_package("scipy.io", asked, "eval").loadmat
    return Jhmdb([_video(root, name, frames[name], loadmat) for name in chosen])


def _test_videos(asked: str, root: Path) -> list[str]:
    files = sorted((root / _SPLITS).glob(f"[!.]*{_SPLIT_END}"))
    chosen = []
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            name, _, side = line.strip().rpartition(" ")
            if name and side == _TEST:
                chosen.append(f"{file.name.removesuffix(_SPLIT_END)}/{name.strip().removesuffix('.avi')}")
    if not chosen:
        there = f"{len(files)} files {_SPLITS}/CLASS{_SPLIT_END}, with no test video (VIDEO.avi {_TEST})"
        raise ReelvecError(asked, there, "unpack JHMDB's splits there, or name videos: sequences=CLASS/VIDEO,...")
    return sorted(chosen)


def _video(root: Path, name: str, frames: dict[str, Path], loadmat: Any) -> PosedVideo:
    path = root / _JOINTS / name / "joint_positions.mat"
    asked, do = f"read the joints {path}", "unpack JHMDB's joint_positions again"
    if not path.is_file():
        raise ReelvecError(asked, "no such file", f"{do}, or leave the video out")
    try:
        content = loadmat(str(path))
    except Exception as error:  # SciPy has an error of its own for every way in which a file can be broken
        raise ReelvecError(asked, f"no file of MATLAB that can be read ({str(error)[:120]})", do) from error
    places = np.asarray(content.get("pos_img", ()))
    if places.ndim != 3 or places.shape[:2] != (2, len(JOINTS)) or places.dtype.kind not in "fiu":
        keys = in_short([key for key in content if not key.startswith("__")])
        there = f"pos_img of {' x '.join(map(str, places.shape))}" if "pos_img" in content else f"only {keys or 'nothing'}"
        raise ReelvecError(asked, there, f"give pos_img of 2 x {len(JOINTS)} x frames, as published")
    if not np.isfinite(places).all():
        raise ReelvecError(asked, "places that are no numbers", do)
    if not 2 <= places.shape[2] <= len(frames):
        there = f"joints in {places.shape[2]} frames, and {len(frames)} pictures in {_FRAMES}/{name}"
        raise ReelvecError(asked, there, f"give at least two, and a picture for each: unpack {_FRAMES} again")
    order = sorted(frames)
    sequence = FrameSequence(name, tuple(frames[stem] for stem in order), (None,) * len(order))
    joints = torch.from_numpy(np.ascontiguousarray(places.transpose(2, 1, 0), np.float32)) - 1  # MATLAB counts from 1
    more = len(order) - len(joints)
    notes = [f"{name}: joints of the first {len(joints)} frames alone, {more} frames are not judged"] if more else []
    return PosedVideo(sequence, sequence.frame(0).shape[:2], joints, notes)
