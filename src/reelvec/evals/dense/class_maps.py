"""Where a class is seen: Grad-CAM after a linear probe, measured on the generated set, whose masks are known.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017, equations 1, 2.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import Encoder, EncoderCard, ReelvecError, write_json
from reelvec.core.shapes import Float, Int, UInt8
from reelvec.data.clips import clip_seconds, frames_at
from reelvec.data.index import Index
from reelvec.data.loader import ClipLoader, EvenPlan
from reelvec.data.shapes import Truth
from reelvec.data.streams import step_seconds
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress, encoder_reader, extract, whole_videos
from reelvec.evals.dense.frame_maps import refuse_motion
from reelvec.evals.dense.frame_picture import Block, draw_blocks, with_heat
from reelvec.evals.dense.localisation import AREA, energy, share_inside
from reelvec.evals.evaluate import encoder_facts, find_videos
from reelvec.evals.features import UNTRAINED, untrained_encoder, untrained_in_words
from reelvec.evals.intervals import over_episodes
from reelvec.evals.kept_steps import load_encoder
from reelvec.evals.labels import read_labels
from reelvec.evals.linear import Linear
from reelvec.evals.results import result_file
from reelvec.views import centre_view, normalise

_CLIPS_AT_ONCE = 16
_SHOWN_VIDEOS, _SHOWN_FRAMES = 5, 4

Score = Callable[[Float[Tensor, "b d"]], Float[Tensor, "b classes"]]
"""pooled features to a number for each class, before any softmax; gradients flow through it"""


def grad_cam(
    encoder: Encoder, clips: Float[Tensor, "b c t h w"], score: Score, classes: Int[Tensor, "b"]
) -> Float[Tensor, "b t2 h2 w2"]:
    """Return where each normalised clip speaks for its class: the map weighted by the gradient of the score, not below 0.

    A channel's weight is the mean over time and space of the gradient of the class's score by the map; the encoder's own
    weights get no gradient.
    """
    with torch.no_grad():
        maps = encoder(clips)
    with torch.enable_grad():
        maps = maps.detach().requires_grad_()
        asked = score(maps.mean((2, 3, 4))).gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(asked, maps)
    weights = gradient.mean((2, 3, 4), keepdim=True)
    return (weights * maps.detach()).sum(1).relu()


def class_maps(
    run: str | os.PathLike[str],
    shapes: str | os.PathLike[str],
    *,
    label_column: str = "motion",
    encoder: str = "visual",
    device: str | None = None,
    workers: int = 0,
    seed: int = 0,
    baselines: bool = True,
    out: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Fit a linear probe on a generated set and say how much of what speaks for a class lies on the moving things.

    `shapes` is a folder that `reelvec shapes` made, with its truth. A probe for `label_column` is fitted on the middle clips of
    the training videos; Grad-CAM of the true class is taken on those of the test videos.

    Returns what is written to `out` (None: evals/<shapes>-<label>-classmaps-step<step>.json in the run folder): {"run", "data",
    "encoder", "protocol", "notes", "rows", "file", "picture"}. A row is an encoder: {"name", "accuracy" of its probe,
    "grad-cam", "energy": {"inside", "low", "high"}, "blank": share of clips where nothing speaks for the class}; the row of the
    mask's area has "energy" alone, which is what no preference gives. Shares between 0 and 1.
    Raises ReelvecError for a folder that is no such set, and for an encoder that does not read RGB.
    """
    network, card = load_encoder(run, encoder)
    refuse_motion(card, "show where classes are seen")
    root = Path(shapes).resolve()
    if not (root / "truth").is_dir():
        raise ReelvecError(
            f"show where classes are seen in {shapes}",
            "no folder truth/ with masks",
            "give a set made by `reelvec shapes`, with its truth",
        )
    labelled = read_labels(root / "labels.csv", path_column="path", label_column=label_column, split_column="split")
    sides = labelled.test_mask(label_column, 0.5, seed)
    found, usable, left_out = find_videos(labelled, [card], None, workers)
    names = sorted({video.labels[label_column] for video in labelled.videos})
    labels = {row: names.index(labelled.videos[number].labels[label_column]) for number, row in usable}
    train = [row for number, row in usable if not sides[number]]
    test = [row for number, row in usable if sides[number]]
    missing = [row for row in test if not _truth_file(root, found, row).is_file()]
    if missing or not train or not test:
        raise ReelvecError(
            f"show where classes are seen in {shapes}",
            f"{len(train)} training and {len(test)} test videos, {len(missing)} of these without masks in truth/",
            "make the set again: reelvec shapes",
        )
    on_device = choose_device(device)
    networks = [(encoder, network)]
    if baselines:
        networks += [(f"untrained {encoder} {draw}", untrained_encoder(card, seed + draw)) for draw in range(UNTRAINED)]
    readers = [encoder_reader(name, one, card, on_device) for name, one in networks]
    pieces = whole_videos(found, train)
    read = extract(readers, found, pieces, clips=1, device=on_device, workers=workers, on_progress=on_progress)
    y = torch.tensor([labels[row] for row in train])[torch.from_numpy(read.found)]
    probes = {
        name: Linear(seed=seed).fit(torch.from_numpy(x[read.found]), y, len(names)).to(on_device)
        for name, x in read.vectors.items()
    }
    measured = {name: _Measured([], [], [], 0) for name, _ in networks}
    areas: list[float] = []
    shown: list[Block] = []
    with ClipLoader(found, card.needs, EvenPlan(found, card.needs, rows=test), _CLIPS_AT_ONCE, workers=workers) as loader:
        for batch in loader.batches():
            rows, starts = batch.rows.tolist(), batch.start_seconds[:, 0].tolist()
            frames = centre_view(batch.to(on_device).clip(card.needs.streams[0].stream, 0), card.size)
            masks = [_masks(root, found, card, row, start) for row, start in zip(rows, starts, strict=True)]
            areas += [float((mask != 0).mean()) for mask in masks]
            classes = torch.tensor([labels[row] for row in rows], device=on_device)
            cams = {
                name: _measure(one, probes[name].logits, normalise(frames, card.mean, card.std), classes, masks, measured[name])
                for name, one in networks
            }
            for i in range(min(len(rows), _SHOWN_VIDEOS - len(shown))):
                title = f"{Path(found.row(rows[i]).path).name}: {names[int(classes[i])]}"
                shown.append(_block(title, frames[i], masks[i], {n: cam[i] for n, cam in list(cams.items())[:2]}))
    kind = f"-{label_column}-classmaps"
    file = Path(out) if out is not None else result_file(Path(run), root, card.step, kind)
    result: dict[str, Any] = {
        "run": str(run),
        "data": str(shapes),
        "encoder": {"name": encoder, **encoder_facts(network, card)},
        "protocol": {
            "clips": "the middle clip of each video",
            "probe": Linear(seed=seed).protocol,
            "grad-cam": f"of the true class of '{label_column}', from the last map, brought to the mask's size (trilinear); "
            "share of what is above 0 inside the mask; clips without any are blank and left out",
            "energy": "squares of the map summed over channels, in the same way",
            "interval": "95 %, normal, over test videos",
            **({"untrained": untrained_in_words(seed)} if baselines else {}),
        },
        "notes": [f"left out: {path} ({reason})" for path, reason in sorted((left_out | read.left_out).items())],
        "rows": [
            _row(encoder, [measured[encoder]]),
            *([_row(f"untrained {encoder}", [measured[name] for name, _ in networks[1:]])] if baselines else []),
            {"name": AREA, "energy": _share([areas])},
        ],
        "file": str(file),
        "picture": str(file.with_suffix(".png")),
    }
    write_json(file, result)
    words = [
        f"What speaks for the {label_column}: {Path(run).name}, {root.name}",
        "Grad-CAM of the true class from low (dark) to high (bright); green: outline of the moving things",
    ]
    draw_blocks(words, shown, file.with_suffix(".png"))
    return result


