"""How long a search takes among a million vectors, and how much of decoding's speed is left when videos are embedded.

    python benchmarks/search.py
    python benchmarks/search.py --vectors 100000 --out FILE.json

Search: random unit vectors of 512 numbers in a file as `reelvec embed` writes it. Queries are random rows, with ten neighbours.

- floor: one product of matrix and vector and the choice of the ten largest, by NumPy, with the vectors in memory.
- faiss: IndexFlatIP, exact as well, with the vectors in memory.
- opened once: `reelvec.search(row, table)` and `table.search(vector)` with table = reelvec.open_embeddings(file).
- reelvec.search: the call as a user makes it with the name of a file, which is opened anew; "open" is that part by itself.

The table beside it says what opening the file once takes, and what memory the process had at most (Linux).

Each number of threads has a process of its own. p50 and p95 are over the queries.

Embedding: `reelvec.embed` of videos of 240 and of 720 lines beside bare decoding of the frames it needs and beside reading
them, one thread.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from measuring import (
    Row,
    absent,
    arguments,
    finish,
    machine,
    memory_mib,
    moving_frames,
    one_thread,
    rate,
    ratio,
    table,
    take_turns,
    write_video,
)

TOP = 10


def write_embeddings(file: Path, vectors: int, dim: int) -> None:
    """Write random unit vectors in parts, as embed does."""
    from reelvec.embeddings.embed import VIDEOS_IN_PART
    from reelvec.embeddings.table import Made, make_table, write_table

    made = Made(encoder="visual", weights_sha256="0" * 64, window_seconds=None, hop_seconds=None, clips=None, videos="0" * 64)
    rng = np.random.default_rng(0)

    def parts() -> Iterator[pa.Table]:
        for first in range(0, vectors, VIDEOS_IN_PART):
            many = min(VIDEOS_IN_PART, vectors - first)
            part = rng.standard_normal((many, dim), np.float32)
            part /= np.linalg.norm(part, axis=1, keepdims=True)
            paths = [f"videos/{number % 1000:03d}/clip_{number:08d}.mp4" for number in range(first, first + many)]
            yield make_table(paths, [0.0] * many, [10.0] * many, part, made)

    write_table(parts(), file, made)


def one_process(file: Path, queries: int) -> None:
    """Time everyone with the threads that the environment allows; prints JSON. Runs in a process of its own."""
    from reelvec.embeddings import Embeddings, open_embeddings, search

    began = time.perf_counter()
    opened = open_embeddings(file)
    opening = {
        "opened in, s": round(time.perf_counter() - began, 2),
        "with a copy in 8 bits": opened.nearest.is_shrunk,
        "MiB at most": round(memory_mib("VmHWM")),
    }
    vectors = opened.vectors
    asked = np.random.default_rng(1).integers(0, len(vectors), queries + 1).tolist()

    def floor(row: int) -> set[int]:
        similarity = vectors @ vectors[row]
        similarity[row] = -2  # a query does not find itself
        return set(np.argpartition(-similarity, TOP)[:TOP].tolist())

    def rows(found: list[dict[str, Any]]) -> set[int]:
        return {row["row"] for row in found}

    ways: dict[str, Callable[[int], Any]] = {"floor": floor}
    if not absent(["faiss-cpu"]):
        import faiss

        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        ways["faiss"] = lambda row: set(flat.search(vectors[row : row + 1], TOP + 1)[1][0].tolist()) - {row}
    ways["opened once, reelvec.search"] = lambda row: rows(search(row, opened, top=TOP))
    ways["opened once, table.search"] = lambda row: rows(opened.search(vectors[row], TOP + 1)) - {row}
    ways["reelvec.search"] = lambda row: rows(search(row, file, top=TOP))
    ways["of it, open"] = lambda row: Embeddings(file)
    same = {who: way(asked[0]) == floor(asked[0]) for who, way in ways.items() if not who.startswith("of it")}
    following = {who: iter(asked) for who in ways}
    seconds = take_turns({who: partial(lambda who: ways[who](next(following[who])), who) for who in ways}, queries)
    print(json.dumps({"seconds": seconds, "same": same, "opening": opening}))


def measure_search(file: Path, queries: int, threads: int) -> tuple[list[Row], Row]:
    """Return a line for each way to search, and one about opening the file once."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    command = [sys.executable, __file__, "--one-process", str(file), "--queries", str(queries)]
    run = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout)
    seconds: dict[str, list[float]] = run["seconds"]
    searches: list[Row] = [
        {
            "threads": threads,
            "what": who,
            "p50, ms": float(f"{1000 * np.percentile(taken, 50):.4g}"),
            "p95, ms": float(f"{1000 * np.percentile(taken, 95):.4g}"),
            "over the floor": ratio(taken, seconds["floor"]),
            "the same ten": {True: "yes", False: "no"}.get(run["same"].get(who)),
        }
        for who, taken in seconds.items()
    ]
    return searches, {"threads": threads, **run["opening"]}


