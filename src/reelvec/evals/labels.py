"""Labels of videos: from folders named after classes, or from a table with whatever column names it has."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reelvec.core import ReelvecError, sample_generator
from reelvec.data.sources import VIDEO_SUFFIXES
from reelvec.evals.label_table import (
    TEST_WORDS,
    TRAIN_WORDS,
    VALIDATION_WORDS,
    Row,
    guess_labels,
    guess_path,
    guess_split,
    read_table,
)
from reelvec.evals.shared_sources import copies, joined_groups, of_copies, of_groups, on_both_sides, shared_copies
from reelvec.evals.source_groups import source_groups
from reelvec.evals.split import hold_out
from reelvec.evals.split_files import SplitFiles, find_listed, read_split_files


@dataclass(frozen=True)
class LabelledVideo:
    """One video with a label for each label column, and its side and group where these are given."""

    path: str
    labels: dict[str, str]
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Labels:
    """All labelled videos, sorted by path; `notes` say in words what was guessed or left out."""

    videos: list[LabelledVideo]
    columns: tuple[str, ...]
    given_split: bool
    notes: list[str] = field(default_factory=list)
    official: bool = False
    """whether the split is one that was published with the data"""
    leak: ReelvecError | None = None
    """why these sides are not measured with: one source is on both; the labels themselves can be looked at"""

    @property
    def groups(self) -> list[str] | None:
        """The group of each video; None where there are none."""
        groups = [video.group for video in self.videos if video.group is not None]
        return groups or None

    @property
    def shared_groups(self) -> list[str]:
        """The groups that stand on both sides of a given split."""
        if not self.given_split or self.groups is None:
            return []
        return on_both_sides(self.groups, [video.split for video in self.videos])

    def test_mask(self, column: str, share: float, seed: int) -> list[bool]:
        """True for test videos: as given, or held out by seed, stratified by the classes of that column.

        Videos of one group are never parted. Raises ReelvecError where one side would be empty, and for given sides of which
        both have videos of one source.
        """
        self.refuse_leak()
        if self.given_split:
            mask = [video.split == "test" for video in self.videos]
        else:
            rng = sample_generator(seed, 0, f"evaluate/hold-out/{column}")
            mask = hold_out([video.labels[column] for video in self.videos], self.groups, share, rng).tolist()
        if not any(mask) or all(mask):
            sides = f"{sum(mask)} test and {len(mask) - sum(mask)} training videos"
            raise ReelvecError(
                f"split {len(mask)} videos with labels '{column}'",
                sides,
                "give at least two videos (or groups) of a class, or a split column with both train and test",
            )
        return mask

    def refuse_leak(self) -> None:
        """Raise ReelvecError where both given sides have videos of one source, which was not accepted."""
        if self.leak is not None:
            raise self.leak


def read_labels(
    source: str | os.PathLike[str],
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    videos: str | os.PathLike[str] | None = None,
    accept_shared_sources: bool = False,
) -> Labels:
    """Read labels from a folder of class folders, from a CSV or Parquet table or from official split files.

    A folder holds `<class>/*.mp4`, or `train/<class>/` and `test/<class>/`. A table has a column of paths (relative ones
    count from the table's folder, else from the working folder) and one or several of labels (parted by commas), and may
    have one with the words train and test, and one of groups. Columns that are not given are guessed where only one fits.
    Official split files are those of UCF101, HMDB51, Something-Something v2, Kinetics and Diving48, or the folder they lie
    in; `videos` is the folder of their videos, which are found at any depth (None: the lists' folder or the one around it).
    Clips of one source are groups: by the column of groups, else by file names of UCF101, HMDB51 or Diving48; copies of one
    file are of one source too. Where no split is given they stay together. On both sides of a given split `test_mask` refuses
    them, unless `accept_shared_sources`; an official split is taken as it is. Either way a note says so.
    Raises ReelvecError for what cannot be read, is ambiguous, absent, listed twice, or has a single class.
    """
    path = Path(source)
    given = {"path": path_column, "label": label_column, "split": split_column, "group": group_column}
    named = [f"{name}_column={value}" for name, value in given.items() if value]
    if path.is_dir() and named:
        raise ReelvecError(f"use {' '.join(named)}", f"{path} is a folder, which has no columns", "leave it out, or give a CSV")
    # who names columns has a table, whatever its columns are called
    lists = read_split_files(path) if path.exists() and not named else None
    if lists is not None:
        labels = _from_split_files(lists, path, videos)
    elif videos is not None:
        raise ReelvecError(
            f"look for videos in {videos}",
            f"{path}, which is no official split file",
            "leave videos= out: paths say where they are",
        )
    elif path.is_dir():
        labels = _from_folder(path)
    else:
        labels = _from_table(path, path_column, label_column, split_column, group_column)
    _refuse_duplicates(labels.videos, path)
    labels = _with_sources(labels, accept_shared_sources)
    for column in labels.columns:
        classes = {video.labels[column] for video in labels.videos}
        if len(classes) < 2:
            raise ReelvecError(
                f"evaluate with the labels '{column}' of {path}",
                f"a single class, {next(iter(classes))!r}, for all {len(labels.videos)} videos",
                "give labels with at least two classes",
            )
    return labels


def _is_video(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def _class_folders(folder: Path) -> dict[str, list[Path]]:
    """Videos by the name of the first folder below `folder`, at any depth under it."""
    inside = (child for child in sorted(folder.iterdir()) if child.is_dir() and not child.name.startswith("."))
    found = {child.name: [path for path in sorted(child.rglob("*")) if _is_video(path)] for child in inside}
    return {name: paths for name, paths in found.items() if paths}


def _from_folder(folder: Path) -> Labels:
    children = {child.name.lower(): child for child in sorted(folder.iterdir()) if child.is_dir()}
    train = next((children[word] for word in TRAIN_WORDS if word in children), None)
    test = next((children[word] for word in (*TEST_WORDS, *VALIDATION_WORDS) if word in children), None)
    notes = []
    if train and test:
        sides: list[tuple[str | None, Path]] = [("train", train), ("test", test)]
        notes.append(f"training videos from {train.name}/, test videos from {test.name}/")
        others = sorted(child.name for child in children.values() if child not in (train, test))
        if others:
            notes.append(f"not used: {', '.join(f'{name}/' for name in others)}")
    else:
        sides = [(None, folder)]
    videos = [
        LabelledVideo(os.path.abspath(path), {"class": name}, side)
        for side, root in sides
        for name, paths in _class_folders(root).items()
        for path in paths
    ]
    if not videos:
        raise ReelvecError(
            f"read labels from the folder {folder}",
            "no video in a folder named after its class",
            "put videos under <class>/, or under train/<class>/ and test/<class>/; or give a CSV of paths and labels",
        )
    videos = sorted(videos, key=lambda video: video.path)
    return Labels(videos, ("class",), bool(train and test), notes)


def _from_split_files(lists: SplitFiles, source: Path, folder: str | os.PathLike[str] | None) -> Labels:
    found, notes = find_listed(lists, source, folder)
    notes = [*lists.notes, *notes]
    videos = [LabelledVideo(path, {"class": listed.label}, listed.side) for path, listed in found]
    videos = sorted(videos, key=lambda video: video.path)
    if not lists.given_split:
        videos = [replace(video, split=None) for video in videos]
    return Labels(videos, ("class",), lists.given_split, notes, official=lists.given_split)


def _with_sources(labels: Labels, accepted: bool) -> Labels:
    """Return the labels with groups of what is of one source, with the error where one is on both sides of a given split."""
    paths, sides = [video.path for video in labels.videos], [video.split for video in labels.videos]
    groups, notes, told_by = labels.groups, list(labels.notes), None
    if groups is None:
        told = source_groups(paths, [video.labels[labels.columns[0]] for video in labels.videos])
        groups, told_by = told or (None, None)
        notes += [told_by] if told_by else []
    shared = on_both_sides(groups, sides) if groups and labels.given_split else []
    alike = copies(paths)
    pairs = shared_copies(paths, sides, alike)
    leak = of_groups(shared, len({*groups}) if groups else 0, told_by) or of_copies(pairs)
    if labels.official or accepted:
        leak = None
    if (shared or pairs) and leak is None:
        what = f"{len(shared)} groups" if shared else f"{len(pairs)} test videos that are copies of training videos"
        why = "as the official split has it" if labels.official else "accepted"
        notes.append(f"{what} stand on both sides, {why}: what is remembered of them counts as if it were understood")
    if alike:
        notes.append(f"{sum(map(len, alike))} videos are copies of one another, in {len(alike)} contents: kept together")
        groups = joined_groups(groups or paths, alike)
    if groups is None:
        return replace(labels, notes=notes, leak=leak)
    videos = [replace(video, group=group) for video, group in zip(labels.videos, groups, strict=True)]
    return replace(labels, videos=videos, notes=notes, leak=leak)


def _from_table(path: Path, path_name: str | None, label: str | None, split: str | None, group: str | None) -> Labels:
    table = read_table(path)
    notes: list[str] = []
    path_name = table.column(path_name) if path_name else guess_path(table, notes)
    asked = [table.column(name.strip()) for name in label.split(",") if name.strip()] if label else []
    split = table.column(split) if split else guess_split(table, [path_name, *asked], notes)
    group = table.column(group) if group else None
    columns = asked or [guess_labels(table, [name for name in (path_name, split, group) if name], notes)]
    base = _base_folder(path, [row[path_name] for row in table.rows if row[path_name]])
    words = {row[split].strip().lower() for row in table.rows} if split else set()
    test_words = TEST_WORDS if words & set(TEST_WORDS) else VALIDATION_WORDS
    videos, unlabelled, other_side = [], 0, Counter[str]()
    for row in table.rows:
        side = _side(row, split, test_words)
        if not row[path_name] or any(not row[name].strip() for name in columns):
            unlabelled += 1
        elif split and side is None:
            other_side[row[split]] += 1
        else:
            labels = {name: row[name].strip() for name in columns}
            absolute = os.path.abspath(base / row[path_name])
            videos.append(LabelledVideo(absolute, labels, side, row[group].strip() if group else None))
    if unlabelled:
        notes.append(f"{unlabelled} rows without a path or a label are left out")
    for word, count in sorted(other_side.items()):
        notes.append(f"{count} rows with {split} = {word!r} are left out: neither train nor test")
    if not videos:
        raise ReelvecError(
            f"read labels from {path}", "no row with a path, a label and a known side", "look at the table and its columns"
        )
    if group and any(not video.group for video in videos):
        raise ReelvecError(
            f"keep the groups of column '{group}' together",
            f"{sum(not video.group for video in videos)} rows without a group",
            "fill the column for every labelled video",
        )
    _refuse_absent(videos, path)
    return Labels(sorted(videos, key=lambda video: video.path), tuple(columns), split is not None, notes)


def _side(row: Row, split: str | None, test_words: Sequence[str]) -> str | None:
    word = row[split].strip().lower() if split else ""
    return "train" if word in TRAIN_WORDS else "test" if word in test_words else None


def _base_folder(table: Path, paths: Sequence[str]) -> Path:
    """Where relative paths count from: the table's folder, or the working folder if only there a file is found."""
    near = table.absolute().parent
    return near if any((near / path).exists() for path in paths) or not any(map(os.path.exists, paths)) else Path.cwd()


def _refuse_absent(videos: Sequence[LabelledVideo], source: Path) -> None:
    absent = [video.path for video in videos if not os.path.isfile(video.path)]
    if absent:
        raise ReelvecError(
            f"evaluate with the {len(videos)} videos of {source}",
            f"{len(absent)} of them {'is' if len(absent) == 1 else 'are'} no file: {_few(absent)}",
            "correct these paths (relative ones count from the table's folder) or take the rows out",
        )


def _refuse_duplicates(videos: Sequence[LabelledVideo], source: Path) -> None:
    """One file under two names counts as twice the same: it could stand in training and test at once."""
    first: dict[str, LabelledVideo] = {}
    twice: list[str] = []
    differing: list[str] = []
    for video in videos:
        before = first.setdefault(os.path.realpath(video.path), video)
        if before is not video:
            same = (before.labels, before.split, before.group) == (video.labels, video.split, video.group)
            (twice if same else differing).append(video.path)
    if differing:
        raise ReelvecError(
            f"read labels from {source}",
            f"{len(differing)} video{'s' * (len(differing) > 1)} listed again with another label, split or group: "
            f"{_few(differing)}",
            "decide which line is right and take the other out",
        )
    if twice:
        raise ReelvecError(
            f"read labels from {source}",
            f"{len(twice)} video{'s' * (len(twice) > 1)} listed more than once: {_few(twice)}",
            "list each video once: a second copy could stand in training and test at the same time",
        )


def _few(names: Sequence[str], many: int = 3) -> str:
    return ", ".join(names[:many]) + (f" and {len(names) - many} more" if len(names) > many else "")
