"""`reelvec search`: the videos nearest to one, by exact cosine."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from reelvec.backbones import load_encoder
from reelvec.core import ReelvecError
from reelvec.core.shapes import Float
from reelvec.data.index import index
from reelvec.embeddings.contact_sheet import SheetRow, write_contact_sheet
from reelvec.embeddings.table import Embeddings
from reelvec.engine.device import choose_device
from reelvec.engine.extract import encoder_reader, extract, whole_videos

_MORE = 32
"""rows looked at beyond those wanted: the query may be among them, once for each window that overlaps it"""


def search(
    query: str | os.PathLike[str] | int,
    embeddings: str | os.PathLike[str] | Embeddings,
    *,
    top: int = 10,
    run: str | os.PathLike[str] | None = None,
    sheet: str | os.PathLike[str] | None = None,
    device: str | None = None,
) -> list[dict[str, Any]]:
    """Find the rows of a file of embeddings that are nearest to a video, or to one of its rows.

    Args:
        query: path of a video, embedded whole by the encoder of `run` that made the table; or a row's number, from 0. A video
            that has one row in the table needs no run.
        embeddings: the file, read anew at every call; or what `open_embeddings` returned, for many searches.
        sheet: write a PNG with frames of the query and of each neighbour.

    Returns rows {"rank", "row", "path", "start_seconds", "end_seconds", "similarity"}, nearest first. The query does not find
    itself: rows of its file that overlap its span are passed over.
    Raises ReelvecError for a query that is no video or no row, or an encoder that did not make the table.
    """
    if top < 1:
        raise ReelvecError(f"search with top={top}", "neighbours, of which at least one is wanted", "use top=1 or more")
    table = embeddings if isinstance(embeddings, Embeddings) else Embeddings(embeddings)
    if isinstance(query, int):
        vector, asked = _row_of(query, table)
    else:
        vector, asked = _vector_of(Path(query), table, run, device)
    found = _others(vector, asked, table, top)
    if sheet is not None:
        rows = [SheetRow(row["path"], row["start_seconds"], row["end_seconds"], row["similarity"]) for row in found]
        write_contact_sheet(Path(sheet), SheetRow(asked["path"], asked["start_seconds"], asked["end_seconds"]), rows)
    return found


def _others(vector: Float[np.ndarray, "d"], asked: dict[str, Any], table: Embeddings, top: int) -> list[dict[str, Any]]:
    """Return the nearest rows that are not the query itself; paths are looked at only where they were found."""
    itself = _Itself(asked)
    many = top + _MORE
    while True:
        rows, cosines = table.nearest.find(vector, many)
        keep = np.array([not itself.overlaps(table.row(int(row))) for row in rows], dtype=bool)
        if keep.sum() >= top or many >= len(table):
            return table.described(rows[keep][:top], cosines[keep][:top])
        many *= 8


class _Itself:
    """What a query passes over: spans of its own file that overlap its own."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked
        self.real = os.path.realpath(asked["path"])
        self.names = {os.path.basename(asked["path"]), os.path.basename(self.real)}
        self.same: dict[str, bool] = {}

    def overlaps(self, row: dict[str, Any]) -> bool:
        if row["start_seconds"] >= self.asked["end_seconds"] or row["end_seconds"] <= self.asked["start_seconds"]:
            return False
        path = row["path"]
        if path not in self.same:
            # a link is followed only where the name is the same: far disks answer slowly
            self.same[path] = os.path.basename(path) in self.names and os.path.realpath(path) == self.real
        return self.same[path]


def _row_of(number: int, table: Embeddings) -> tuple[np.ndarray, dict[str, Any]]:
    if not 0 <= number < len(table):
        raise ReelvecError(
            f"search with row {number} of {table.path}", f"rows 0 to {len(table) - 1}", "give one of these numbers"
        )
    return table.vectors[number], table.row(number)


def _vector_of(
    query: Path, table: Embeddings, run: str | os.PathLike[str] | None, device: str | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Embed a video by the table's encoder, as the table's videos were."""
    asked = f"search with {query}"
    if not query.exists():
        raise ReelvecError(asked, "no such file", "give the path of a video, or the number of a row")
    if run is None:
        rows = table.rows_of(query)
        if len(rows) == 1:
            return _row_of(rows[0], table)
        raise ReelvecError(
            f"{asked} in {table.path}",
            f"{len(rows) or 'no'} rows of that video, and no run to embed it with",
            "add run=RUN (--run RUN), or give the number of a row",
        )
    encoder, card = load_encoder(run, table.made.encoder)
    if card.weights_sha256 != table.made.weights_sha256:
        raise ReelvecError(
            f"{asked} in {table.path}",
            f"embeddings of other weights ({table.made.weights_sha256[:12]}) than those of {run} ({card.weights_sha256[:12]}, "
            f"step {card.step})",
            "use the run that made the table, or embed the videos again with this one",
        )
    if query.is_dir():
        raise ReelvecError(asked, "a folder", "give the path of one video")
    try:
        probed = index([query], workers=0)
    except ReelvecError as error:
        raise ReelvecError(asked, error.there, "give the path of a video") from error
    row = probed.row(0)
    on_device = choose_device(device)
    reader = encoder_reader("query", encoder, card, on_device)
    read = extract([reader], probed, whole_videos(probed, [0]), clips=table.made.clips, device=on_device)
    if not read.found[0]:
        raise ReelvecError(asked, f"a file that cannot be decoded: {next(iter(read.left_out.values()))}", "try another video")
    return read.vectors["query"][0], {"path": row.path, "start_seconds": 0.0, "end_seconds": row.duration_seconds}
