"""`reelvec diagnose`: labelled videos and a run in; how much of what each encoder knows is motion, how much is scene."""

import os
from pathlib import Path
from typing import Any

from reelvec.core import write_json
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress
from reelvec.evals.diagnosis_picture import draw_diagnosis
from reelvec.evals.evaluate import (
    TEST_SHARE,
    check_sides,
    encoder_facts,
    find_videos,
    load_encoders,
    reading_in_words,
    refuse_no_clips,
)
from reelvec.evals.features import ChangedFeatures, read_changed, untrained_in_words
from reelvec.evals.knn import Knn
from reelvec.evals.labels import read_labels
from reelvec.evals.linear import Linear
from reelvec.evals.motion_diagnosis import INTERVAL, OF_GROUPS, RULE, fill_diagnosis
from reelvec.evals.results import FEATURES, result_file

_CLIPS = {
    "ordinary": "one probe, fitted once on ordinary clips of the training videos, scores all columns but the last; changes are "
    "made inside each clip",
    "shuffled": "frames in an order drawn for each clip by seed, row and start, never the one they had",
    "reversed": "last frame first; of maps of flow every vector is turned round too",
    "frozen": "the middle frame all the time; maps of motion: zeros, as a still video has",
    "dropped": "every second frame replaced by the one before",
    "scene only": "a second probe, fitted and tested on frozen clips",
}


def diagnose(
    run: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    videos: str | os.PathLike[str] | None = None,
    accept_shared_sources: bool = False,
    clips: int | None = None,
    encoders: tuple[str, ...] | None = None,
    device: str | None = None,
    workers: int = 0,
    seed: int = 0,
    baselines: bool = True,
    out: str | os.PathLike[str] | None = None,
    index_file: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Say how much of what a run's encoders know of these labels is motion and how much is scene.

    Probes are fitted on ordinary clips of the training videos; the test videos are read with frames shuffled, reversed,
    frozen and dropped as well. Arguments are those of `evaluate`; `baselines=False` leaves out untrained networks. A picture
    is written beside `out` (None: evals/<labels>-motion-step<step>.json in the run folder), with the suffix .png.

    Returns what is written to `out`: {"run", "labels", "asked", "encoders", "protocol", "notes", "left_out", "tables", "file",
    "picture"}; a table for each label column and measure, with "label_column" and what `fill_diagnosis` returns.
    Raises ReelvecError for a run, labels, columns or videos that do not fit.
    """
    refuse_no_clips(clips)
    asked = {
        "path_column": path_column, "split_column": split_column, "group_column": group_column, "clips": clips,
        "videos": None if videos is None else str(videos), "seed": seed, "encoders": None if encoders is None else [*encoders],
        "accept_shared_sources": accept_shared_sources,
    }  # fmt: skip
    labelled = read_labels(
        labels, path_column=path_column, label_column=label_column, split_column=split_column, group_column=group_column,
        videos=videos, accept_shared_sources=accept_shared_sources,
    )  # fmt: skip
    on_device = choose_device(device)
    loaded = load_encoders(run, encoders)
    cards = {name: card for name, (_, card) in loaded.items()}
    tests = {column: labelled.test_mask(column, TEST_SHARE, seed) for column in labelled.columns}
    probed, usable, left_out = find_videos(labelled, list(cards.values()), index_file, workers)
    step = max(card.step for card in cards.values())
    file = Path(out) if out is not None else result_file(Path(run), Path(labels), step, "-motion")
    read = read_changed(
        loaded,
        probed,
        [row for _, row in usable],
        [any(test[i] for test in tests.values()) for i, _ in usable],
        folder=file.parent / FEATURES,
        clips=clips,
        seed=seed,
        baselines=baselines,
        device=on_device,
        workers=workers,
        on_progress=on_progress,
    )
    left_out |= read.left_out
    kept = [number for (number, _), found in zip(usable, read.found.tolist(), strict=True) if found]
    rows = [
        ChangedFeatures(row.name, [{v: x[read.found] for v, x in one.items()} for one in row.draws], row.left_out)
        for row in read.rows
    ]
    notes = list(labelled.notes)
    tables = []
    for column in labelled.columns:
        sides = [tests[column][i] for i in kept]
        check_sides(labelled, column, kept, sides, left_out, notes)
        readable = [labelled.videos[i] for i in kept]
        groups = [video.group for video in readable if video.group is not None]
        filled = fill_diagnosis(rows, [video.labels[column] for video in readable], sides, groups or None, seed=seed)
        tables += [{"label_column": column, **table} for table in filled]
    if labelled.videos[0].group is not None:
        notes.append(OF_GROUPS)
    result: dict[str, Any] = {
        "run": str(run),
        "labels": str(labels),
        "asked": asked,
        "encoders": {name: encoder_facts(card) for name, card in cards.items()},
        "protocol": {
            **reading_in_words(labelled, clips, seed),
            **_CLIPS,
            **({"untrained": untrained_in_words(seed)} if baselines else {}),
            "chance": "the training videos' majority class",
            "interval": INTERVAL,
            "verdict": RULE,
            "linear": Linear(seed=seed).protocol,
            "knn": Knn().protocol,
        },
        "notes": notes,
        "left_out": [{"path": path, "reason": reason} for path, reason in sorted(left_out.items())],
        "tables": tables,
        "file": str(file),
        "picture": str(file.with_suffix(".png")),
    }
    write_json(file, result)
    draw_diagnosis(result, file.with_suffix(".png"))
    return result
