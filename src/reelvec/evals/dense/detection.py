"""`detection`: what is in given boxes of key frames, from frozen maps: AVA's head and frame mAP (eval_protocols, section e)."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from reelvec.core import Clips, Encoder, EncoderCard, ReelvecError, sample_generator, write_json
from reelvec.core.shapes import Bool, Float
from reelvec.data.index import Index, index
from reelvec.data.loader import ClipLoader
from reelvec.data.plans import Request
from reelvec.data.streams import check_needs, span_seconds
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress
from reelvec.evals.dense.box_metrics import LEAST_IOU, Matches, ScoredBoxes, box_iou, match_boxes, mean_average_precision
from reelvec.evals.dense.box_table import KeyFrame, KeyFrames, in_shares, read_boxes
from reelvec.evals.dense.detected_boxes import with_detected
from reelvec.evals.dense.frame_maps import refuse_motion
from reelvec.evals.evaluate import TEST_SHARE, encoder_facts
from reelvec.evals.features import UNTRAINED, untrained_encoder, untrained_in_words
from reelvec.evals.kept_steps import load_encoder
from reelvec.evals.linear import standard
from reelvec.evals.results import result_file
from reelvec.views import normalise

BOX_ALONE, CHANCE, CEILING = "place and size", "chance", "ceiling"

_CELLS = 7
"""side of the grid that a box is cut into"""
_DROPOUT, _RATE, _DECAY, _BATCH, _EPOCHS, _LEAST_STEPS = 0.5, 1e-2, 1e-2, 64, 30, 600
_RESAMPLES = 200
_NORMAL_95 = 1.959964
_HEAD = (
    f"frozen maps of the clip around the key frame, mean over time, RoIAlign {_CELLS} x {_CELLS} (aligned), maximum over the "
    f"box, standardised by the training boxes, dropout {_DROPOUT}, linear, sigmoid; binary cross-entropy, AdamW {_RATE:g}, "
    f"cosine to 0, {_EPOCHS} epochs or {_LEAST_STEPS} steps if that is more, batch {_BATCH}"
)
_METRIC = "frame mAP at IoU 0.5: Pascal's area under the curve of each class, mean over the classes that are in the test; "
_GIVEN = "boxes are given, in training and test, so it says what is in a box and not where boxes are"
_DETECTED = (
    "training by true boxes, test in the boxes of {file} with a score of {threshold:g} at least; the score of a class is the "
    "sigmoid alone, not multiplied by the detector's"
)


def box_features(maps: Float[Tensor, "b d t h w"], boxes: Sequence[Float[Tensor, "_ 4"]]) -> Float[Tensor, "n d"]:
    """Return a vector for each box, sample by sample: mean over time, RoIAlign, maximum over the box.

    Boxes are shares of the picture's width and height, x0 y0 x1 y1.
    """
    mean = maps.mean(2)
    scale = mean.new_tensor([mean.shape[3], mean.shape[2]] * 2)
    grids = roi_align(mean, [one.to(mean) * scale for one in boxes], _CELLS, spatial_scale=1.0, sampling_ratio=0, aligned=True)
    return grids.amax((2, 3))


def detection(
    run: str | os.PathLike[str],
    boxes: str | os.PathLike[str],
    *,
    detected: str | os.PathLike[str] | None = None,
    threshold: float = 0.8,
    encoder: str = "visual",
    device: str | None = None,
    workers: int = 0,
    seed: int = 0,
    baselines: bool = True,
    out: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Train AVA's head on a frozen encoder and name what is in the boxes of the test videos' key frames.

    `boxes` is a table as `read_boxes` reads it. The whole frame is shown, its short side at the card's size, in a clip with the
    key frame in its middle (as near as the video's ends allow). With `detected`, a file as `with_detected` reads it, the test
    is in the boxes that a detector found with a score of `threshold` at least, as AVA is judged; else in the true ones.

    Returns what is written to `out` (None: evals/<boxes>-detection-step<step>.json in the run folder, -detection-detected where
    `detected` is given): {"run", "boxes", "detected", "encoder", "protocol", "notes", "left_out", "classes", "rows", "file"}. A
    row is {"name", "mAP", "low", "high"}, of the encoder, the same network untrained (mean of three), what place and size of
    the boxes alone tell, chance (boxes in no order; of true boxes, the share that is of a class, averaged), and of detected
    boxes the ceiling: all named rightly. The encoder's row has paired differences "over": {row: {"mean", "low", "high"}}.
    Raises ReelvecError for tables, videos and encoders that do not fit.
    """
    network, card = load_encoder(run, encoder)
    refuse_motion(card, "name what is in boxes")
    given = read_boxes(boxes, TEST_SHARE, seed)
    if detected is not None:
        given = with_detected(given, detected, threshold)
    on_device = choose_device(device)
    found = index(sorted({frame.path for frame in given.frames}), workers=workers or None)
    check_needs(found, card.needs)
    networks = [(encoder, network)]
    if baselines:
        networks += [(f"untrained {encoder} {draw}", untrained_encoder(card, seed + draw)) for draw in range(UNTRAINED)]
    read = _read(networks, card, found, given, on_device, workers, on_progress)
    kept = [frame for frame, ok in zip(given.frames, read.found, strict=True) if ok]
    sides = np.array([frame.is_test for frame in kept for _ in frame.looked_at])
    if not sides.any() or sides.all():
        raise ReelvecError(f"name what is in the boxes of {boxes}", "a side of which no video can be read", "run reelvec index")
    is_test = torch.from_numpy(sides)
    y = torch.from_numpy(np.concatenate([frame.truth.classes for frame in kept if not frame.is_test]))
    judged = [frame for frame in kept if frame.is_test]
    features = {**read.vectors, **({BOX_ALONE: read.places} if baselines else {})}
    scored = {name: _scored(x, y, is_test, judged, seed) for name, x in features.items()}
    each = {encoder: [scored[encoder]]}
    if baselines:
        each |= {f"untrained {encoder}": [scored[name] for name, _ in networks[1:]], BOX_ALONE: [scored[BOX_ALONE]]}
    kind = "-detection" if detected is None else "-detection-detected"
    file = Path(out) if out is not None else result_file(Path(run), Path(boxes), card.step, kind)
    asked_in = _GIVEN if detected is None else _DETECTED.format(file=Path(detected).name, threshold=threshold)
    result: dict[str, Any] = {
        "run": str(run),
        "boxes": str(boxes),
        "detected": None if detected is None else str(detected),
        "encoder": {"name": encoder, **encoder_facts(card)},
        "protocol": {
            "head": f"{_HEAD}, seed {seed}",
            "metric": _METRIC + asked_in,
            "interval": f"95 %, normal, its width by bootstrap over test videos ({_RESAMPLES} resamples, the same for all "
            "rows); differences are paired",
            **(
                {"untrained": untrained_in_words(seed), BOX_ALONE: "the same head on x, y, width and height of each box"}
                if baselines
                else {}
            ),
            CHANCE: "boxes in no order: their share that hit a class, times the share of it that they find; mean over classes",
            **({} if detected is None else {CEILING: "what is true of a box, said of the detected box that is nearest to it"}),
        },
        "notes": [*given.notes, f"{len(kept) - len(judged)} training and {len(judged)} test key frames, {len(sides)} boxes"],
        "left_out": read.left_out,
        "classes": given.classes,
        "rows": [
            *_rows(encoder, each, judged, seed),
            {"name": CHANCE, "mAP": _chance(judged), "low": None, "high": None},
            *([] if detected is None else [{"name": CEILING, "mAP": _ceiling(judged), "low": None, "high": None}]),
        ],
        "file": str(file),
    }
    write_json(file, result)
    return result


