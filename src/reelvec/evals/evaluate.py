"""`reelvec evaluate`: labelled videos and a run in, a table with all that it has to be compared with out."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from reelvec.core import Config, Encoder, EncoderCard, ReelvecError, write_json
from reelvec.data.index import Index, index, index_within
from reelvec.data.streams import check_needs
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress
from reelvec.engine.flops import size_of
from reelvec.evals.answers import answer_lines, write_answers
from reelvec.evals.features import features_in_words, read_features, untrained_encoder, untrained_in_words
from reelvec.evals.heads.clip_columns import Network, clip_outcomes
from reelvec.evals.heads.clip_eval import CLIP_EVALS, ClipEval
from reelvec.evals.kept_steps import load_encoder, saved_encoders
from reelvec.evals.labels import LabelledVideo, Labels, read_labels
from reelvec.evals.results import FEATURES, answers_file, result_file
from reelvec.evals.table import EVALS, Eval, Features, Numbered, fill_table, seeded, with_settings

TEST_SHARE = 0.3
"""of each class, held out where no split is given"""
OF_VIDEOS = "Wilson score interval over test videos"
OF_GROUPS = (
    "interval over groups of test videos: Wilson's, of as many trials as the videos are worth when those of one group go "
    "together (variance linearised by group, Student's; at most the number of videos)"
)


def evaluate(
    run: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    videos: str | os.PathLike[str] | None = None,
    accept_shared_sources: bool = False,
    tasks: tuple[str, ...] = ("knn", "linear", "retrieval"),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
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
    """Measure frozen features of a run's encoders on labelled videos, beside untrained networks, pixels, colours and chance.

    Args:
        run: a run folder, or an encoder folder; FOLDER@STEP is the run as it was at a kept step.
        labels: `<class>/*.mp4`, or `train/<class>/` and `test/<class>/`; or a CSV or Parquet table; or official split files.
        label_column: one column, or several parted by commas: a table for each, features computed once.
        split_column: words such as train and test. Without one, 30 % of each class are held out by `seed`.
        group_column: videos of one group (source file, patient) are never on both sides.
        videos: the folder of the videos that official split files list.
        accept_shared_sources: measure although videos of one source stand on both sides of the given split; a note says so.
        tasks: names in `EVALS` and `CLIP_EVALS`; the latter train on clips and take minutes, and what they found is kept.
        settings: task -> its settings, such as {"knn": {"k": 10}}.
        clips: clips of a video, spread evenly, whose features are averaged; None: as many as lie end to end, 1 to 10.
        encoders: "visual", "motion"; None: all that the run has.
        baselines: False leaves out untrained networks, pixels and colours, where they are known from before; chance stays.
        index_file: an index (Parquet) that is made or added to: files that stand in it unchanged are not probed again.
        out: JSON file; None: evals/<labels>-step<step>.json in the run folder.

    A task that trains on clips and cannot be done with a network leaves its columns of that row empty, and "failed" has the
    reason: {"label_column", "task", "row", "reason"}; where it is the only task, the error is raised.

    Returns what is written to `out`: {"run", "labels", "asked", "encoders", "protocol", "notes", "left_out", "failed",
    "tables", "file", "answers", "features"}; each table is {"label_column", "classes", "train", "test", "data", "columns",
    "rows": [{"name", "dim", "values", "low", "high", "details"}]}, values being shares of test videos and low and high their
    95 % intervals, "data" hashes of what it was measured on. "answers" names the file of every single answer
    (`evals.answers`), "features" the folder of each encoder's features, which the next measure on these videos takes from
    there; both are beside `out`.
    Raises ReelvecError for a run, labels, columns, tasks or videos that do not fit.
    """
    evals, clip_evals = chosen_evals(tasks, seed, settings or {})
    asked = {
        "path_column": path_column, "split_column": split_column, "group_column": group_column, "clips": clips,
        "videos": None if videos is None else str(videos), "seed": seed, "encoders": None if encoders is None else [*encoders],
        "accept_shared_sources": accept_shared_sources,
        "settings": {
            task: one.model_dump(mode="json", include=set(settings[task]))
            for task, one in {**evals, **clip_evals}.items() if settings and task in settings and isinstance(one, Config)
        },
    }  # fmt: skip
    refuse_no_clips(clips)
    labelled = read_labels(
        labels, path_column=path_column, label_column=label_column, split_column=split_column, group_column=group_column,
        videos=videos, accept_shared_sources=accept_shared_sources,
    )  # fmt: skip
    on_device = choose_device(device)
    loaded = load_encoders(run, encoders)
    # sides are drawn before any file is opened: a file that breaks later moves no other video
    tests = {column: labelled.test_mask(column, TEST_SHARE, seed) for column in labelled.columns}
    probed, usable, left_out = find_videos(labelled, [card for _, card in loaded.values()], index_file, workers)
    cards = {name: card for name, (_, card) in loaded.items()}
    file = Path(out) if out is not None else result_file(Path(run), Path(labels), max(card.step for card in cards.values()))
    read = read_features(
        loaded,
        probed,
        [row for _, row in usable],
        folder=file.parent / FEATURES,
        clips=clips,
        seed=seed,
        baselines=baselines,
        device=on_device,
        workers=workers,
        on_progress=on_progress,
    )
    left_out |= read.left_out
    readable = [pair for pair, is_found in zip(usable, read.found.tolist(), strict=True) if is_found]
    kept, shown = [number for number, _ in readable], [row for _, row in readable]
    of_kept = [labelled.videos[number] for number in kept]
    rows = [Features(row.name, [draw[read.found] for draw in row.draws]) for row in read.rows]
    notes = list(labelled.notes)
    networks = _networks(loaded, seed, baselines) if clip_evals else []
    answers: list[Any] = []
    tables, empty = [], list[dict[str, str]]()
    for column in labelled.columns:
        sides = [tests[column][i] for i in kept]
        check_sides(labelled, column, kept, sides, left_out, notes)
        numbers = Numbered.of([video.labels[column] for video in of_kept], sides, [video.group for video in of_kept])
        found, failed = clip_outcomes(
            clip_evals, networks, probed, shown, numbers.labels, numbers.test, numbers.groups,
            folder=file.parent / "kept", device=on_device, workers=workers, on_progress=on_progress,
            goes_on=len(tasks) > 1,
        )  # fmt: skip
        empty += [{"label_column": column, **asdict(one)} for one in failed]
        notes += [f"{column}: no {one.task} of {one.row}: {' '.join(one.reason.split())}" for one in failed]
        table = fill_table(evals, rows, numbers, clip_evals, found)
        notes += [f"{column}: {note}" for note in table.pop("notes")]
        tested = [video for video, is_test in zip(of_kept, sides, strict=True) if is_test]
        paths, truths = [video.path for video in tested], [video.labels[column] for video in tested]
        groups = [video.group for video in tested]
        answers += answer_lines(column, table.pop("answers"), paths, truths, table["classes"], groups)
        tables.append({"label_column": column, "data": fingerprints(of_kept, column, sides), **table})
    result: dict[str, Any] = {
        "run": str(run),
        "labels": str(labels),
        "asked": asked,
        "encoders": {name: encoder_facts(card) for name, card in cards.items()},
        "protocol": _protocol(labelled, {**evals, **clip_evals}, clips, seed, baselines),
        "notes": notes,
        "left_out": [{"path": path, "reason": reason} for path, reason in sorted(left_out.items())],
        "failed": empty,
        "tables": tables,
        "file": str(file),
        "answers": answers_file(file).name,
        "features": {name: f"{FEATURES}/{place}" for name, place in read.places.items()},
    }
    write_answers(answers_file(file), answers)
    write_json(file, result)
    return result


def load_encoders(run: str | os.PathLike[str], names: tuple[str, ...] | None = None) -> dict[str, tuple[Encoder, EncoderCard]]:
    """Load a run's encoders by name, visual first; ReelvecError if there is none, or not one that was asked for."""
    # asking for "visual" where there is no encoder at all gets the error that says how to make one
    return {name: load_encoder(run, name) for name in names or saved_encoders(run) or ("visual",)}


