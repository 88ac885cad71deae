"""The official split files of UCF101, HMDB51, Something-Something v2, Kinetics and Diving48, told apart by what is in them.

Lists are read as they were published; videos are looked for by their names, so that they may lie in other folders and have
other suffixes than listed (after `reelvec prepare`, for example).
"""

import csv
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from reelvec.core import ReelvecError
from reelvec.data.sources import VIDEO_SUFFIXES, list_files
from reelvec.evals.label_table import TEST_WORDS, TRAIN_WORDS, VALIDATION_WORDS

_MANY_ABSENT = 0.1
"""share of absent videos from which on figures are not those of the official split"""
_SUFFIXES = (".txt", ".csv", ".json")
_KINETICS_COLUMNS = {"label", "youtube_id", "time_start", "time_end", "split", "is_cc"}


@dataclass(frozen=True)
class ListedVideo:
    """One line of a split file."""

    names: tuple[str, ...]
    """what the file may be called: as listed, the most exact first"""
    label: str
    side: str
    """train or test"""


@dataclass(frozen=True)
class SplitFiles:
    """What the split files of one data set say."""

    title: str
    videos: list[ListedVideo]
    notes: list[str] = field(default_factory=list)

    @property
    def given_split(self) -> bool:
        """Whether both sides are listed; with one alone, nothing says what to learn from or what to ask for."""
        return len({video.side for video in self.videos}) == 2


