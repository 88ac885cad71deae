"""Object or background: labelled videos with masks and a run in; what a frozen probe follows when the two are taken apart.

A probe is fitted on ordinary clips of the training videos and asked about test clips in which the object stands on stripes,
moving or frozen, the background is alone, or the object stands on another video's background (eval_protocols, section k).
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import Clips, EncoderCard, sample_generator, write_json
from reelvec.core.shapes import Bool, Float, UInt8
from reelvec.data.index import Index
from reelvec.data.loader import ClipLoader, EvenPlan
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress, Reader, encoder_reader, extract, whole_videos
from reelvec.evals.changed_clips import ORDINARY
from reelvec.evals.dense.frame_maps import refuse_motion
from reelvec.evals.dense.frame_picture import Block, draw_blocks
from reelvec.evals.dense.given_masks import masks_beside, masks_of_clip
from reelvec.evals.evaluate import TEST_SHARE, check_sides, encoder_facts, find_videos
from reelvec.evals.features import UNTRAINED, untrained_encoder, untrained_in_words
from reelvec.evals.kept_steps import load_encoder
from reelvec.evals.labels import Labels, read_labels
from reelvec.evals.linear import Linear
from reelvec.evals.masked_clips import BACKGROUND_ONLY, FROZEN_ON_STRIPES, MASKED, ON_STRIPES, SWAP, Fill, masked_variants
from reelvec.evals.motion_diagnosis import INTERVAL, OF_GROUPS
from reelvec.evals.object_or_background import BACKGROUND_LABEL, RULE, MaskedFeatures, fill_masked
from reelvec.evals.results import result_file
from reelvec.views import centre_view

_PAIRS_AT_ONCE = 8
_SHOWN_VIDEOS, _SHOWN_FRAMES = 3, 4
_CLIPS = {
    ORDINARY: "the middle clip of each video; the probe is fitted once, on those of the training videos",
    ON_STRIPES: "the object's pixels in every frame, all else one still picture of sinusoidal stripes drawn for each video",
    FROZEN_ON_STRIPES: "the middle frame of that all the time: no motion is left, so a label of motion should not be named",
    SWAP: "the object of the video, where and when it was, on the background only of another one, drawn by seed among the test "
    "videos whose labels all differ; right = the object's label",
    BACKGROUND_LABEL: "the same clips; right = the background's label",
}
_FILLED = {
    "still": "by the median of the frames of the clip in which a pixel is not masked, pixels that always are by inpainting "
    "(Telea), with a rim around the object",
    "frame": "by inpainting (Telea) of each frame, with a rim around the object: the smooth patch moves as the object did",
}


def diagnose_masks(
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
    fill: Fill | None = None,
    device: str | None = None,
    workers: int = 0,
    seed: int = 0,
    baselines: bool = True,
    out: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Say whether an encoder knows labels by the object or by the background, from test clips that are changed by masks.

    Args:
        run: a run folder, or an encoder folder; its encoder must read RGB.
        labels: a folder that `reelvec shapes` made, or whatever `evaluate` takes as labels.
        masks: a folder with the masks of VIDEO.mp4 as VIDEO.npz, holding `masks` (t h w), or as VIDEO/*.png, one for each frame
            in the order of names, not 0 where the object is; None: truth/ beside the labels. Test videos without are left out.
        label_column: one column, or several parted by commas: a table for each; None: motion,scene of a generated set. Where no
            split is given, 30 % of each class of the first one are held out.
        accept_shared_sources: as for `evaluate`.
        fill: what stands where an object was removed; None: "frame" for a generated set with a moving camera, else "still".
        out: JSON file; None: evals/<labels>-masks-step<step>.json in the run folder. Examples are drawn beside it, as .png.

    Returns what is written to `out`: {"run", "labels", "asked", "encoders", "protocol", "notes", "left_out", "tables", "file",
    "picture"}; a table for each label column, with "label_column" and what `fill_masked` returns.
    Raises ReelvecError for a run, labels, masks or videos that do not fit.
    """
    network, card = load_encoder(run, encoder)
    refuse_motion(card, "take object and background apart")
    source, asked = Path(labels), f"take object and background apart in {labels}"
    given = masks_beside(asked, source, masks)
    if given.table != source:
        label_column = label_column or "motion,scene"
    labelled = read_labels(
        given.table, path_column=path_column, label_column=label_column, split_column=split_column, group_column=group_column,
        accept_shared_sources=accept_shared_sources,
    )  # fmt: skip
    sides = labelled.test_mask(labelled.columns[0], TEST_SHARE, seed)
    fill = fill or _fill(given.folder)
    found, usable, left_out = find_videos(labelled, [card], None, workers)
    number_of = {row: number for number, row in usable}
    train, places, without = given.sides(asked, labelled, found, usable, sides)
    test = list(places)
    left_out |= without
    on_device = choose_device(device)
    readers = [encoder_reader(encoder, network, card, on_device)]
    if baselines:
        readers += [
            encoder_reader(f"untrained {draw}", untrained_encoder(card, seed + draw), card, on_device)
            for draw in range(UNTRAINED)
        ]

    def progress(before: int) -> OnProgress:
        def tell(done: int, total: int, text: str) -> None:
            if on_progress:
                on_progress(before + done, len(train) + len(test), text)

        return tell

    pieces = whole_videos(found, train)
    fitted = extract(readers, found, pieces, clips=1, device=on_device, workers=workers, on_progress=progress(0))
    left_out |= fitted.left_out
    partners, alone = draw_partners([labelled.videos[number_of[row]].labels for row in test], seed)
    left_out |= {found.row(test[i]).path: "no test video differs from it in all labels: none to swap with" for i in alone}

    def masks_of(row: int, start_seconds: float) -> UInt8[np.ndarray, "t h w"]:
        return masks_of_clip(places[row], found.row(row), card, start_seconds)

    read = _read_masked(
        readers, card, found, [(test[i], test[j]) for i, j in partners.items()], masks_of, number_of,
        seed=seed, fill=fill, device=on_device, workers=workers, on_progress=progress(len(train)),
    )  # fmt: skip
    left_out |= read.left_out
    train_found = torch.from_numpy(fitted.found)
    rows = [
        MaskedFeatures(
            name, [torch.from_numpy(fitted.vectors[one])[train_found] for one in ones], [read.vectors[one] for one in ones]
        )
        for name, ones in _named(encoder, readers).items()
        if all(one in fitted.vectors and one in read.vectors for one in ones)
    ]
    kept_train = [number_of[row] for row, is_found in zip(train, fitted.found.tolist(), strict=True) if is_found]
    kept_test = [(number_of[row], number_of[other]) for row, other in read.pairs]
    notes = list(labelled.notes)
    tables = []
    for column in labelled.columns:
        kept, is_test = [*kept_train, *(i for i, _ in kept_test)], [False] * len(kept_train) + [True] * len(kept_test)
        check_sides(labelled, column, kept, is_test, left_out, notes)
        of = [video.labels[column] for video in labelled.videos]
        groups = [labelled.videos[number].group for number in kept_train]
        filled = fill_masked(
            rows, [of[i] for i in kept_train], [of[i] for i, _ in kept_test], [of[j] for _, j in kept_test],
            groups if labelled.videos[0].group is not None else None, seed=seed,
        )  # fmt: skip
        tables.append({"label_column": column, **filled})
    if labelled.videos[0].group is not None:
        notes.append(OF_GROUPS)
    file = Path(out) if out is not None else result_file(Path(run), source, card.step, "-masks")
    result: dict[str, Any] = {
        "run": str(run),
        "labels": str(labels),
        "asked": {
            "path_column": path_column,
            "split_column": split_column,
            "group_column": group_column,
            "accept_shared_sources": accept_shared_sources,
            "masks": str(given.masks),
            "fill": fill,
            "seed": seed,
        },
        "encoders": {encoder: encoder_facts(card)},
        "protocol": {
            "split": "as given" if labelled.given_split else f"{TEST_SHARE:.0%} of each {labelled.columns[0]}, by seed {seed}",
            **_CLIPS,
            BACKGROUND_ONLY: f"the object filled {_FILLED[fill]}",
            **({"untrained": untrained_in_words(seed)} if baselines else {}),
            "chance": "the training videos' majority class",
            "interval": INTERVAL,
            "verdict": RULE,
            "linear": Linear(seed=seed).protocol,
        },
        "notes": notes,
        "left_out": [{"path": path, "reason": reason} for path, reason in sorted(left_out.items())],
        "tables": tables,
        "file": str(file),
        "picture": str(file.with_suffix(".png")),
    }
    write_json(file, result)
    _draw(result, labelled, number_of, read.shown, file.with_suffix(".png"))
    return result


