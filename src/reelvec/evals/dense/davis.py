"""Objects' masks followed along a video: J and F of DAVIS 2017, of the benchmark itself and of folders laid out like it."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from reelvec.core import ReelvecError
from reelvec.core.shapes import Float, Int, UInt8
from reelvec.evals.dense.frame_folders import FrameSequence, read_frame_folder
from reelvec.evals.dense.frame_picture import with_masks
from reelvec.evals.dense.label_propagation import Preset, to_map, to_mask
from reelvec.evals.dense.region_metrics import OverTime, boundary_accuracy, over_time, region_similarity
from reelvec.evals.intervals import mean_over_groups


@dataclass(frozen=True)
class ObjectScore:
    """One object's J and F over the frames of a sequence."""

    sequence: str
    j: OverTime
    f: OverTime

    @property
    def both(self) -> float:
        """J&F."""
        return (self.j.mean + self.f.mean) / 2


@dataclass(frozen=True)
class MaskedVideo:
    """A sequence, the objects of its first frame, and which of its frames are judged: not the first, not the last."""

    sequence: FrameSequence
    size: tuple[int, int]
    objects: list[int]
    judged: set[int]
    notes: list[str]

    def truth(self, frame: int) -> Int[Tensor, "h w"] | None:
        """Return the mask of a frame."""
        mask = self.sequence.mask(frame, self.size)
        return None if mask is None else torch.from_numpy(mask).long()

    def labels(
        self, truth: Int[Tensor, "h0 w0"], input_size: tuple[int, int], map_size: tuple[int, int], preset: Preset
    ) -> Float[Tensor, "k h w"]:
        """Turn a mask into a layer of background and one for each object."""
        return to_map(truth, self.objects, input_size, map_size, preset)

    def answer(self, labels: Float[Tensor, "k h w"], input_size: tuple[int, int], preset: Preset) -> Int[Tensor, "h0 w0"]:
        """Name the likeliest object of each pixel."""
        return to_mask(labels, self.objects, input_size, self.size, preset)

    def score(self, answers: Iterable[Int[Tensor, "h w"]]) -> list[ObjectScore]:
        """Compare masks of all frames in order with the true ones, object by object."""
        regions: dict[int, list[float]] = {number: [] for number in self.objects}
        edges: dict[int, list[float]] = {number: [] for number in self.objects}
        for frame, answer in enumerate(answers):
            truth = self.sequence.mask(frame, self.size) if frame in self.judged else None
            if truth is not None:
                ours = answer.cpu().numpy()
                for number in self.objects:
                    regions[number].append(region_similarity(ours == number, truth == number))
                    edges[number].append(boundary_accuracy(ours == number, truth == number))
        return [ObjectScore(self.sequence.name, over_time(regions[n]), over_time(edges[n])) for n in self.objects]

    def drawn(self, frame: int, answer: Int[Tensor, "h w"] | None) -> UInt8[np.ndarray, "h w 3"]:
        """Tint the objects."""
        picture = self.sequence.frame(frame)
        return picture if answer is None else with_masks(picture, answer.numpy())


