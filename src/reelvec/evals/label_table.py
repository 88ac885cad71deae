"""Tables of labels with any column names: reading them, and telling which column is which."""

import csv
import difflib
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reelvec.core import ReelvecError
from reelvec.data.sources import VIDEO_SUFFIXES

Row = dict[str, str]

_PATH_NAMES = ("path", "video", "video_path", "filepath", "file_path", "file", "filename", "file_name", "clip")
_LABEL_NAMES = ("label", "class", "category", "action", "target", "labels")
_SPLIT_NAMES = ("split", "subset", "set", "partition")
_FILE = re.compile(r"\.\w{1,5}$")
_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)
TRAIN_WORDS = ("train", "training", "trn", "tr")
TEST_WORDS = ("test", "testing", "tst", "te")
VALIDATION_WORDS = ("val", "valid", "validation", "dev", "eval")
_SPLIT_WORDS = {*TRAIN_WORDS, *TEST_WORDS, *VALIDATION_WORDS, "unlabelled", "unlabeled"}


@dataclass(frozen=True)
class Table:
    """Rows as text, under the table's own column names."""

    path: Path
    columns: list[str]
    rows: list[Row]

    def column(self, name: str) -> str:
        """Return the name if there is such a column; ReelvecError with the nearest one otherwise."""
        if name in self.columns:
            return name
        near = difflib.get_close_matches(name, self.columns, n=1)
        raise ReelvecError(
            f"read column '{name}' of {self.path}",
            f"columns {', '.join(self.columns)}",
            f"did you mean {near[0]}?" if near else "name one of these",
        )

    def values(self, name: str) -> list[str]:
        """All values of a column that are not empty."""
        return [row[name].strip() for row in self.rows if row[name].strip()]


def read_table(path: Path) -> Table:
    """Read a CSV (comma, semicolon or tab; UTF-8) or Parquet file.

    Raises ReelvecError if that fails, if nothing is in it, and where the first row is no header but a row of its own.
    """
    asked = f"read labels from {path}"
    what = "a folder of class folders, or a CSV or Parquet table with a column of paths and one of labels"
    if not path.exists():
        raise ReelvecError(asked, "no such file or folder", f"give {what}")
    try:
        table = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
    except UnicodeDecodeError as error:
        raise _not_utf8(asked, path, what) from error
    except (OSError, csv.Error, pa.ArrowException) as error:
        raise ReelvecError(asked, f"it cannot be read as a table ({error})", f"give {what}") from error
    if not table.rows and not _video_in_header(table):
        raise ReelvecError(asked, "a table without rows" if table.columns else "an empty file", f"give {what}")
    _refuse_headless(table, asked)
    twice = sorted({name for name in table.columns if table.columns.count(name) > 1})
    if twice:
        raise ReelvecError(asked, f"two columns named {', '.join(twice)}", "rename one of them")
    return table


def _not_utf8(asked: str, path: Path, what: str) -> ReelvecError:
    """Say of a file that is not UTF-8 which encoding it likely has; bytes of value 0 are in no such text."""
    content = path.read_bytes()
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in content and not utf16:
        return ReelvecError(asked, "it cannot be read as a table (no text)", f"give {what}")
    try:
        content.decode("utf-8")
        row = 1
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
    name, likely = ("UTF-16", "UTF-16") if utf16 else ("CP1252", "Windows-1252 or Latin-1")
    return ReelvecError(
        asked,
        f"text that is not UTF-8 (row {row}), likely {likely}",
        f"save it as UTF-8: in the spreadsheet's dialogue of CSV, or iconv -f {name} -t UTF-8 {path.name} > utf8.csv",
    )


def _video_in_header(table: Table) -> str | None:
    """Return a column's name that is no name: a path of a video, or of a file that is there."""
    for name in table.columns:
        path = Path(name)
        near = table.path.parent / path
        if path.suffix.lower() in VIDEO_SUFFIXES or (path.suffix and (near.is_file() or path.is_file())):
            return name
    return None


def _refuse_headless(table: Table, asked: str) -> None:
    if found := _video_in_header(table):
        raise ReelvecError(
            asked,
            f"'{found}' in the first row, where names of columns belong: a video would be lost",
            "put a row with names first, such as path,label",
        )


def _read_parquet(path: Path) -> Table:
    content = pq.read_table(path)
    plain = [f.name for f in content.schema if not pa.types.is_nested(f.type) and not pa.types.is_binary(f.type)]
    rows = content.select(plain).to_pylist()
    return Table(path, plain, [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows])


def _read_csv(path: Path) -> Table:
    with path.open(newline="", encoding="utf-8-sig") as file:
        head = file.readline()
        file.seek(0)
        # the header alone decides: values may hold commas of their own
        delimiter = max(",;\t", key=head.count)
        lines = [line for line in csv.reader(file, delimiter=delimiter, strict=True) if any(cell.strip() for cell in line)]
    if not lines:
        return Table(path, [], [])
    columns = [name.strip() for name in lines[0]]
    for number, line in enumerate(lines[1:], start=2):
        if len(line) > len(columns):
            raise csv.Error(f"row {number} has {len(line)} cells, the header {len(columns)}")
    cells = (line + [""] * (len(columns) - len(line)) for line in lines[1:])
    return Table(path, columns, [dict(zip(columns, line, strict=True)) for line in cells])


def guess_path(table: Table, notes: list[str]) -> str:
    """Return the one column whose values look like paths of files; ReelvecError if there is none or several."""
    looks = [name for name in table.columns if _file_like(table, name)]
    named = [name for name in looks if name.lower() in _PATH_NAMES]
    return _only(named if len(looks) > 1 else looks, "path", "column of paths", table, notes)


def guess_split(table: Table, taken: list[str], notes: list[str]) -> str | None:
    """Return a column with a usual name that holds only words such as train and test, or None."""
    for name in table.columns:
        words = {value.lower() for value in table.values(name)}
        usual = name.lower() in _SPLIT_NAMES and name not in taken
        if usual and words and words <= _SPLIT_WORDS and len(words) > 1:
            notes.append(f"guessed: column '{name}' is the split ({', '.join(sorted(words))})")
            return name
    return None


def guess_labels(table: Table, taken: list[str], notes: list[str]) -> str:
    """Return the column with a usual name for labels, else the only one whose values repeat; ReelvecError otherwise."""
    free = [name for name in table.columns if name not in taken]
    named = [name for name in free if name.lower() in _LABEL_NAMES]
    if len(named) == 1:
        return _only(named, "label", "column of labels", table, notes)
    repeating = [name for name in free if 1 < len(set(table.values(name))) <= max(2, len(table.rows) // 2)]
    return _only(named or repeating, "label", "column of labels", table, notes)


def _only(candidates: list[str], word: str, what: str, table: Table, notes: list[str]) -> str:
    if len(candidates) != 1:
        several = f"{len(candidates)} could be: {', '.join(candidates)}" if candidates else "none looks like one"
        raise ReelvecError(
            f"find the {what} in {table.path}",
            f"columns {', '.join(table.columns)}; {several}",
            f"say {word}_column=NAME" + (" (or several, parted by commas)" if word == "label" else ""),
        )
    notes.append(f"guessed: column '{candidates[0]}' is the {what}")
    return candidates[0]


def _file_like(table: Table, name: str) -> bool:
    """Whether most values end like file names; numbers do not, though 0.5 could be a file with the suffix .5."""
    values = table.values(name)
    like = [bool(_FILE.search(value)) and not _NUMBER.fullmatch(value) for value in values]
    return 2 * sum(like) > len(values)