def draw_partners(labels: Sequence[Mapping[str, str]], seed: int) -> tuple[dict[int, int], list[int]]:
    """Draw for each video, by seed, another one that differs from it in every label; return also those that find none."""
    partners, alone = {}, []
    for i, own in enumerate(labels):
        strangers = [j for j, other in enumerate(labels) if all(own[column] != other[column] for column in own)]
        if strangers:
            partners[i] = strangers[int(sample_generator(seed, i, "diagnose/swap").integers(len(strangers)))]
        else:
            alone.append(i)
    return partners, alone


@dataclass
class _Read:
    """What was read of the test videos: pairs of rows (object, background), and vectors by reader and variant."""

    pairs: list[tuple[int, int]]
    vectors: dict[str, dict[str, Tensor]]
    left_out: dict[str, str]
    shown: list[tuple[int, int, dict[str, Float[Tensor, "3 t s s"]]]]
    """rows of the first videos of other labels, with their clips; ordinary ones of the other video are under `_OTHER`"""


_OTHER = "the other video"


def _read_masked(
    readers: Sequence[Reader],
    card: EncoderCard,
    found: Index,
    pairs: Sequence[tuple[int, int]],
    masks_of: Callable[[int, float], UInt8[np.ndarray, "t h w"]],
    number_of: Mapping[int, int],
    *,
    seed: int,
    fill: Fill,
    device: torch.device,
    workers: int,
    on_progress: OnProgress,
) -> _Read:
    """Read the middle clips of pairs of videos side by side, change them, and compute the vectors of every variant."""
    read = _Read([], {}, {}, [])
    vectors: dict[str, dict[str, list[Tensor]]] = {reader.name: {variant: [] for variant in MASKED} for reader in readers}
    plan = EvenPlan(found, card.needs, rows=[row for pair in pairs for row in pair])
    at_once = [list(range(i, min(i + 2 * _PAIRS_AT_ONCE, len(plan)))) for i in range(0, len(plan), 2 * _PAIRS_AT_ONCE)]
    with torch.inference_mode(), ClipLoader(found, card.needs, plan, 2 * _PAIRS_AT_ONCE, workers=workers) as loader:
        for batch in loader.batches(at_once):
            samples, rows, starts = batch.numbers.tolist(), batch.rows.tolist(), batch.start_seconds[:, 0].tolist()
            clips = centre_view(batch.to(device).clip(card.needs.streams[0].stream, 0), card.size)
            squares = torch.stack([_square(masks_of(*at), card) for at in zip(rows, starts, strict=True)]).to(device)
            where = {sample: i for i, sample in enumerate(samples)}
            whole = [(where[sample], where[sample + 1]) for sample in samples if sample % 2 == 0 and sample + 1 in where]
            single = {rows[where[sample]] for sample in samples if sample % 2 == 0 and sample + 1 not in where}
            read.left_out |= {found.row(row).path: "the video it was to be swapped with cannot be read" for row in single}
            empty = {rows[i] for i, _ in whole if not squares[i].any()}
            read.left_out |= {found.row(row).path: "nothing is masked in its middle clip" for row in empty}
            whole = [(i, j) for i, j in whole if rows[i] not in empty]
            if not whole:
                continue
            of, other = (torch.tensor(side, device=device) for side in zip(*whole, strict=True))
            numbers = torch.tensor([number_of[rows[i]] for i, _ in whole])
            variants = masked_variants(
                clips[of], squares[of], clips[other], squares[other], numbers, seed=seed, fill=fill
            )  # fmt: skip
            for reader in readers:
                for variant, changed in variants.items():
                    vectors[reader.name][variant].append(reader.vectors(changed).cpu())
            for k, (i, j) in enumerate(whole[: _SHOWN_VIDEOS - len(read.shown)]):
                shown = {variant: changed[k].cpu() for variant, changed in variants.items()}
                read.shown.append((rows[i], rows[j], {**shown, _OTHER: clips[j].cpu()}))
            read.pairs += [(rows[i], rows[j]) for i, j in whole]
            on_progress(len(read.pairs), len(pairs), found.row(rows[-1]).path)
        read.left_out |= {quarantined.path: quarantined.reason for quarantined in loader.quarantine}
    if read.pairs:
        read.vectors = {name: {v: torch.cat(parts) for v, parts in of.items()} for name, of in vectors.items()}
    return read


