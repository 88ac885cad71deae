"""Where a class is seen: Grad-CAM after a linear probe, measured on labelled videos with masks.

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
from reelvec.data.index import Index
from reelvec.data.loader import ClipLoader, EvenPlan
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress, encoder_reader, extract, whole_videos
from reelvec.evals.dense.frame_maps import refuse_motion
from reelvec.evals.dense.frame_picture import Block, draw_blocks, with_heat
from reelvec.evals.dense.given_masks import masks_beside, masks_of_clip
from reelvec.evals.dense.localisation import AREA, energy, share_inside
from reelvec.evals.evaluate import TEST_SHARE, encoder_facts, find_videos
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
    labels: str | os.PathLike[str],
    *,
    masks: str | os.PathLike[str] | None = None,
    label_column: str | None = None,
    path_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    accept_shared_sources: bool = False,
    encoder: str = "visual",
    device: str | None = None,
    workers: int = 0,
    seed: int = 0,
    baselines: bool = True,
    out: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Fit a linear probe on labelled videos and say how much of what speaks for a class lies on the masked things.

    `labels` and `masks` are those of `diagnose_masks`: a folder that `reelvec shapes` made, with its truth, or labels and masks
    of one's own. A probe for `label_column` (None: the motion of a generated set, else the only column) is fitted on the middle
    clips of the training videos; Grad-CAM of the true class is taken on those of the test videos that have masks.

    Returns what is written to `out` (None: evals/<labels>-<label>-classmaps-step<step>.json in the run folder): {"run", "data",
    "asked", "encoder", "protocol", "notes", "rows", "file", "picture"}. A row is an encoder: {"name", "accuracy" of its probe,
    "grad-cam", "energy": {"inside", "low", "high"}, "blank": share of clips where nothing speaks for the class}; the row of the
    mask's area has "energy" alone, which is what no preference gives. Shares between 0 and 1.
    Raises ReelvecError for labels and masks that do not fit, and for an encoder that does not read RGB.
    """
    network, card = load_encoder(run, encoder)
    refuse_motion(card, "show where classes are seen")
    source, asked = Path(labels), f"show where classes are seen in {labels}"
    given = masks_beside(asked, source, masks)
    labelled = read_labels(
        given.table, path_column=path_column, split_column=split_column, group_column=group_column,
        label_column=label_column or ("motion" if given.table != source else None), accept_shared_sources=accept_shared_sources,
    )  # fmt: skip
    if len(labelled.columns) > 1:
        raise ReelvecError(asked, f"label columns {', '.join(labelled.columns)}", "name one: label_column=...")
    (label_column,) = labelled.columns
    sides = labelled.test_mask(label_column, TEST_SHARE, seed)
    found, usable, left_out = find_videos(labelled, [card], None, workers)
    names = sorted({video.labels[label_column] for video in labelled.videos})
    class_of = {row: names.index(labelled.videos[number].labels[label_column]) for number, row in usable}
    train, places, without = given.sides(asked, labelled, found, usable, sides)
    test = list(places)
    left_out |= without
    on_device = choose_device(device)
    networks = [(encoder, network)]
    if baselines:
        networks += [(f"untrained {encoder} {draw}", untrained_encoder(card, seed + draw)) for draw in range(UNTRAINED)]
    readers = [encoder_reader(name, one, card, on_device) for name, one in networks]
    pieces = whole_videos(found, train)
    read = extract(readers, found, pieces, clips=1, device=on_device, workers=workers, on_progress=on_progress)
    y = torch.tensor([class_of[row] for row in train])[torch.from_numpy(read.found)]
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
            of_clips = [_masks(places[row], found, card, row, start) for row, start in zip(rows, starts, strict=True)]
            areas += [float((mask != 0).mean()) for mask in of_clips]
            classes = torch.tensor([class_of[row] for row in rows], device=on_device)
            cams = {
                name: _measure(
                    one, probes[name].logits, normalise(frames, card.mean, card.std), classes, of_clips, measured[name]
                )
                for name, one in networks
            }
            for i in range(min(len(rows), _SHOWN_VIDEOS - len(shown))):
                title = f"{Path(found.row(rows[i]).path).name}: {names[int(classes[i])]}"
                shown.append(_block(title, frames[i], of_clips[i], {n: cam[i] for n, cam in list(cams.items())[:2]}))
    kind = f"-{label_column}-classmaps"
    file = Path(out) if out is not None else result_file(Path(run), source, card.step, kind)
    result: dict[str, Any] = {
        "run": str(run),
        "data": str(labels),
        "asked": {
            "masks": None if masks is None else str(masks),
            "path_column": path_column,
            "split_column": split_column,
            "group_column": group_column,
            "accept_shared_sources": accept_shared_sources,
        },
        "encoder": {"name": encoder, **encoder_facts(card)},
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
        f"What speaks for the {label_column}: {Path(run).name}, {source.name}",
        "Grad-CAM of the true class from low (dark) to high (bright); green: outline of the masked things",
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


def _masks(place: Path, found: Index, card: EncoderCard, row: int, start_seconds: float) -> UInt8[np.ndarray, "t h w"]:
    """Read the masks of what the encoder sees of a clip: the centre square, or all of frames that are squeezed to one."""
    masks = masks_of_clip(place, found.row(row), card, start_seconds)
    if card.needs.fit == "square":
        return masks
    height, width = masks.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return masks[:, top : top + side, left : left + side]


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
