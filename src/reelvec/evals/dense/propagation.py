"""`propagation`: how far features alone carry the mask of a first frame along a video; J&F of DAVIS 2017."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reelvec.backbones import load_encoder
from reelvec.core import Encoder, ReelvecError, write_json
from reelvec.core.shapes import Int
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress
from reelvec.evals.dense.frame_folders import FrameSequence, read_frame_folder
from reelvec.evals.dense.frame_maps import Clips, FrameMaps, pixel_maps, refuse_motion
from reelvec.evals.dense.frame_picture import Block, draw_blocks, with_masks
from reelvec.evals.dense.label_propagation import Preset, carry, chosen_presets, to_map, to_mask
from reelvec.evals.dense.map_stride import with_map_stride
from reelvec.evals.dense.region_metrics import OverTime, boundary_accuracy, over_time, region_similarity
from reelvec.evals.evaluate import encoder_facts
from reelvec.evals.features import UNTRAINED, untrained_encoder
from reelvec.evals.intervals import over_draws
from reelvec.evals.results import result_file

PIXELS, FIRST_KEPT, CEILING = "raw pixels", "first mask kept", "ceiling"

_SHOWN_SEQUENCES, _SHOWN_FRAMES = 4, 5

_METRIC = (
    "DAVIS 2017: J intersection over union, F of boundaries within 0.008 of the diagonal, of each object in each frame but the "
    "first and last; means over frames, then over objects; recall: share of frames above 0.5; decay: first quarter less last"
)
_INTERVAL = (
    "95 %, Student's, of the mean over objects, sequences being what was drawn (objects of one sequence go together); none "
    "with a single sequence; differences are paired by object"
)


def propagation(
    run: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    preset: Sequence[str] = ("crw",),
    encoder: str = "visual",
    size: int | tuple[int, int] | None = None,
    clips: Clips = "windows",
    map_stride: int | None = None,
    sequences: Sequence[str] | None = None,
    device: str | None = None,
    seed: int = 0,
    baselines: bool = True,
    out: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Carry the first mask of every sequence along by a frozen encoder's features, and say how well it fits the true masks.

    Args:
        run: a run folder, or an encoder folder.
        folder: frames and masks as `read_frame_folder` reads them.
        preset: names in `PRESETS`; a table of rows for each.
        size: short side of the frames in place of the preset's, or (height, width); small ones make it cheap and coarse.
        clips: "windows" of following frames, or each frame "repeated", for networks that read clips.
        map_stride: pixels from one cell of the map to the next; None: the network's own.
        sequences: names, or lists of names in .txt files; None: all.
        baselines: False leaves out the mean of three untrained networks and raw pixels. The first mask kept and the ceiling
            stay.
        out: JSON file; None: evals/<folder>-propagation-step<step>.json in the run folder. A picture is written beside it.

    Returns what is written to `out`: {"run", "data", "encoder", "protocol", "notes", "rows", "file", "picture"}; each row is
    {"name", "preset", "J&F", "low", "high", "J": {"mean", "recall", "decay"}, "F": {...}, "sequences": {name: {"J&F", "J",
    "F"}}}, shares between 0 and 1. Of several networks there is "each" as well, and the encoder's row has the differences
    "over": {row: {"mean", "low", "high"}}. The ceiling is the true mask itself, made as small as the map and large again.
    Raises ReelvecError for a run, folder, preset or size that does not fit, and for an encoder that does not read RGB.
    """
    presets = chosen_presets(preset)
    network, card = load_encoder(run, encoder)
    refuse_motion(card, "propagate labels")
    found = read_frame_folder(folder, sequences)
    on_device = choose_device(device)
    networks: list[tuple[str, list[Encoder]]] = [(encoder, [network])]
    if baselines:
        fresh = [untrained_encoder(card, seed + draw) for draw in range(UNTRAINED)]
        networks.append((f"untrained {encoder}", fresh))
    made = [
        (name, [FrameMaps(with_map_stride(one, card, map_stride), card, on_device, clips) for one in draws])
        for name, draws in networks
    ]
    starts = [_start(sequence) for sequence in found]
    notes = [note for start in starts for note in start.notes]
    rows: list[dict[str, Any]] = []
    shown: list[Block] = []
    maps_seen: dict[str, None] = {}
    done, total = 0, len(presets) * len(found) * sum(len(draws) for _, draws in made)
    for preset_name, setting in presets.items():
        answers: dict[str, list[list[_Answer]]] = {}
        for start in starts:
            tracks: dict[str, _Track] = {}
            for name, draws in made:
                for draw, maps in enumerate(draws):
                    input_size = start.input_size(setting, size)
                    track = _follow(start, maps.of(start.sequence, input_size), setting, input_size)
                    answers.setdefault(name, [[] for _ in draws])[draw] += track.answers
                    tracks.setdefault(name, track)
                    done += 1
                    if on_progress:
                        on_progress(done, total, f"{preset_name}: {name}, {start.sequence.name}")
            map_size = tracks[encoder].map_size
            maps_seen[f"{map_size[0]} x {map_size[1]}"] = None
            if baselines:
                tracks[PIXELS] = _follow(start, pixel_maps(start.sequence, input_size, map_size, card), setting, input_size)
                answers.setdefault(PIXELS, [[]])[0] += tracks[PIXELS].answers
            answers.setdefault(FIRST_KEPT, [[]])[0] += _kept(start).answers
            answers.setdefault(CEILING, [[]])[0] += _ceiling(start, map_size, setting, input_size).answers
            if not rows and len(shown) < _SHOWN_SEQUENCES:
                shown.append(_block(start, tracks))
        rows += _rows(preset_name, encoder, answers)
    untrained = f"same architecture, fresh weights: mean of {UNTRAINED} networks (seeds {seed} to {seed + UNTRAINED - 1})"
    file = Path(out) if out is not None else result_file(Path(run), Path(folder), card.step, "-propagation")
    result: dict[str, Any] = {
        "run": str(run),
        "data": str(folder),
        "encoder": {"name": encoder, **encoder_facts(card)},
        "protocol": {
            **{name: one.in_words(size) for name, one in presets.items()},
            "clips": made[0][1][0].in_words,
            "map": f"{', '.join(maps_seen)} cells; " + (
                "the network's own stride" if map_stride is None else f"strides taken out, {map_stride} pixels to a cell"
            ),
            "metric": _METRIC,
            "interval": _INTERVAL,
            **({"untrained": untrained, PIXELS: "colours of 4 x 4 parts of each cell as its feature"} if baselines else {}),
            FIRST_KEPT: "the mask of the first frame, unmoved, in every frame",
            CEILING: "the true mask of every frame, made a map and a mask again: no features can do better than about this",
        },
        "notes": notes,
        "rows": rows,
        "file": str(file),
        "picture": str(file.with_suffix(".png")),
    }  # fmt: skip
    write_json(file, result)
    first = next(iter(presets))
    draw_blocks(
        [
            f"Masks carried along by features: {Path(run).name}, {Path(folder).name}, preset {first}",
            "only the mask of frame 0 was given; beside the rows: J&F of the sequence in percent",
        ],
        shown,
        file.with_suffix(".png"),
    )
    return result