class _Folder:
    """The text files of a folder, each read once, as what it could be."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(f for f in folder.iterdir() if f.suffix.lower() in _SUFFIXES and f.is_file())
        self._read: dict[tuple[str, Path], Any] = {}

    def lines(self, file: Path) -> list[str]:
        """Lines that are not empty; none where it is no .txt file."""
        return self._once(".txt", file, _lines) or []

    def json(self, file: Path) -> Any:
        """Content of a .json file; None where it is none."""
        return self._once(".json", file, _json)

    def objects(self, file: Path, *names: str) -> list[dict[str, Any]]:
        """Entries of a .json file that is a list of objects with these names in each; none otherwise."""
        content = self.json(file)
        fits = isinstance(content, list) and all(isinstance(entry, dict) and entry.keys() >= {*names} for entry in content)
        return content if fits else []

    def rows(self, file: Path) -> list[dict[str, str]]:
        """Rows of a .csv file with the columns of Kinetics; none otherwise."""
        return self._once(".csv", file, _kinetics_rows) or []

    def all_fit(self, file: Path, pattern: str) -> bool:
        """Whether each line of a .txt file is of that form, and there is one."""
        lines = self.lines(file)
        return bool(lines) and all(re.fullmatch(pattern, line) for line in lines)

    def _once(self, suffix: str, file: Path, read: Callable[[Path], Any]) -> Any:
        if file.suffix.lower() != suffix:
            return None
        if (suffix, file) not in self._read:
            try:
                self._read[suffix, file] = read(file)
            except (OSError, ValueError, csv.Error):  # text that is no UTF-8 and broken JSON are ValueErrors
                self._read[suffix, file] = None
        return self._read[suffix, file]


def read_split_files(path: Path) -> SplitFiles | None:
    """Read official split files: a folder that holds them, or one of them with its partners in the same folder.

    Of several splits (UCF101 and HMDB51 have three) it is the one of the file that is given, else the first. None where these
    are no official split files. ReelvecError for lists that contradict one another, and for those of two data sets.
    """
    given = None if path.is_dir() else path
    if given is not None and given.suffix.lower() not in _SUFFIXES:
        return None
    folder = _Folder(path if given is None else path.parent)
    readers = (_ucf101, _hmdb51, _something, _kinetics, _diving48)
    found = [lists for read in readers if (lists := read(folder, given)) is not None and lists.videos]
    if len(found) > 1:
        raise ReelvecError(
            f"read labels from {path}",
            f"split files of {' and of '.join(lists.title for lists in found)}",
            "give the file that you mean, or a folder of one data set's files",
        )
    if not found:
        return None
    _refuse_contradictions(found[0], path)
    return found[0]


def find_listed(
    lists: SplitFiles, source: Path, videos: str | os.PathLike[str] | None
) -> tuple[list[tuple[str, ListedVideo]], list[str]]:
    """Find the listed videos below `videos`, else below the folder of the lists, else below the folder around it.

    Returns the path of each that is there, and notes. ReelvecError where none is, where a side lost all of its videos, and
    where two files could be the one that is listed.
    """
    around = source if source.is_dir() else source.absolute().parent
    around = around.absolute()
    # the top of a disk is not searched through
    places = [Path(videos)] if videos is not None else [around, *([around.parent] if around.parent.parents else [])]
    for place in places:
        files = _files_by_stem(place)
        found = [(_choose(video, files, source), video) for video in lists.videos]
        there = [(path, video) for path, video in found if path is not None]
        if there:
            break
    else:
        raise ReelvecError(
            f"find the {len(lists.videos)} videos of {lists.title} that {source} lists",
            f"none of them below {' or '.join(str(place) for place in places)}; the first is {lists.videos[0].names[0]}",
            "say where they are: videos=FOLDER",
        )
    absent = [video for path, video in found if path is None]
    notes = [f"videos of {lists.title} from {place}"]
    if absent:
        share = len(absent) / len(found)
        words = f"{len(absent)} of {len(found)} listed videos are absent ({share:.0%}), the first {absent[0].names[0]}"
        far = "; with so many gone, figures cannot be compared with those of others on this split"
        notes.append(words + (far if share > _MANY_ABSENT else ""))
    gone = {video.side for video in lists.videos} - {video.side for _, video in there}
    if gone:
        raise ReelvecError(
            f"evaluate with the split of {source}",
            f"none of its {'training' if 'train' in gone else 'test'} videos below {place}",
            "add them, or give class folders instead of the split: a part is then held out",
        )
    return there, notes


def _files_by_stem(folder: Path) -> dict[str, list[str]]:
    """Videos at any depth below a folder, by their names without suffix."""
    if not folder.is_dir():
        raise ReelvecError(f"look for videos in {folder}", "no such folder", "give videos=FOLDER that holds them, at any depth")
    try:
        paths = list_files(folder)
    except ReelvecError:  # no video there
        return {}
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_stem[os.path.splitext(os.path.basename(path))[0]].append(path)
    return by_stem


def _choose(video: ListedVideo, files: dict[str, list[str]], source: Path) -> str | None:
    """Return the file of a listed video: of the same name, and where several have it, in the folder that is listed."""
    for name in video.names:
        listed = PurePosixPath(name)
        candidates = files.get(listed.stem if listed.suffix.lower() in VIDEO_SUFFIXES else listed.name, [])
        if len(candidates) > 1:
            exact = [path for path in candidates if path.endswith(f"{os.sep}{name}")]
            in_class = [path for path in candidates if os.path.basename(os.path.dirname(path)) == video.label]
            candidates = exact or in_class or candidates
        if len(candidates) > 1:
            raise ReelvecError(
                f"find {name} of {source}",
                f"{len(candidates)} files of that name: {', '.join(candidates[:3])}",
                "say which folder holds the right ones: videos=FOLDER",
            )
        if candidates:
            return candidates[0]
    return None


def _refuse_contradictions(lists: SplitFiles, source: Path) -> None:
    first: dict[str, ListedVideo] = {}
    for video in lists.videos:
        before = first.setdefault(video.names[0], video)
        if before is not video:
            same = (before.label, before.side) == (video.label, video.side)
            raise ReelvecError(
                f"read labels from {source}",
                f"{video.names[0]} listed twice" + ("" if same else ", with another label or on the other side"),
                "give the lists of one split only",
            )


def _ucf101(folder: _Folder, given: Path | None) -> SplitFiles | None:
    """trainlist01.txt with `Class/v_Class_g08_c01.avi 1`, testlist01.txt without the number, classInd.txt with `1 Class`."""
    train, test, numbered = r"[^/\\]+/[^/\\]+\.\w+\s+\d+", r"[^/\\]+/[^/\\]+\.\w+", r"\d+\s+\S+"
    if given is not None and not any(folder.all_fit(given, pattern) for pattern in (train, test, numbered)):
        return None
    sides = {
        side: {_number(file): file for file in folder.files if folder.all_fit(file, pattern)}
        for side, pattern in (("train", train), ("test", test))
    }
    numbers = sorted({*sides["train"], *sides["test"]})
    if not numbers:
        return None
    whole = sorted(sides["train"].keys() & sides["test"].keys())
    is_list = given in [*sides["train"].values(), *sides["test"].values()]
    number = _number(given) if given is not None and is_list else (whole or numbers)[0]
    used = {side: files[number] for side, files in sides.items() if number in files}
    videos = [
        ListedVideo((line.split()[0],), line.partition("/")[0], side)
        for side, file in used.items()
        for line in folder.lines(file)
    ]
    known = {line.split()[1] for file in folder.files if folder.all_fit(file, numbered) for line in folder.lines(file)}
    strange = sorted({video.label for video in videos} - known) if known else []
    if strange:
        raise ReelvecError(
            f"read labels from {next(iter(used.values()))}",
            f"classes that the list of classes does not have: {', '.join(strange[:3])}",
            "give the lists of one data set",
        )
    return SplitFiles("UCF101", videos, _notes("UCF101", used, number, numbers))


def _hmdb51(folder: _Folder, given: Path | None) -> SplitFiles | None:
    """<class>_test_split1.txt with `name.avi 1`: 1 trains, 2 tests, 0 is not used."""
    splits: dict[str, dict[Path, str]] = defaultdict(dict)
    for file in folder.files:
        name = re.fullmatch(r"(.+)_test_split(\d+)", file.stem)
        if name and folder.all_fit(file, r"[^/\\]+\.\w+\s+[012]"):
            splits[name[2]][file] = name[1]
    numbers = sorted(splits)
    number = next((n for n in numbers if given is None or given in splits[n]), None)
    if number is None:
        return None
    videos, unused = [], 0
    for file, label in splits[number].items():
        for line in folder.lines(file):
            listed, side = line.rsplit(maxsplit=1)
            unused += side == "0"
            if side != "0":
                videos.append(ListedVideo((listed,), label, "train" if side == "1" else "test"))
    words = f"official split {number} of HMDB51, {len(splits[number])} classes; {unused} videos belong to neither side"
    return SplitFiles("HMDB51", videos, [words + _other_splits(numbers)])


def _something(folder: _Folder, given: Path | None) -> SplitFiles | None:
    """train.json and validation.json with `id` and `template`, labels.json with the templates' words and their numbers."""
    entries = {file: objects for file in folder.files if (objects := folder.objects(file, "id", "template"))}
    lists = {file: content for file in folder.files if _numbers_words(content := folder.json(file))}
    if not entries or (given is not None and given not in entries and given not in lists):
        return None
    used = {_side_of_name(file): file for file in entries}
    videos = [
        ListedVideo((str(entry["id"]),), _without_brackets(str(entry["template"])), _side_of_name(file))
        for file, content in entries.items()
        for entry in content
    ]
    notes = _notes("Something-Something v2", used, None, [])
    for file, words in lists.items():
        strange = sorted({video.label for video in videos} - {_without_brackets(word) for word in words})
        if strange:
            notes.append(f"{len(strange)} classes are not in {file.name}, the first {strange[0]!r}")
    return SplitFiles("Something-Something v2", videos, notes)