def chosen_evals(
    tasks: tuple[str, ...], seed: int, settings: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Eval], dict[str, ClipEval]]:
    """Make the evaluations of features and those that train on clips, by task; ReelvecError for unknown tasks or settings."""
    known = [*EVALS, *CLIP_EVALS]
    unknown = [task for task in tasks if task not in known]
    if unknown or not tasks:
        raise ReelvecError(
            f"evaluate with tasks={','.join(tasks)}", f"tasks {', '.join(known)}", "name one or several of these"
        )
    if idle := [task for task in settings if task not in tasks]:
        raise ReelvecError(
            f"set {', '.join(f'{task}.{key}' for task in idle for key in settings[task])}",
            f"tasks {', '.join(tasks)}",
            f"add the task: tasks={','.join([*tasks, *idle])}" if set(idle) <= set(known) else f"tasks are {', '.join(known)}",
        )
    evals = {task: seeded(task, seed, settings.get(task)) for task in tasks if task in EVALS}
    training = {task: with_settings(CLIP_EVALS[task], task, seed, settings.get(task)) for task in tasks if task in CLIP_EVALS}
    return evals, training


def _networks(loaded: dict[str, tuple[Encoder, EncoderCard]], seed: int, baselines: bool) -> list[Network]:
    """Return the encoders, then one untrained network of each kind."""
    networks = [Network(name, encoder, card, card.weights_sha256) for name, (encoder, card) in loaded.items()]
    if baselines:
        words = f"untrained by seed {seed}, torch {torch.__version__}"
        networks += [Network(f"untrained {n}", untrained_encoder(card, seed), card, words) for n, (_, card) in loaded.items()]
    return networks


