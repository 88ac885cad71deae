"""`propagation`: how far features alone carry what is given of a first frame along a video.

J&F of DAVIS 2017, PCK of JHMDB, mean IoU of VIP: the benchmark is told by how the folder is laid out.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reelvec.core import Encoder, write_json
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress
from reelvec.evals.dense.davis import read_davis
from reelvec.evals.dense.followed import Benchmark, FollowedVideo, Truth
from reelvec.evals.dense.frame_maps import Clips, FrameMaps, pixel_maps, refuse_motion
from reelvec.evals.dense.frame_picture import Block, draw_blocks
from reelvec.evals.dense.jhmdb import is_jhmdb, read_jhmdb
from reelvec.evals.dense.label_propagation import Preset, carry, chosen_presets
from reelvec.evals.dense.map_stride import with_map_stride
from reelvec.evals.dense.vip import is_vip, read_vip
from reelvec.evals.evaluate import encoder_facts
from reelvec.evals.features import UNTRAINED, untrained_encoder, untrained_in_words
from reelvec.evals.kept_steps import load_encoder
from reelvec.evals.results import result_file

PIXELS, CEILING = "raw pixels", "ceiling"
_PIXELS_IN_WORDS = "colours of 4 x 4 parts of each cell as its feature"

_SHOWN_VIDEOS, _SHOWN_FRAMES = 4, 5


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
    """Carry what is given of every first frame along by a frozen encoder's features, and say how well it fits the truth.

    Args:
        run: a run folder, or an encoder folder.
        folder: frames and masks as `read_frame_folder` reads them, or JHMDB (`read_jhmdb`) or VIP (`read_vip`) as published.
        preset: names in `PRESETS`; a table of rows for each.
        size: short side of the frames in place of the preset's or the benchmark's, or (height, width); small ones make it
            cheap and coarse.
        clips: "windows" of following frames, or each frame "repeated", for networks that read clips.
        map_stride: pixels from one cell of the map to the next; None: the network's own.
        sequences: names, or lists of names in .txt files; None: all, of JHMDB the test videos of split 1, of VIP those of
            lists/val_videos.txt.
        baselines: False leaves out the mean of three untrained networks and raw pixels. What is given, unmoved, and the
            ceiling stay.
        out: JSON file; None: evals/<folder>-propagation-step<step>.json in the run folder. A picture is written beside it.

    Returns what is written to `out`: {"run", "data", "encoder", "protocol", "numbers", "notes", "rows", "file", "picture"}.
    "numbers" are keys of the rows, shares between 0 and 1, the first with the interval "low" to "high". A row of DAVIS is
    {"name", "preset", "J&F", "low", "high", "J": {"mean", "recall", "decay"}, "F": {...}, "sequences": {name: {"J&F", "J",
    "F", "objects": [J&F of each]}}}; of JHMDB it has "PCK@0.1" to "PCK@0.5", "lost" and "joints" instead, of VIP "mIoU" and
    "parts". Of several networks there is "each" as well, and the encoder's row has the differences "over": {row: {"mean",
    "low", "high"}}. The ceiling is the truth itself, made as small as the map and large again.
    Raises ReelvecError for a run, folder, preset or size that does not fit, and for an encoder that does not read RGB.
    """
    presets = chosen_presets(preset)
    network, card = load_encoder(run, encoder)
    refuse_motion(card, "propagate labels")
    benchmark = _benchmark(Path(folder), sequences)
    on_device = choose_device(device)
    networks: list[tuple[str, list[Encoder]]] = [(encoder, [network])]
    if baselines:
        fresh = [untrained_encoder(card, seed + draw) for draw in range(UNTRAINED)]
        networks.append((f"untrained {encoder}", fresh))
    made = [
        (name, [FrameMaps(with_map_stride(one, card, map_stride), card, on_device, clips) for one in draws])
        for name, draws in networks
    ]
    rows: list[dict[str, Any]] = []
    shown: list[Block] = []
    maps_seen: dict[str, None] = {}
    settings = {name: benchmark.setting(one, size) for name, one in presets.items()}
    done, total = 0, len(presets) * len(benchmark.videos) * sum(len(draws) for _, draws in made)
    for preset_name, (setting, side) in settings.items():
        scores: dict[str, list[list[Any]]] = {}
        for video in benchmark.videos:
            tracks: dict[str, _Track] = {}
            input_size = setting.input_size(*video.size, side)
            for name, draws in made:
                for draw, maps in enumerate(draws):
                    track = _follow(video, maps.of(video.sequence, input_size), setting, input_size)
                    scores.setdefault(name, [[] for _ in draws])[draw].append(track.score)
                    tracks.setdefault(name, track)
                    done += 1
                    if on_progress:
                        on_progress(done, total, f"{preset_name}: {name}, {video.sequence.name}")
            map_size = tracks[encoder].map_size
            maps_seen[f"{map_size[0]} x {map_size[1]}"] = None
            if baselines:
                pixels = pixel_maps(video.sequence, input_size, map_size, card)
                tracks[PIXELS] = _follow(video, pixels, setting, input_size)
                scores.setdefault(PIXELS, [[]])[0].append(tracks[PIXELS].score)
            given = _given(video)
            scores.setdefault(benchmark.kept, [[]])[0].append(video.score(given for _ in range(len(video.sequence))))
            scores.setdefault(CEILING, [[]])[0].append(video.score(_there_and_back(video, map_size, setting, input_size)))
            if not rows and len(shown) < _SHOWN_VIDEOS:
                shown.append(_block(benchmark, video, tracks))
        rows += _rows(benchmark, preset_name, encoder, scores)
    file = Path(out) if out is not None else result_file(Path(run), Path(folder), card.step, "-propagation")
    result: dict[str, Any] = {
        "run": str(run),
        "data": str(folder),
        "encoder": {"name": encoder, **encoder_facts(card)},
        "protocol": {
            **{name: benchmark.in_words(*setting) for name, setting in settings.items()},
            "clips": made[0][1][0].in_words,
            "map": f"{', '.join(maps_seen)} cells; " + (
                "the network's own stride" if map_stride is None else f"strides taken out, {map_stride} pixels to a cell"
            ),
            **({"untrained": untrained_in_words(seed), PIXELS: _PIXELS_IN_WORDS} if baselines else {}),
            **benchmark.protocol,
        },
        "numbers": list(benchmark.numbers),
        "notes": [note for video in benchmark.videos for note in video.notes],
        "rows": rows,
        "file": str(file),
        "picture": str(file.with_suffix(".png")),
    }  # fmt: skip
    write_json(file, result)
    draw_blocks(
        [
            f"{benchmark.title}: {Path(run).name}, {Path(folder).name}, preset {next(iter(presets))}",
            f"given: frame 0; beside the rows: {benchmark.numbers[0]} of the video in percent",
        ],
        shown,
        file.with_suffix(".png"),
    )
    return result


def _benchmark(folder: Path, sequences: Sequence[str] | None) -> Benchmark:
    """Read a folder as what its layout says it is."""
    if is_jhmdb(folder):
        return read_jhmdb(folder, sequences)
    return read_vip(folder, sequences) if is_vip(folder) else read_davis(folder, sequences)


@dataclass(frozen=True)
class _Track:
    score: Any
    answers: dict[int, Truth]
    """of the frames that are shown"""
    map_size: tuple[int, int]


def _given(video: FollowedVideo) -> Truth:
    given = video.truth(0)
    assert given is not None, "readers let no video pass of which nothing is given"
    return given


def _follow(video: FollowedVideo, maps: Iterator[Tensor], preset: Preset, input_size: tuple[int, int]) -> _Track:
    """Carry what is given of the first frame along by the maps of the frames in order."""
    kept: dict[int, Truth] = {}
    shown = _shown_frames(len(video.sequence))
    first = next(maps)
    map_size = (first.shape[1], first.shape[2])

    def answers() -> Iterator[Truth]:
        start = video.labels(_given(video).to(first.device), input_size, map_size, preset)
        for frame, labels in enumerate(carry(chain([first], maps), start, preset)):
            answer = video.answer(labels, input_size, preset)
            if frame in shown:
                kept[frame] = answer.cpu()
            yield answer

    with torch.inference_mode():
        score = video.score(answers())
    return _Track(score, kept, map_size)


def _there_and_back(
    video: FollowedVideo, map_size: tuple[int, int], preset: Preset, input_size: tuple[int, int]
) -> Iterable[Truth]:
    """Yield what is left of the truth of every frame when it has been a map; where there is no truth nobody asks."""
    given = _given(video)
    for frame in range(len(video.sequence)):
        truth = video.truth(frame)
        yield video.answer(video.labels(given if truth is None else truth, input_size, map_size, preset), input_size, preset)


def _shown_frames(frames: int) -> list[int]:
    return sorted({round((frames - 1) * i / (_SHOWN_FRAMES - 1)) for i in range(_SHOWN_FRAMES)})


def _rows(benchmark: Benchmark, preset: str, encoder: str, scores: dict[str, list[list[Any]]]) -> list[dict[str, Any]]:
    """Make the rows of one preset; several lists of scores are several networks of a kind."""
    rows = []
    for name, draws in scores.items():
        row: dict[str, Any] = {"name": name, "preset": preset, **benchmark.row(draws)}
        if len(draws) > 1:
            row["each"] = [benchmark.value(draw) for draw in draws]
        if name == encoder:
            others = {other: theirs for other, theirs in scores.items() if other not in (encoder, CEILING)}
            row["over"] = {other: benchmark.difference(draws, theirs) for other, theirs in others.items()}
        rows.append(row)
    return rows


def _block(benchmark: Benchmark, video: FollowedVideo, tracks: dict[str, _Track]) -> Block:
    numbers = _shown_frames(len(video.sequence))
    rows = [("truth", [video.drawn(number, video.truth(number)) for number in numbers])]
    for name, track in tracks.items():
        which = f" (one of {UNTRAINED})" if name.startswith("untrained") else ""
        label = f"{name}{which}\n{benchmark.numbers[0]} {100 * benchmark.value([track.score]):.1f}"
        rows.append((label, [video.drawn(number, track.answers[number]) for number in numbers]))
    title = f"{video.sequence.name}: frames {', '.join(map(str, numbers))} of {len(video.sequence)}"
    return Block(title, rows)