def _kinetics(folder: _Folder, given: Path | None) -> SplitFiles | None:
    """train.csv and validate.csv with label, youtube_id, time_start, time_end, split; files are id_000010_000020 or id."""
    if given is not None and not folder.rows(given):
        return None
    tables = {file: rows for file in folder.files if (rows := folder.rows(file))}
    if given is not None and len({row["split"] for row in tables[given]}) > 1:
        tables = {given: tables[given]}
    words = {row["split"] for rows in tables.values() for row in rows}
    validation = (*VALIDATION_WORDS, "validate")
    test = validation if words & {*validation} else TEST_WORDS
    videos, passed_over = [], 0
    for row in (row for rows in tables.values() for row in rows):
        side = "train" if row["split"] in TRAIN_WORDS else "test" if row["split"] in test else None
        passed_over += side is None
        if side is not None:
            start, end = (int(float(row[key] or 0)) for key in ("time_start", "time_end"))
            names = (f"{row['youtube_id']}_{start:06d}_{end:06d}", row["youtube_id"])
            videos.append(ListedVideo(names, row["label"], side))
    notes = [f"official lists of Kinetics: {', '.join(file.name for file in tables)}"]
    if len({video.side for video in videos}) < 2:
        notes[0] = f"only {' and '.join(file.name for file in tables)} of Kinetics is here: no official split is used"
    if passed_over:
        notes.append(f"{passed_over} videos of other parts than training and validation are not used")
    return SplitFiles("Kinetics", videos, notes)


