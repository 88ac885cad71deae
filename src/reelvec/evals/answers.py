"""Every single answer behind a table, in a Parquet file beside it: for comparing encoders video by video, and for looking."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reelvec.core import write_whole
from reelvec.evals.outcome import Answers

SCHEMA = pa.schema(
    [
        ("label_column", pa.dictionary(pa.int32(), pa.string())),
        ("row", pa.dictionary(pa.int32(), pa.string())),  # of the table: visual, untrained visual
        ("column", pa.dictionary(pa.int32(), pa.string())),  # of the table: knn, linear
        ("unit", pa.dictionary(pa.int32(), pa.string())),  # path of a test video, "draw 3", "episode 17"
        ("score", pa.float32()),  # 1 for a hit; the mean where several networks of a kind are averaged
        ("label", pa.dictionary(pa.int32(), pa.string())),  # of a test video, else empty
        ("named", pa.dictionary(pa.int32(), pa.string())),  # the class it was given, where a single network gave one
        ("sure", pa.float32()),  # the probability with which, else not a number
        ("group", pa.dictionary(pa.int32(), pa.string())),  # of a test video, where there are groups, else empty
    ]
)

Line = tuple[str, str, str, str, float, str, str, float, str]
ByRow = Mapping[str, Mapping[str, Sequence[Answers]]]
"""row of a table -> column -> the answers of each network that is averaged"""


def answer_lines(
    label_column: str,
    rows: ByRow,
    paths: Sequence[str],
    labels: Sequence[str],
    classes: Sequence[str],
    groups: Sequence[str | None] | None = None,
) -> Iterator[Line]:
    """Yield the lines of one table; `paths`, `labels` and `groups` are of its test videos, `classes` named by their numbers."""
    for row, columns in rows.items():
        for column, several in columns.items():
            first = several[0]
            scores = [sum(values) / len(values) for values in zip(*(one.score.tolist() for one in several), strict=True)]
            alone = len(several) == 1
            named = first.named.tolist() if alone and first.named is not None else None
            sure = first.sure.tolist() if alone and first.sure is not None else None
            for i, score in enumerate(scores):
                unit = paths[i] if first.over == "videos" else f"{first.over[:-1]} {i}"
                label = labels[i] if first.over == "videos" else ""
                group = (groups[i] or "") if groups is not None and first.over == "videos" else ""
                given = classes[named[i]] if named and named[i] >= 0 else ""  # -1: it could not be read
                yield label_column, row, column, unit, score, label, given, sure[i] if sure else math.nan, group


def read_scores(file: Path) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return the score of each unit by (label column, row, column)."""
    table = pq.read_table(file, columns=["label_column", "row", "column", "unit", "score"])
    plain = (table[name].cast(pa.string()).to_pylist() for name in ("label_column", "row", "column", "unit"))
    scores: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for label_column, row, column, unit, score in zip(*plain, table["score"].to_pylist(), strict=True):
        scores[label_column, row, column][unit] = score
    return dict(scores)


def read_groups(file: Path) -> dict[str, str]:
    """Return the group of each test video that has one; none of a file of an earlier version."""
    if "group" not in pq.read_schema(file).names:
        return {}
    table = pq.read_table(file, columns=["unit", "group"])
    groups = dict(zip(*(table[name].cast(pa.string()).to_pylist() for name in ("unit", "group")), strict=True))
    return {unit: group for unit, group in groups.items() if group}


def write_answers(file: Path, lines: Sequence[Line]) -> None:
    """Write the answers of a result's tables, whole or not at all."""
    columns = list(zip(*lines, strict=True)) or [()] * len(SCHEMA)
    arrays = []
    for values, kind in zip(columns, SCHEMA, strict=True):
        plain = pa.string() if pa.types.is_dictionary(kind.type) else kind.type
        array = pa.array(values, plain)
        arrays.append(array.dictionary_encode().cast(kind.type) if plain is not kind.type else array)
    write_whole(file, lambda part: pq.write_table(pa.table(arrays, schema=SCHEMA), part))