def refuse_no_clips(clips: int | None) -> None:
    """Raise ReelvecError for a number of clips below one."""
    if clips is not None and clips < 1:
        raise ReelvecError(
            f"evaluate with clips={clips}", "videos, of which at least one clip is needed", "use clips=1 or more"
        )


def encoder_facts(card: EncoderCard) -> dict[str, Any]:
    """Return what a result says of an encoder."""
    try:
        parameters, flops = size_of(card)
        size = {"parameters": parameters, "gflops_per_clip": round(flops / 1e9, 4)}
    except ReelvecError:  # made by hand
        size = {}
    return {
        "method": card.method,
        "step": card.step,
        "architecture": card.architecture,
        "sees": ", ".join(
            f"{need.frames} {need.stream} frames {need.stride} apart, {card.size} px" for need in card.needs.streams
        ),
        "weights_sha256": card.weights_sha256,
        **size,
    }


def find_videos(
    labelled: Labels, cards: Sequence[EncoderCard], index_file: str | os.PathLike[str] | None, workers: int
) -> tuple[Index, list[tuple[int, int]], dict[str, str]]:
    """Probe the labelled videos; return their index, (labelled video, row) of the usable, and path -> reason of the rest.

    Raises ReelvecError where too few offer what an encoder reads.
    """
    paths = [video.path for video in labelled.videos]
    probed = (
        index(paths, workers=workers or None)
        if index_file is None
        else index_within(index_file, paths, workers=workers or None)
    )
    for card in cards:
        check_needs(probed, card.needs)
    return probed, *_usable(labelled, probed)


def _usable(labelled: Labels, probed: Index) -> tuple[list[tuple[int, int]], dict[str, str]]:
    """Return (number of the labelled video, row of the index) of what can be decoded, and path -> reason of the rest."""
    number = {os.path.realpath(video.path): i for i, video in enumerate(labelled.videos)}
    usable, left_out = [], {}
    for i in range(len(probed)):
        row = probed.row(i)
        if row.status == "ok":
            usable.append((number[os.path.realpath(row.path)], i))
        else:
            left_out[row.path] = row.reason
    return usable, left_out


def check_sides(
    labelled: Labels, column: str, kept: Sequence[int], sides: Sequence[bool], left_out: dict[str, str], notes: list[str]
) -> None:
    """Refuse sides of which one is empty among the videos that could be read; note test classes that cannot be learnt.

    `kept` are numbers of labelled videos, `sides` True for those of them that are test videos.
    """
    videos = [labelled.videos[i] for i in kept]
    if not any(sides) or all(sides):
        first = next(iter(left_out.items()), ("", "no reason"))
        raise ReelvecError(
            f"evaluate with the labels '{column}'",
            f"{sides.count(False)} training and {sides.count(True)} test videos that can be read; "
            f"{len(left_out)} cannot, the first {first[0]} ({first[1]})",
            "run `reelvec index` on the videos to see what is wrong with them",
        )
    known = {video.labels[column] for video, is_test in zip(videos, sides, strict=True) if not is_test}
    strangers = Counter(video.labels[column] for video in videos if video.labels[column] not in known)
    if strangers:
        notes.append(
            f"{column}: {sum(strangers.values())} test videos are of classes without a training video "
            f"({', '.join(sorted(strangers))}) and count as wrong"
        )


def fingerprints(videos: Sequence[LabelledVideo], column: str, tests: Sequence[bool]) -> dict[str, str]:
    """Return hashes of what a table was measured on: other hashes are other videos, labels, sides or groups."""
    facts = {
        "videos": [video.path for video in videos],
        "labels": [video.labels[column] for video in videos],
        "sides": list(tests),
        "groups": [video.group for video in videos],
    }
    return {name: hashlib.sha256(json.dumps(fact).encode()).hexdigest()[:16] for name, fact in facts.items()}


def _protocol(
    labelled: Labels, evals: Mapping[str, Eval | ClipEval], clips: int | None, seed: int, baselines: bool
) -> dict[str, str]:
    """Say in words how each number came about."""
    beside = {
        "untrained": f"{untrained_in_words(seed)}; where clips are trained on, the first of them",
        "baselines": "raw pixels: 4x16x16 grey and 8x8 colour; colour histogram: 8x8x8 bins, square roots; "
        "chance: the training majority, for R@k a random order, for few-shot 1 / ways",
    }
    return {
        **reading_in_words(labelled, clips, seed),
        **(beside if baselines else {}),
        "interval": f"95 % {OF_GROUPS if labelled.groups else OF_VIDEOS}; of means over draws or episodes, as said with them",
        **{task: one.protocol for task, one in evals.items()},
    }


def reading_in_words(labelled: Labels, clips: int | None, seed: int) -> dict[str, str]:
    """Say how the sides came about and how features were read."""
    groups = f", {len(shared)} groups on both sides" if (shared := labelled.shared_groups) else ", groups kept together"
    split = "as given" if labelled.given_split else f"{TEST_SHARE:.0%} of each class held out by seed {seed}"
    return {
        "split": split + (groups if labelled.groups else ""),
        "features": features_in_words(clips),
    }
