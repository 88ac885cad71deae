"""`reelvec embed`: videos in, a Parquet file of vectors out, in parts that survive being stopped."""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from reelvec.backbones import load_encoder
from reelvec.core import ReelvecError, write_whole
from reelvec.data.index import Index, index
from reelvec.data.streams import check_needs
from reelvec.embeddings.table import Made, fingerprint, make_table, read_made, write_table
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress, Piece, Reader, encoder_reader, extract_in_parts

VIDEOS_IN_PART = 64
"""what a stopped run loses at most is one part"""
_PARTS_AT_ONCE = 256
"""parts that workers are started for: they are handed the index of these videos, once"""

_ROUNDING_SECONDS = 1e-6


def embed(
    run: str | os.PathLike[str],
    videos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    encoder: str = "visual",
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    clips: int | None = None,
    device: str | None = None,
    workers: int = 0,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Write a vector for each video, or for each window sliding over it, to the Parquet file `out`.

    Columns: path, start_seconds, end_seconds, vector (list of float32), encoder, weights_sha256. A vector is the mean of an
    encoder's features over `clips` clips spread evenly over its span (None: as many as lie end to end, 1 to 10).

    Args:
        run: a run folder, or an encoder folder.
        videos: a folder, glob, CSV, index.parquet or list of paths.
        window_seconds: length of a window; None: the whole video is one row. The last window ends with the video.
        hop_seconds: from the start of one window to that of the next; None: one window's length.

    The work is saved in parts in `<out>.parts/`; the same command after a kill computes only what is missing, and a finished
    one nothing. Returns {"out", "videos", "rows", "dim", "encoder", "weights_sha256", "left_out", "computed"}; `computed`
    counts the videos that were read by this call. Raises ReelvecError for a run, videos or settings that do not fit.
    """
    _check_windows(window_seconds, hop_seconds, clips)
    network, card = load_encoder(run, encoder)
    out = Path(out)
    if out.is_dir() or (out.exists() and read_made(out) is None):
        raise ReelvecError(
            f"write embeddings to {out}", "something else of that name", "choose another out=FILE.parquet, or move it away"
        )
    on_device = choose_device(device)
    parts = out.with_name(f"{out.name}.parts")
    probed = index(videos, workers=workers or None)
    check_needs(probed, card.needs)
    rows = probed.usable()
    made = Made(
        encoder=encoder,
        weights_sha256=card.weights_sha256,
        window_seconds=window_seconds,
        hop_seconds=hop_seconds,
        clips=clips,
        videos=fingerprint(probed.paths(rows)),
        left_out={path: reason for path, _, reason in probed.bad()},
    )
    before = read_made(out)
    computed = 0
    if before is None or not before.same_work(made):
        reader = encoder_reader(encoder, network, card, on_device)
        cut = [rows[first : first + VIDEOS_IN_PART] for first in range(0, len(rows), VIDEOS_IN_PART)]
        files = [parts / f"part-{number:05d}.parquet" for number in range(len(cut))]
        missing = [number for number, file in enumerate(files) if not _has(file, _made_of(probed.paths(cut[number]), made))]
        done = len(rows) - sum(len(cut[number]) for number in missing)
        for first in range(0, len(missing), _PARTS_AT_ONCE):
            some = missing[first : first + _PARTS_AT_ONCE]
            videos_of = [cut[number] for number in some]
            shown = _progress_in_videos(on_progress, done, sum(map(len, videos_of)), len(rows))
            _write_parts([files[n] for n in some], reader, probed, videos_of, made, on_device, workers, shown)
            done += sum(map(len, videos_of))
        computed = sum(len(cut[number]) for number in missing)
        _merge(files, out, made)
    shutil.rmtree(parts, ignore_errors=True)
    made_now = read_made(out)
    assert made_now is not None
    content = pq.ParquetFile(out)
    first_row = next(content.iter_batches(1, columns=["vector"]))
    return {
        "out": str(out),
        "videos": len(rows),
        "rows": content.metadata.num_rows,
        "dim": len(first_row.column("vector")[0]),
        "encoder": encoder,
        "weights_sha256": card.weights_sha256,
        "left_out": [{"path": path, "reason": reason} for path, reason in sorted(made_now.left_out.items())],
        "computed": computed,
    }


def windows(duration_seconds: float, window_seconds: float | None, hop_seconds: float | None) -> list[tuple[float, float]]:
    """Return start and end of the windows that slide over a video; at least one, and the last one ends with the video."""
    if window_seconds is None or duration_seconds <= window_seconds + _ROUNDING_SECONDS:
        return [(0.0, duration_seconds)]
    hop = hop_seconds or window_seconds
    many = int((duration_seconds - window_seconds) / hop + _ROUNDING_SECONDS) + 1
    starts = [i * hop for i in range(many)]
    if starts[-1] + window_seconds < duration_seconds - _ROUNDING_SECONDS:
        starts.append(duration_seconds - window_seconds)
    return [(start, min(start + window_seconds, duration_seconds)) for start in starts]


def _check_windows(window_seconds: float | None, hop_seconds: float | None, clips: int | None) -> None:
    for name, value in (("window_seconds", window_seconds), ("hop_seconds", hop_seconds), ("clips", clips)):
        if value is not None and not value > 0:
            raise ReelvecError(f"embed with {name}={value}", "lengths, which are above 0", f"give {name} above 0")
    if hop_seconds is not None and window_seconds is None:
        raise ReelvecError(f"embed with hop_seconds={hop_seconds}", "no window that could hop", "give window_seconds= as well")


def _progress_in_videos(on_progress: OnProgress | None, before: int, videos: int, total: int) -> OnProgress | None:
    """Count in videos of the whole work, though spans are what is read."""
    if on_progress is None:
        return None
    return lambda done, spans, text: on_progress(before + done * videos // max(spans, 1), total, text)


def _made_of(paths: Sequence[str], made: Made) -> Made:
    """Return what a part of these videos says of itself."""
    return made.model_copy(update={"videos": fingerprint(paths), "left_out": {}})


def _has(file: Path, made: Made) -> bool:
    """Whether a file holds this part already, whole."""
    before = read_made(file)
    return before is not None and before.same_work(made)


def _write_parts(
    files: Sequence[Path],
    reader: Reader,
    probed: Index,
    videos_of: Sequence[np.ndarray],
    made: Made,
    device: torch.device,
    workers: int,
    on_progress: OnProgress | None,
) -> None:
    """Write the vectors of some parts' videos, a part at a time.

    They have an index of their own: workers are handed the rows that they read, not those of all videos.
    """
    ours = probed.part(np.concatenate(videos_of))
    pieces_of, first = [], 0
    for videos in videos_of:
        of_rows = [ours.row(row) for row in range(first, first + len(videos))]
        pieces_of.append([
            Piece(row.row, start, end)
            for row in of_rows
            for start, end in windows(row.duration_seconds, made.window_seconds, made.hop_seconds)
        ])  # fmt: skip
        first += len(videos)
    read_of = extract_in_parts(
        reader, ours, pieces_of, clips=made.clips, device=device, workers=workers, on_progress=on_progress
    )
    with closing(read_of):  # its workers end whatever happens here
        for file, videos, pieces, read in zip(files, videos_of, pieces_of, read_of, strict=True):
            vectors = read.vectors.get(reader.name, np.zeros((len(pieces), 0), np.float32))[read.found]
            kept = [piece for piece, found in zip(pieces, read.found, strict=True) if found]
            table = make_table(
                [ours.row(piece.row).path for piece in kept],
                [piece.start_seconds for piece in kept],
                [piece.end_seconds for piece in kept],
                vectors,
                _made_of(probed.paths(videos), made).model_copy(update={"left_out": read.left_out}),
            )
            write_whole(file, partial(pq.write_table, table))


def _merge(files: Sequence[Path], out: Path, made: Made) -> None:
    """Write all parts into one file, few parts in memory at a time; whole or not at all."""
    left_out = dict(made.left_out)
    for file in files:
        part = read_made(file)
        left_out |= part.left_out if part else {}
    if not sum(pq.read_metadata(file).num_rows for file in files):
        path, reason = next(iter(left_out.items()))
        raise ReelvecError(f"embed {len(left_out)} videos", f"none can be read; {path}: {reason}", "run `reelvec index`")
    merged = made.model_copy(update={"left_out": left_out})
    write_whole(out, lambda target: write_table(map(pq.read_table, files), target, merged))