@dataclass(frozen=True)
class Davis:
    """DAVIS 2017; also DAVIS 2016, and any folder of frames with masks."""

    videos: list[MaskedVideo]
    numbers: ClassVar[tuple[str, ...]] = ("J&F",)
    kept: ClassVar[str] = "first mask kept"
    title: ClassVar[str] = "Masks carried along by features"
    protocol: ClassVar[dict[str, str]] = {
        "metric": "DAVIS 2017: J intersection over union, F of boundaries within 0.008 of the diagonal, of each object in "
        "each frame but the first and last; means over frames, then over objects; recall: share of frames above 0.5; "
        "decay: first quarter less last",
        "interval": "95 %, Student's, of the mean over objects, sequences being what was drawn (objects of one sequence go "
        "together); none with a single sequence; differences are paired by object",
        "first mask kept": "the mask of the first frame, unmoved, in every frame",
        "ceiling": "the true mask of every frame, made a map and a mask again: no features can do better than about this",
    }

    def setting(self, preset: Preset, size: int | tuple[int, int] | None) -> tuple[Preset, int | tuple[int, int] | None]:
        """Leave presets as they are: they are of DAVIS."""
        return preset, size

    def in_words(self, preset: Preset, size: int | tuple[int, int] | None) -> str:
        """Say the preset."""
        return preset.in_words(size)

    def value(self, scores: Sequence[list[ObjectScore]]) -> float:
        """Return J&F, mean over objects."""
        return fmean(one.both for objects in scores for one in objects)

    def row(self, draws: Sequence[Sequence[list[ObjectScore]]]) -> dict[str, Any]:
        """Return J&F with its interval, J and F in full, and all three for each sequence."""
        objects = _mean_of_networks(draws)
        names = [one.sequence for one in objects]
        value, half = mean_over_groups([one.both for one in objects], names)
        return {
            "J&F": value,
            "low": None if half is None else max(0.0, value - half),
            "high": None if half is None else min(1.0, value + half),
            "J": asdict(_mean([one.j for one in objects])),
            "F": asdict(_mean([one.f for one in objects])),
            "sequences": {name: _of_sequence(objects, name) for name in dict.fromkeys(names)},
        }

    def difference(
        self, ours: Sequence[Sequence[list[ObjectScore]]], theirs: Sequence[Sequence[list[ObjectScore]]]
    ) -> dict[str, float | None]:
        """Return the mean over objects of the differences of J&F."""
        objects, others = _mean_of_networks(ours), _mean_of_networks(theirs)
        differences = [a.both - b.both for a, b in zip(objects, others, strict=True)]
        more, half = mean_over_groups(differences, [one.sequence for one in objects])
        return {"mean": more, "low": None if half is None else more - half, "high": None if half is None else more + half}


def read_davis(folder: str | os.PathLike[str], sequences: Sequence[str] | None = None) -> Davis:
    """Read a folder of frames and masks as `read_frame_folder` does; ReelvecError where there is nothing to follow or judge."""
    return Davis([_video(sequence) for sequence in read_frame_folder(folder, sequences)])


def _video(sequence: FrameSequence) -> MaskedVideo:
    asked, notes = f"follow objects in {sequence.name}", []
    size = sequence.frame(0).shape[:2]
    mask = sequence.mask(0, size)
    objects = [] if mask is None else [int(number) for number in np.unique(mask) if number]
    judged = {number for number in range(1, len(sequence) - 1) if sequence.masks[number] is not None}
    if not objects:
        raise ReelvecError(asked, "a first mask without any object", "leave the sequence out, or let it begin later")
    if not judged:
        there = f"{len(sequence)} frames, none with a mask but the first and the last"
        raise ReelvecError(asked, there, "give masks of frames in between: the first is given away and the last does not count")
    later: set[int] = set()
    for number in judged:
        truth = sequence.mask(number, size)
        later |= set(np.unique(truth).tolist()) - {0, *objects} if truth is not None else set()
    if later:
        which = ", ".join(map(str, sorted(later)))
        notes.append(f"{sequence.name}: objects {which} are not in the first frame: not followed, not counted")
    return MaskedVideo(sequence, size, objects, judged, notes)


def _mean_of_networks(draws: Sequence[Sequence[list[ObjectScore]]]) -> list[ObjectScore]:
    """Return the objects of all sequences, each the mean of what several networks made of it."""
    flat = [[one for objects in scores for one in objects] for scores in draws]
    return [
        ObjectScore(each[0].sequence, _mean([one.j for one in each]), _mean([one.f for one in each]))
        for each in zip(*flat, strict=True)
    ]


def _mean(each: Sequence[OverTime]) -> OverTime:
    return OverTime(*(fmean(getattr(one, key) for one in each) for key in ("mean", "recall", "decay")))


def _of_sequence(objects: Sequence[ObjectScore], sequence: str) -> dict[str, Any]:
    mine = [one for one in objects if one.sequence == sequence]
    j, f = fmean(one.j.mean for one in mine), fmean(one.f.mean for one in mine)
    return {"J&F": (j + f) / 2, "J": j, "F": f, "objects": [one.both for one in mine]}