@dataclass(frozen=True)
class _Read:
    """Vectors of the boxes of all key frames that could be read, in order."""

    vectors: dict[str, Float[Tensor, "boxes _"]]
    places: Float[Tensor, "boxes 4"]
    found: list[bool]
    left_out: list[dict[str, str]]


@dataclass(frozen=True)
class _KeyFramePlan:
    """Key frames by number, for the loader; one that fails is not replaced."""

    requests: tuple[Request, ...]

    def __len__(self) -> int:
        return len(self.requests)

    def request(self, number: int, attempt: int) -> Request | None:
        return None if attempt else self.requests[number]


def _read(
    networks: list[tuple[str, Encoder]],
    card: EncoderCard,
    found: Index,
    given: KeyFrames,
    device: torch.device,
    workers: int,
    on_progress: OnProgress | None,
) -> _Read:
    row_of = {os.path.realpath(found.row(i).path): i for i in range(len(found))}
    requests = tuple(_request(found, card, row_of[frame.path], frame) for frame in given.frames)
    usable = [found.row(request.row).status == "ok" for request in requests]
    readable = [number for number, ok in enumerate(usable) if ok and len(given.frames[number].looked_at)]
    for _, network in networks:
        network.to(device).eval().requires_grad_(False)
    vectors: dict[str, list[Tensor]] = {name: [] for name, _ in networks}
    # a key frame in which nothing was detected need not be read
    places, is_found = [], [ok and not len(frame.looked_at) for ok, frame in zip(usable, given.frames, strict=True)]
    with ClipLoader(found, card.needs, _KeyFramePlan(requests), 1, workers=workers) as loader, torch.inference_mode():
        for done, batch in enumerate(loader.batches([[number] for number in readable]), 1):
            number = int(batch.numbers[0])
            video, frame = found.row(requests[number].row), given.frames[number]
            shares = in_shares(frame.looked_at, given.pixels, video.width, video.height)
            clip = _whole_frames(batch.to(device).clip(card.needs.streams[0].stream, 0), card)
            for name, network in networks:
                vectors[name].append(box_features(network(clip), [torch.from_numpy(shares).float()]).cpu())
            places.append(torch.from_numpy(np.concatenate([shares[:, :2], shares[:, 2:] - shares[:, :2]], 1)).float())
            is_found[number] = True
            if on_progress:
                on_progress(done, len(readable), "key frames")
        broken = [{"path": one.path, "reason": one.reason} for one in loader.quarantine]
    unusable = {found.row(r.row).path: found.row(r.row).reason for r in requests if found.row(r.row).status != "ok"}
    if not places:
        raise ReelvecError("name what is in boxes", "not one key frame that can be read", "run `reelvec index` on the videos")
    left_out = [*({"path": path, "reason": reason} for path, reason in unusable.items()), *broken]
    return _Read({name: torch.cat(parts) for name, parts in vectors.items()}, torch.cat(places), is_found, left_out)


