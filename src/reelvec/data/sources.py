"""What a user points at, as a list of files: a folder, a pattern, a table or a list."""

import csv
import glob
import os
from collections.abc import Iterable
from pathlib import Path

from reelvec.core import ReelvecError

VIDEO_SUFFIXES = (
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)
PATH_COLUMNS = ("path", "video", "file", "filename")
"""names of the column that holds the files, first match first"""

Source = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def list_files(source: Source) -> list[str]:
    """List the absolute paths a source names, sorted, each once. Named files are listed whether they exist or not.

    Args:
        source: a folder (searched through, by video suffix), a pattern (with * ? [ or **), a CSV or TSV file with a column
            of paths (relative to the file's folder), one video file, or a list of paths.

    Raises:
        ReelvecError: the source is not there or names no file.
    """
    if not isinstance(source, str | os.PathLike):
        files = [os.fspath(path) for path in source]
        if not files:
            raise ReelvecError("read a list of videos", "the list is empty", "give at least one path")
        return _unique(files)
    name = os.path.expanduser(os.fspath(source))
    if os.path.isdir(name):
        files = _in_folder(name)
        if not files:
            raise ReelvecError(
                f"find videos in the folder {name}",
                _what_is_there(name),
                "give a folder that holds videos (mp4, mkv, webm, avi, mov, ...), a pattern or a CSV with a column of paths",
            )
        return _unique(files)
    if os.path.isfile(name):
        return _unique(_in_table(Path(name)) if name.lower().endswith((".csv", ".tsv")) else [name])
    if glob.has_magic(name):
        found = sorted(glob.glob(name, recursive=True), key=lambda path: (path.count(os.sep), path), reverse=True)
        # ** goes round in links that lead back up: of the ways to one place, the shortest is kept
        places = {(os.path.realpath(os.path.dirname(path)), os.path.basename(path)): path for path in found}
        files = [path for path in places.values() if not os.path.isdir(path) or _is_video_name(path)]
        if not files:
            raise ReelvecError(f"find videos by the pattern {name}", "nothing matches it", "check it with ls")
        return _unique(files)
    raise ReelvecError(f"find videos at {name}", "no such file or folder", "check the spelling and the current folder")


def _unique(paths: list[str]) -> list[str]:
    return sorted({os.path.abspath(os.path.expanduser(path)) for path in paths})


def _is_video_name(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES


def _in_folder(folder: str) -> list[str]:
    """Everything named like a video, folders included: the index says what is wrong with them."""
    found, walked = [], set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in walked:  # a link back up, or two links to one place
            folders.clear()
            continue
        walked.add(real)
        # names with a dot are caches and the shadows that macOS leaves ("._clip.mp4")
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(here, name) for name in [*files, *folders] if not name.startswith(".") and _is_video_name(name)]
    return found


def _what_is_there(folder: str) -> str:
    names = sorted(os.listdir(folder))
    if not names:
        return "the folder is empty"
    return f"{len(names)} entries, none with the suffix of a video ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _in_table(table: Path) -> list[str]:
    """Read the column of paths: by its name, or the first in which files exist."""
    asked = f"read the paths of videos from {table}"
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file, delimiter="\t" if table.suffix.lower() == ".tsv" else ",") if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReelvecError(asked, f"it cannot be read: {error}", "save it as a CSV file in UTF-8") from error
    if not rows:
        raise ReelvecError(asked, "the file is empty", "give it a column named path, one video a row")

    def at(cell: str) -> str:
        return os.path.join(table.parent, os.path.expanduser(cell.strip()))

    header = [cell.strip().lower() for cell in rows[0]]
    named = [header.index(name) for name in PATH_COLUMNS if name in header]
    if named:
        column, rows = named[0], rows[1:]
    else:
        with_files = [c for c in range(len(header)) if any(len(row) > c and os.path.isfile(at(row[c])) for row in rows)]
        if not with_files:
            raise ReelvecError(
                asked,
                f"no column is named {', '.join(PATH_COLUMNS)}, and none holds files that exist ({', '.join(rows[0])})",
                "name the column of paths 'path'; paths count from the folder of the CSV",
            )
        column = with_files[0]
        if not os.path.isfile(at(rows[0][column])):
            rows = rows[1:]  # a header
    files = [at(row[column]) for row in rows if len(row) > column and row[column].strip()]
    if not files:
        raise ReelvecError(asked, "the column of paths is empty", "one video a row")
    return files