def _square(masks: UInt8[np.ndarray, "t h w"], card: EncoderCard) -> Bool[Tensor, "t size size"]:
    """Cut or squeeze to a square as the encoder's clips are; a pixel is masked where at least half of it is."""
    frames = torch.from_numpy((masks != 0).astype(np.float32))[None]
    if card.needs.fit == "square":
        shape = (card.size, card.size)
        return F.interpolate(frames, shape, mode="bilinear", antialias=True, align_corners=False)[0] >= 0.5
    return centre_view(Clips(frames[None, None], torch.tensor([masks.shape[1:]])), card.size)[0, 0] >= 0.5


def _named(encoder: str, readers: Sequence[Reader]) -> dict[str, list[str]]:
    """Return the rows of the table, each with the readers that are averaged in it."""
    untrained = [reader.name for reader in readers[1:]]
    return {encoder: [readers[0].name], **({f"untrained {encoder}": untrained} if untrained else {})}


def _fill(folder: Path) -> Fill:
    settings = folder / "settings.json"
    return "frame" if settings.is_file() and json.loads(settings.read_text()).get("camera") else "still"


def _draw(
    result: Mapping[str, Any],
    labelled: Labels,
    number_of: Mapping[int, int],
    shown: Sequence[tuple[int, int, Mapping[str, Tensor]]],
    png: Path,
) -> None:
    """Draw the clips of some test videos in every variant, each with the accuracy of the encoder's probe on all of them."""
    blocks = []
    for row, other, clips in shown:
        video, behind = (labelled.videos[number_of[one]] for one in (row, other))
        title = f"{Path(video.path).name}: {', '.join(video.labels.values())}; the other: {', '.join(behind.labels.values())}"
        rows = []
        for variant in (*MASKED[:-1], _OTHER, SWAP):
            lines = [variant.replace(" on stripes", "\non stripes")]
            for table in result["tables"]:
                values = table["rows"][0]["values"]
                if variant in values:
                    behind_named = f", bg {100 * values[BACKGROUND_LABEL]:.0f} %" if variant == SWAP else ""
                    lines.append(f"{table['label_column']} {100 * values[variant]:.0f} %{behind_named}")
            frames = (255 * clips[variant].clamp(0, 1)).round().byte().permute(1, 2, 3, 0).numpy()
            tiles = [frames[round((len(frames) - 1) * i / (_SHOWN_FRAMES - 1))] for i in range(_SHOWN_FRAMES)]
            rows.append(("\n".join(lines), tiles))
        blocks.append(Block(title, rows))
    words = [f"Object or background? {Path(result['run']).name}, {Path(result['labels']).name}"]
    for table in result["tables"]:
        each = "; ".join(f"{row['name']}: {row['verdict']['word']}" for row in table["rows"])
        words.append(f"{table['label_column']} ({table['test']} test videos, chance {100 * table['chance']:.0f} %): {each}")
    words.append("beside the clips: test videos that the trained encoder's probe names rightly; bg: by the background's label")
    draw_blocks(words, blocks, png)