def measure_embed(folder: Path, videos: int, height: int, rounds: int) -> list[Row]:
    """Return a line for each encoder: videos a second, and what is left of the speed of decoding such files."""
    folder.mkdir()
    from reading import by_floor, by_reelvec, request_of

    from reelvec.backbones import build_encoder, save_encoder
    from reelvec.core import EncoderCard, Needs, Stream, StreamNeed
    from reelvec.data.clips import even_starts
    from reelvec.data.index import index
    from reelvec.data.streams import span_seconds
    from reelvec.embeddings import embed
    from reelvec.engine.extract import clips_of
    from reelvec.views import ViewConfig

    needs = Needs(streams=(StreamNeed(stream=Stream.RGB, frames=8, stride=4),), clips=1, short_side=128)
    width = height * 16 // 9 // 2 * 2
    effort = {"preset": "ultrafast"} if rounds == 1 else {}
    paths = [
        write_video(folder / f"{seed}.mp4", moving_frames(width, height, 60 if rounds == 1 else 300, seed), gop=48, **effort)
        for seed in range(videos)
    ]
    found = index(paths, folder / "index.parquet", workers=0)
    requests = []
    for row in map(found.row, range(videos)):
        span = span_seconds(needs, row)
        starts = even_starts(clips_of(row.duration_seconds, span, None), row.duration_seconds, span)
        requests.append(request_of(found, needs, row.row, tuple(starts.tolist())))

    def embed_with(encoder: Path) -> None:
        out = folder / "vectors.parquet"
        out.unlink(missing_ok=True)
        embed(encoder, folder / "index.parquet", out, device="cpu")

    work: dict[str, Callable[[], Any]] = {
        "floor: decoding": lambda: [by_floor(request) for request in requests],
        "reading": lambda: [by_reelvec(request) for request in requests],
    }
    for name in ("tiny", "r3d_18"):
        encoder = build_encoder(name, 3)
        card = EncoderCard.visual(encoder, needs, ViewConfig(size=112), "rho_moco")
        save_encoder(folder / name, "visual", encoder, card)
        work[f"embed, {name}"] = partial(embed_with, folder / name)
    seconds = take_turns(work, rounds)
    return [
        {
            "lines": height,
            "what": name,
            "videos a second": rate(videos, taken),
            "frames a second": rate(sum(request.wanted.size for request in requests), taken),
            "of the floor's speed": ratio(seconds["floor: decoding"], taken),
        }
        for name, taken in seconds.items()
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--vectors", type=int, help="rows of the file (default: 1000000)")
    parser.add_argument("--dim", type=int, default=512, help="numbers of a vector (default: 512)")
    parser.add_argument("--queries", type=int, help="searches of each (default: 30)")
    parser.add_argument("--one-process", type=Path, help="what this script calls itself for")
    given = parser.parse_args(argv)
    given.queries = given.queries or (2 if given.quick else 30)
    if given.one_process:
        return one_process(given.one_process, given.queries)
    given.rounds = given.rounds or (1 if given.quick else 5)
    given.vectors = given.vectors or (2000 if given.quick else 1_000_000)
    one_thread()
    described = machine("reelvec", "numpy", "torch", "pyarrow", "faiss-cpu")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "embeddings.parquet"
        write_embeddings(file, given.vectors, given.dim)
        by_threads = [measure_search(file, given.queries, threads) for threads in (1, 2)]
        file.unlink()
        videos, heights = (1, [90]) if given.quick else (4, [240, 720])
        embedding = [
            row for height in heights for row in measure_embed(Path(folder, f"{height}"), videos, height, given.rounds)
        ]
    among = f"among {given.vectors:,} vectors of {given.dim}".replace(",", " ")
    tables = [
        table(f"Search {among}", "Milliseconds a query.", [row for searches, _ in by_threads for row in searches]),
        table(f"To search often {among}", "`reelvec.open_embeddings`.", [opening for _, opening in by_threads]),
        table("Embedding", "Videos of so many lines on one core; every frame of theirs that the encoder needs.", embedding),
    ]
    finish("search", given, described, tables, absent(["faiss-cpu"]))


if __name__ == "__main__":
    main()