@dataclass
class _Measured:
    """What one network's test clips gave."""

    hits: list[bool]
    cam: list[float]
    energy: list[float]
    blank: int


def _measure(
    encoder: Encoder,
    score: Score,
    clips: Float[Tensor, "b c t h w"],
    classes: Int[Tensor, "b"],
    masks: list[UInt8[np.ndarray, "t h0 w0"]],
    into: _Measured,
) -> Float[Tensor, "b t2 h2 w2"]:
    cams = grad_cam(encoder, clips, score, classes)
    with torch.no_grad():
        maps = encoder(clips)
        into.hits += (score(maps.mean((2, 3, 4))).argmax(1) == classes).tolist()
    for cam, one, mask in zip(cams.cpu(), maps.cpu(), masks, strict=True):
        truth = torch.from_numpy(mask)
        share = share_inside(cam, truth)
        if share is None:
            into.blank += 1
        else:
            into.cam.append(share)
        into.energy.append(share_inside(energy(one), truth) or 0.0)
    return cams.cpu()


def _row(name: str, networks: list[_Measured]) -> dict[str, Any]:
    return {
        "name": name,
        "accuracy": fmean(fmean(one.hits) for one in networks),
        "grad-cam": _share([one.cam for one in networks]),
        "energy": _share([one.energy for one in networks]),
        "blank": fmean(one.blank / len(one.hits) for one in networks),
    }


def _share(networks: list[list[float]]) -> dict[str, float | None]:
    """Return mean and interval of shares; of several networks, their mean with the mean of their widths."""
    if not all(networks):
        return {"inside": None, "low": None, "high": None}
    each = [over_episodes(shares) for shares in networks]
    mean, half = fmean(m for m, _ in each), fmean(h for _, h in each)
    return {"inside": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half)}


def _truth_file(root: Path, found: Index, row: int) -> Path:
    return (root / "truth" / Path(found.row(row).path).relative_to(root)).with_suffix(".npz")


def _masks(root: Path, found: Index, card: EncoderCard, row: int, start_seconds: float) -> UInt8[np.ndarray, "t h w"]:
    """Read the masks of the frames that a clip shows."""
    video, need = found.row(row), card.needs.streams[0]
    masks = Truth.load(_truth_file(root, found, row)).masks
    times = clip_seconds(start_seconds, need.frames, step_seconds(need, card.needs, video))
    return masks[frames_at(np.arange(len(masks)) / video.frames_per_second, video.duration_seconds, times)]


def _block(title: str, clip: Float[Tensor, "3 t s s"], masks: UInt8[np.ndarray, "t h w"], cams: dict[str, Tensor]) -> Block:
    large = F.interpolate(clip.transpose(0, 1).cpu(), masks.shape[1:], mode="bilinear", align_corners=False)
    pictures = (255 * large.clamp(0, 1)).byte().permute(0, 2, 3, 1).numpy()
    numbers = [round((len(pictures) - 1) * i / (_SHOWN_FRAMES - 1)) for i in range(_SHOWN_FRAMES)]
    rows = []
    for name, cam in cams.items():
        label = f"{name.rpartition(' ')[0]} (one of {UNTRAINED})" if name.startswith("untrained") else name
        in_time = F.interpolate(cam[None, None], (len(masks), *cam.shape[1:]), mode="trilinear", align_corners=False)[0, 0]
        rows.append((label, [with_heat(pictures[i], in_time[i].numpy(), masks[i] > 0) for i in numbers]))
    return Block(title, rows)