@dataclass(frozen=True)
class _Start:
    """A sequence, what is to be followed in it, and which of its frames are judged."""

    sequence: FrameSequence
    size: tuple[int, int]
    mask: Int[Tensor, "h w"]
    objects: list[int]
    judged: set[int]
    notes: list[str]

    def input_size(self, preset: Preset, size: int | tuple[int, int] | None) -> tuple[int, int]:
        return preset.input_size(*self.size, size)


@dataclass(frozen=True)
class _Answer:
    """One object's J and F over the frames of a sequence."""

    sequence: str
    number: int
    j: OverTime
    f: OverTime

    @property
    def both(self) -> float:
        return (self.j.mean + self.f.mean) / 2


@dataclass(frozen=True)
class _Track:
    answers: list[_Answer]
    masks: dict[int, np.ndarray]
    """of the frames that are shown"""
    map_size: tuple[int, int]


def _start(sequence: FrameSequence) -> _Start:
    asked, notes = f"follow objects in {sequence.name}", []
    size = sequence.frame(0).shape[:2]
    mask = sequence.mask(0, size)
    objects = [] if mask is None else [int(number) for number in np.unique(mask) if number]
    judged = {number for number in range(1, len(sequence) - 1) if sequence.masks[number] is not None}
    if mask is None or not objects:
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
    return _Start(sequence, size, torch.from_numpy(mask).long(), objects, judged, notes)


def _follow(start: _Start, maps: Iterator[Tensor], preset: Preset, input_size: tuple[int, int]) -> _Track:
    """Carry the first mask along by the maps of the frames in order."""
    sizes: list[tuple[int, int]] = []

    def predicted() -> Iterator[Tensor]:
        one = next(maps)
        sizes.append((one.shape[1], one.shape[2]))
        first = to_map(start.mask.to(one.device), start.objects, input_size, sizes[0], preset)
        for labels in carry(chain([one], maps), first, preset):
            yield to_mask(labels, start.objects, input_size, start.size, preset)

    with torch.inference_mode():
        answers, masks = _judged(start, predicted())
    return _Track(answers, masks, sizes[0])


def _kept(start: _Start) -> _Track:
    answers, masks = _judged(start, (start.mask for _ in range(len(start.sequence))))
    return _Track(answers, masks, start.size)


def _ceiling(start: _Start, map_size: tuple[int, int], preset: Preset, input_size: tuple[int, int]) -> _Track:
    def there_and_back() -> Iterator[Tensor]:
        for number in range(len(start.sequence)):
            truth = start.sequence.mask(number, start.size) if number in start.judged else None
            mask = start.mask if truth is None else torch.from_numpy(truth).long()
            yield to_mask(
                to_map(mask, start.objects, input_size, map_size, preset), start.objects, input_size, start.size, preset
            )

    answers, masks = _judged(start, there_and_back())
    return _Track(answers, masks, map_size)