def _diving48(folder: _Folder, given: Path | None) -> SplitFiles | None:
    """Diving48_V2_train.json and _test.json with `vid_name` and `label`, _vocab.json with the four words of each class."""
    entries = {file: objects for file in folder.files if (objects := folder.objects(file, "vid_name", "label"))}
    if not entries or (given is not None and given not in entries):
        return None
    names: dict[str, str] = {}
    for file in folder.files:
        vocabulary = folder.json(file) if "vocab" in file.stem.lower() else None
        if isinstance(vocabulary, list) and all(isinstance(words, list) for words in vocabulary):
            names = {str(number): " ".join(map(str, words)) for number, words in enumerate(vocabulary)}
    used = {_side_of_name(file): file for file in entries}
    videos = [
        ListedVideo((str(entry["vid_name"]),), names.get(str(entry["label"]), str(entry["label"])), _side_of_name(file))
        for file, content in entries.items()
        for entry in content
    ]
    return SplitFiles("Diving48", videos, _notes("Diving48", used, None, []))


def _notes(title: str, used: dict[str, Path], number: str | None, numbers: Sequence[str]) -> list[str]:
    if len(used) < 2:
        return [f"only {next(iter(used.values())).name} of {title} is here: no official split is used"]
    named = f"official split {number.lstrip('0')} of {title}" if number else f"official split of {title}"
    return [f"{named}: to learn from {used['train'].name}, to be tested on {used['test'].name}" + _other_splits(numbers)]


def _other_splits(numbers: Sequence[str]) -> str:
    several = ", ".join(number.lstrip("0") for number in numbers)
    return f"; there are splits {several}: give a file of another to use that one" if len(numbers) > 1 else ""


def _side_of_name(file: Path) -> str:
    """Tell the side from a file's name: what is not for training is tested."""
    return "train" if "train" in file.stem.lower() else "test"


def _number(file: Path) -> str:
    found = re.search(r"\d+$", file.stem)
    return found[0] if found else ""


def _without_brackets(template: str) -> str:
    return template.replace("[", "").replace("]", "")


def _numbers_words(content: Any) -> bool:
    """Whether this is a dictionary of words and their numbers, as labels.json of Something-Something v2."""
    return isinstance(content, dict) and bool(content) and all(str(value).isdecimal() for value in content.values())


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8-sig"))


def _kinetics_rows(file: Path) -> list[dict[str, str]]:
    """Rows of a file with the columns of Kinetics and no other; `split` is the word in the file, else told by its name."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        if not _KINETICS_COLUMNS - {"split", "is_cc"} <= set(reader.fieldnames or ()) <= _KINETICS_COLUMNS:
            return []
        rows = [{key: (value or "").strip() for key, value in row.items() if isinstance(value, str)} for row in reader]
    by_name = "train" if "train" in file.stem.lower() else "validate" if "val" in file.stem.lower() else "test"
    return [{**row, "split": (row.get("split") or by_name).lower()} for row in rows if row["label"] and row["youtube_id"]]