def _request(found: Index, card: EncoderCard, row: int, frame: KeyFrame) -> Request:
    """Ask for the clip with the key frame in its middle, within the video."""
    video = found.row(row)
    if video.status != "ok":
        return Request(row, (0.0,))
    span = span_seconds(card.needs, video)
    return Request(row, (float(np.clip(frame.seconds - span / 2, 0, max(0.0, video.duration_seconds - span))),))


def _whole_frames(clips: Clips, card: EncoderCard) -> Float[Tensor, "1 c t h w"]:
    """Show all of the frames, the short side at the card's size, normalised."""
    height, width = clips.size[0].tolist()
    frames = clips.frames[0, 0, :, :, :height, :width].transpose(0, 1).float() / 255  # (t c h w)
    scale = card.size / min(height, width)
    size = (round(height * scale), round(width * scale))
    if size != (height, width):
        frames = F.interpolate(frames, size, mode="bilinear", antialias=True, align_corners=False)
    return normalise(frames.transpose(0, 1)[None], card.mean, card.std)


class BoxHead(nn.Module):
    """Dropout and a linear layer; a logit for each class."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.dropout, self.linear = nn.Dropout(_DROPOUT), nn.Linear(dim, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n classes"]:
        """Return logits of standardised vectors."""
        return self.linear(self.dropout(x))


def fit_head(x: Float[Tensor, "n d"], y: Bool[Tensor, "n classes"], seed: int) -> BoxHead:
    """Train the head on standardised vectors of boxes; a function of its arguments alone."""
    steps = max(_LEAST_STEPS, _EPOCHS * math.ceil(len(x) / _BATCH))
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        head = BoxHead(x.shape[1], y.shape[1]).train()
        optimiser = torch.optim.AdamW(head.parameters(), _RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        order = _order(len(x), steps)
        for rows in order:
            loss = F.binary_cross_entropy_with_logits(head(x[rows]), y[rows].float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return head.eval()


def _order(many: int, steps: int) -> Iterator[Tensor]:
    """Give the rows of each step: every row once an epoch, in an order drawn for it."""
    given = 0
    while True:
        for rows in torch.randperm(many).split(_BATCH):
            if given == steps:
                return
            given += 1
            yield rows


def _scored(
    x: Float[Tensor, "n d"], y: Bool[Tensor, "train classes"], is_test: Bool[Tensor, "n"], judged: list[KeyFrame], seed: int
) -> list[Matches]:
    """Fit the head to the training boxes, score the test boxes, and match them."""
    mean, scale = standard(x[~is_test])
    space = (x - mean) * scale
    with torch.no_grad():
        scores = fit_head(space[~is_test], y, seed)(space[is_test]).sigmoid().double().numpy()
    ends = np.cumsum([len(frame.looked_at) for frame in judged])[:-1]
    return _matched(judged, np.split(scores, ends))


def _matched(judged: list[KeyFrame], scores: Sequence[Float[np.ndarray, "_ classes"]]) -> list[Matches]:
    scored = [ScoredBoxes(frame.looked_at, part) for frame, part in zip(judged, scores, strict=True)]
    return match_boxes(scored, [frame.truth for frame in judged])


def _chance(judged: list[KeyFrame]) -> float:
    """Return the mAP of boxes in no order: precision is the same wherever the list ends, and the last recall is reached."""
    alike = [np.zeros((len(frame.looked_at), frame.truth.classes.shape[1])) for frame in judged]
    matches = [one for one in _matched(judged, alike) if one.to_find.any()]
    return fmean(float(one.hit.sum()) ** 2 / (len(one.hit) * int(one.to_find.sum())) for one in matches)


def _ceiling(judged: list[KeyFrame]) -> float:
    """Return the mAP of what is true of every box, said of the detected box that is nearest to it, and of no other."""
    scores = []
    for frame in judged:
        said = np.zeros((len(frame.looked_at), frame.truth.classes.shape[1]))
        overlaps = box_iou(frame.looked_at, frame.truth.boxes)
        for overlap, classes in zip(overlaps.T, frame.truth.classes, strict=True):
            if overlap.max(initial=0.0) >= LEAST_IOU:
                said[overlap.argmax()] += classes
        scores.append(said)
    return mean_average_precision(_matched(judged, scores))


def _rows(encoder: str, each: dict[str, list[list[Matches]]], judged: list[KeyFrame], seed: int) -> list[dict[str, Any]]:
    """Make a row of each entry; of several networks, the mean of their mAPs. All see the same resamples of the test videos."""
    videos = sorted({frame.path for frame in judged})
    of = np.array([videos.index(frame.path) for frame in judged])
    drawn = sample_generator(seed, 0, "detection/bootstrap")
    picks = [drawn.integers(0, len(videos), len(videos)) for _ in range(_RESAMPLES)]
    times = [np.bincount(picked, minlength=len(videos))[of] for picked in picks]
    values = {name: [mean_average_precision(one) for one in networks] for name, networks in each.items()}
    again = {
        name: np.array([fmean(mean_average_precision(one, often) for one in networks) for often in times])
        for name, networks in each.items()
    }
    rows: list[dict[str, Any]] = []
    for name, found in values.items():
        mean, half = fmean(found), _NORMAL_95 * float(np.nanstd(again[name]))
        rows.append({"name": name, "mAP": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half)})
        if len(found) > 1:
            rows[-1]["each"] = found
    rows[0]["over"] = {}
    for name, found in values.items():
        if name != encoder:
            more, half = rows[0]["mAP"] - fmean(found), _NORMAL_95 * float(np.nanstd(again[encoder] - again[name]))
            rows[0]["over"][name] = {"mean": more, "low": more - half, "high": more + half}
    return rows