def _judged(start: _Start, predicted: Iterable[Tensor]) -> tuple[list[_Answer], dict[int, np.ndarray]]:
    """Compare masks of all frames in order with the true ones, object by object; keep those that are shown."""
    regions: dict[int, list[float]] = {number: [] for number in start.objects}
    edges: dict[int, list[float]] = {number: [] for number in start.objects}
    kept, shown = {}, _shown_frames(len(start.sequence))
    for frame, mask in enumerate(predicted):
        if frame not in start.judged and frame not in shown:
            continue
        ours = mask.cpu().numpy()
        if frame in shown:
            kept[frame] = ours
        truth = start.sequence.mask(frame, start.size) if frame in start.judged else None
        if truth is not None:
            for number in start.objects:
                regions[number].append(region_similarity(ours == number, truth == number))
                edges[number].append(boundary_accuracy(ours == number, truth == number))
    name = start.sequence.name
    return [_Answer(name, n, over_time(regions[n]), over_time(edges[n])) for n in start.objects], kept


def _shown_frames(frames: int) -> list[int]:
    return sorted({round((frames - 1) * i / (_SHOWN_FRAMES - 1)) for i in range(_SHOWN_FRAMES)})


def _rows(preset: str, encoder: str, answers: dict[str, list[list[_Answer]]]) -> list[dict[str, Any]]:
    """Make the rows of one preset; several lists of answers are several networks of a kind, averaged object by object."""
    mean = {name: [_mean(each) for each in zip(*draws, strict=True)] for name, draws in answers.items()}
    rows = []
    for name, objects in mean.items():
        names = [one.sequence for one in objects]
        value, half = mean_over_sequences([one.both for one in objects], names)
        row: dict[str, Any] = {
            "name": name,
            "preset": preset,
            "J&F": value,
            "low": None if half is None else max(0.0, value - half),
            "high": None if half is None else min(1.0, value + half),
            "J": asdict(_over_objects([one.j for one in objects])),
            "F": asdict(_over_objects([one.f for one in objects])),
            "sequences": {sequence: _of_sequence(objects, sequence) for sequence in dict.fromkeys(names)},
        }
        if len(answers[name]) > 1:
            row["each"] = [fmean(one.both for one in draw) for draw in answers[name]]
        if name == encoder:
            row["over"] = {}
            for other, theirs in mean.items():
                if other not in (encoder, CEILING):
                    more, half = mean_over_sequences([a.both - b.both for a, b in zip(objects, theirs, strict=True)], names)
                    bounds = (None, None) if half is None else (more - half, more + half)
                    row["over"][other] = {"mean": more, "low": bounds[0], "high": bounds[1]}
        rows.append(row)
    return rows


def mean_over_sequences(values: Sequence[float], sequences: Sequence[str]) -> tuple[float, float | None]:
    """Return the mean over objects, and half of its 95 % interval where sequences, not objects, were drawn.

    Linearisation of a ratio (Cochran 1977, section 6): the deviations of one sequence's objects go together. With an object
    to a sequence it is Student's interval. None with a single sequence.
    """
    mean = fmean(values)
    names = list(dict.fromkeys(sequences))
    if len(names) < 2:
        return mean, None
    off = {name: sum(value - mean for value, s in zip(values, sequences, strict=True) if s == name) for name in names}
    _, half = over_draws([mean + len(names) / len(values) * off[name] for name in names])
    return mean, half


def _of_sequence(objects: Sequence[_Answer], sequence: str) -> dict[str, float]:
    mine = [one for one in objects if one.sequence == sequence]
    j, f = fmean(one.j.mean for one in mine), fmean(one.f.mean for one in mine)
    return {"J&F": (j + f) / 2, "J": j, "F": f}


def _mean(draws: Sequence[_Answer]) -> _Answer:
    first = draws[0]
    return _Answer(
        first.sequence, first.number, _over_objects([one.j for one in draws]), _over_objects([one.f for one in draws])
    )


def _over_objects(each: Sequence[OverTime]) -> OverTime:
    return OverTime(*(fmean(getattr(one, key) for one in each) for key in ("mean", "recall", "decay")))


def _block(start: _Start, tracks: dict[str, _Track]) -> Block:
    numbers = _shown_frames(len(start.sequence))
    frames = [start.sequence.frame(number) for number in numbers]
    true = [start.sequence.mask(number, start.size) for number in numbers]
    rows = [("true masks", [f if m is None else with_masks(f, m.astype(np.int64)) for f, m in zip(frames, true, strict=True)])]
    for name, track in tracks.items():
        which = f" (one of {UNTRAINED})" if name.startswith("untrained") else ""
        label = f"{name}{which}\nJ&F {100 * fmean(one.both for one in track.answers):.1f}"
        rows.append((label, [with_masks(frame, track.masks[n]) for frame, n in zip(frames, numbers, strict=True)]))
    title = f"{start.sequence.name}: frames {', '.join(str(number) for number in numbers)} of {len(start.sequence)}"
    return Block(title, rows)
