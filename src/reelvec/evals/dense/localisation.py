"""`localisation`: how much of a network's activation lies on the object, of a folder of frames with masks."""

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import ReelvecError, write_json
from reelvec.core.shapes import Float, Shaped
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress
from reelvec.evals.dense.frame_folders import FrameSequence, read_frame_folder
from reelvec.evals.dense.frame_maps import Clips, FrameMaps, refuse_motion
from reelvec.evals.dense.frame_picture import Block, draw_blocks, with_heat
from reelvec.evals.dense.map_stride import with_map_stride
from reelvec.evals.evaluate import encoder_facts
from reelvec.evals.features import UNTRAINED, untrained_encoder, untrained_in_words
from reelvec.evals.intervals import over_draws
from reelvec.evals.kept_steps import load_encoder
from reelvec.evals.results import result_file

AREA, CENTRE = "area of the mask", "centre prior"

_SHORT_SIDE = 240
_SHOWN_SEQUENCES, _SHOWN_FRAMES = 5, 4
_CENTRE_WIDTH = 0.25
"""standard deviation of the centre prior, of the picture's height and of its width"""

_MEASURE = (
    "energy: squares of the map summed over channels, brought to the mask's size (bilinear); its share inside the mask (all "
    "objects of a frame together); mean over the frames that show an object, then over sequences"
)


def energy(maps: Float[Tensor, "d *where"]) -> Float[Tensor, "*where"]:
    """Return how strongly a network responds at each place: the sum over channels of the map's squares."""
    return maps.square().sum(0)


def share_inside(heat: Float[Tensor, "*where"], mask: Shaped[Tensor, "*there"]) -> float | None:
    """Return which share of a map of heat, none below 0, lies where the mask is not 0; None where there is no heat at all.

    Both are (h w) or (t h w); the map is brought to the mask's size, linearly.
    """
    mode = "bilinear" if heat.ndim == 2 else "trilinear"
    large = F.interpolate(heat[None, None], mask.shape, mode=mode, align_corners=False)[0, 0].double()
    total = large.sum()
    return float((large * (mask != 0)).sum() / total) if total > 0 else None


def centre_prior(size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """Return a Gaussian around the middle of a picture, a quarter of its sides wide: where cameras are pointed at."""
    down, across = ((torch.arange(side) + 0.5) / side - 0.5 for side in size)
    return torch.exp(-(down[:, None] ** 2 + across**2) / (2 * _CENTRE_WIDTH**2))


def localisation(
    run: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
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
    """Say which share of an encoder's activation energy lies inside the objects of a folder, and what would be there by luck.

    Arguments are those of `propagation`; `size` is the short side of the frames (None: 240) or (height, width).

    Returns what is written to `out` (None: evals/<folder>-localisation-step<step>.json in the run folder): {"run", "data",
    "encoder", "protocol", "notes", "rows", "file", "picture"}. Rows are the encoder, the same network untrained (mean of three,
    unless `baselines` is False), the centre prior and the area of the mask, which is the share that energy without any
    preference has: {"name", "inside", "low", "high", "over area", "sequences": {name: share}}, shares between 0 and 1; the
    encoder's row has differences "over": {row: {"mean", "low", "high"}}. Raises ReelvecError as `propagation` does.
    """
    network, card = load_encoder(run, encoder)
    refuse_motion(card, "look where an encoder responds")
    found = read_frame_folder(folder, sequences)
    on_device = choose_device(device)
    networks = [(encoder, [network])]
    if baselines:
        networks.append((f"untrained {encoder}", [untrained_encoder(card, seed + draw) for draw in range(UNTRAINED)]))
    made = [
        (name, [FrameMaps(with_map_stride(one, card, map_stride), card, on_device, clips, "copies of it") for one in draws])
        for name, draws in networks
    ]
    # name of the row -> sequence -> shares of several networks
    inside: dict[str, dict[str, list[float]]] = {}
    shown: list[Block] = []
    maps_seen: dict[str, None] = {}
    notes: list[str] = []
    done, total = 0, len(found) * sum(len(draws) for _, draws in made)
    for sequence in found:
        frame_size = sequence.frame(0).shape[:2]
        prior = centre_prior(frame_size)
        fixed: dict[str, list[float]] = {CENTRE: [], AREA: []}
        counted = []
        for number in range(len(sequence)):
            mask = sequence.mask(number, frame_size)
            if mask is not None and mask.any():
                counted.append(number)
                fixed[CENTRE].append(share_inside(prior, torch.from_numpy(mask)) or 0.0)
                fixed[AREA].append(float((mask != 0).mean()))
        if not counted:
            raise ReelvecError(f"find the object of {sequence.name}", "masks without any object", "leave the sequence out")
        if len(counted) < len(sequence):
            notes.append(
                f"{sequence.name}: {len(sequence) - len(counted)} of {len(sequence)} frames show no object: not counted"
            )
        heats: list[tuple[str, dict[int, np.ndarray], float]] = []
        for name, draws in made:
            for maps in draws:
                shares, kept, map_size = _shares(maps, sequence, counted, frame_size, _input_size(frame_size, size))
                inside.setdefault(name, {}).setdefault(sequence.name, []).append(fmean(shares))
                heats += [(name, kept, fmean(shares))] if len(inside[name][sequence.name]) == 1 else []
                maps_seen[f"{map_size[0]} x {map_size[1]}"] = None
                done += 1
                if on_progress:
                    on_progress(done, total, f"{name}, {sequence.name}")
        for name, shares in fixed.items():
            inside.setdefault(name, {})[sequence.name] = [fmean(shares)]
        if len(shown) < _SHOWN_SEQUENCES:
            shown.append(_block(sequence, frame_size, heats, fmean(fixed[AREA])))
    file = Path(out) if out is not None else result_file(Path(run), Path(folder), card.step, "-localisation")
    stride = "the network's own stride" if map_stride is None else f"strides taken out, {map_stride} pixels to a cell"
    result: dict[str, Any] = {
        "run": str(run),
        "data": str(folder),
        "encoder": {"name": encoder, **encoder_facts(card)},
        "protocol": {
            "measure": _MEASURE,
            "frames": f"short side {size or _SHORT_SIDE}" if not isinstance(size, tuple) else f"{size[0]} x {size[1]}",
            "clips": made[0][1][0].in_words,
            "map": f"{', '.join(maps_seen)} cells; {stride}",
            "interval": "95 %, Student's, over sequences; differences are paired by sequence; none with a single sequence",
            **({"untrained": untrained_in_words(seed)} if baselines else {}),
            CENTRE: f"a Gaussian around the picture's middle, {_CENTRE_WIDTH:g} of its sides wide",
            AREA: "the share of energy that has no preference",
        },
        "notes": notes,
        "rows": _rows(encoder, inside),
        "file": str(file),
        "picture": str(file.with_suffix(".png")),
    }  # fmt: skip
    write_json(file, result)
    words = [
        f"Where features respond: {Path(run).name}, {Path(folder).name}",
        "activation energy from low (dark) to high (bright) in each frame; green: outline of the true mask",
    ]
    draw_blocks(words, shown, file.with_suffix(".png"))
    return result


def _input_size(frame: tuple[int, int], size: int | tuple[int, int] | None) -> tuple[int, int]:
    if isinstance(size, tuple):
        return size
    scale = (size or _SHORT_SIDE) / min(frame)
    return round(frame[0] * scale), round(frame[1] * scale)


def _shares(
    maps: FrameMaps, sequence: FrameSequence, counted: list[int], frame_size: tuple[int, int], size: tuple[int, int]
) -> tuple[list[float], dict[int, np.ndarray], tuple[int, int]]:
    """Return the share inside of every frame that counts, the heat of the frames that are shown, and the map's size."""
    shares, kept, map_size = [], {}, (0, 0)
    shown = _shown_frames(counted)
    for number, one in enumerate(maps.of(sequence, size)):
        map_size = (one.shape[1], one.shape[2])
        mask = sequence.mask(number, frame_size) if number in counted else None
        if mask is not None:
            heat = energy(one).cpu()
            shares.append(share_inside(heat, torch.from_numpy(mask)) or 0.0)
            if number in shown:
                kept[number] = heat.numpy()
    return shares, kept, map_size


def _shown_frames(frames: list[int]) -> list[int]:
    return sorted({frames[round((len(frames) - 1) * (i + 0.5) / _SHOWN_FRAMES)] for i in range(_SHOWN_FRAMES)})


def _rows(encoder: str, inside: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    mean = {name: {sequence: fmean(draws) for sequence, draws in found.items()} for name, found in inside.items()}
    rows = []
    for name, found in mean.items():
        value, low, high = _interval(list(found.values()))
        row: dict[str, Any] = {
            "name": name,
            "inside": value,
            "low": None if low is None else max(0.0, low),
            "high": None if high is None else min(1.0, high),
            "over area": value / fmean(mean[AREA].values()),
            "sequences": found,
        }
        if name == encoder:
            row["over"] = {}
            for other, theirs in mean.items():
                if other != encoder:
                    more, low, high = _interval([found[sequence] - theirs[sequence] for sequence in found])
                    row["over"][other] = {"mean": more, "low": low, "high": high}
        rows.append(row)
    return rows


def _interval(values: list[float]) -> tuple[float, float | None, float | None]:
    if len(values) < 2:
        return values[0], None, None
    mean, half = over_draws(values)
    return mean, mean - half, mean + half


def _block(
    sequence: FrameSequence, size: tuple[int, int], heats: list[tuple[str, dict[int, np.ndarray], float]], area: float
) -> Block:
    numbers = list(heats[0][1])
    frames = [sequence.frame(number) for number in numbers]
    masks = [sequence.mask(number, size) for number in numbers]
    rows = []
    for name, kept, share in heats:
        which = f" (one of {UNTRAINED})" if name.startswith("untrained") else ""
        tiles = [
            with_heat(frame, kept[number], mask > 0)
            for number, frame, mask in zip(numbers, frames, masks, strict=True)
            if mask is not None
        ]
        rows.append((f"{name}{which}\ninside {100 * share:.1f} %\narea {100 * area:.1f} %", tiles))
    return Block(f"{sequence.name}: frames {', '.join(map(str, numbers))} of {len(sequence)}", rows)
