from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.embeddings import Embeddings, embed, search
from reelvec.embeddings.search import cosine
from reelvec.embeddings.table import Made, make_table


def save(folder: Path, seed: int) -> Path:
    card = EncoderCard(
        name="visual",
        architecture="set when saved",
        channels=3,
        needs=Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=2),), clips=1, short_side=32),
        size=32,
        mean=(0.4,) * 3,
        std=(0.25,) * 3,
        method="none",
        step=3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_encoder(folder / "encoder", "visual", build_encoder("tiny"), card)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("run"), 1)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Three red and three blue videos."""
    folder = tmp_path_factory.mktemp("videos")
    for i in range(6):
        colour = (200 - 10 * i, 40, 40) if i < 3 else (40, 40, 200 - 10 * i)
        make_video(folder / f"{i}.mp4", frames=24, picture=lambda n, colour=colour: np.full((48, 64, 3), colour, np.uint8))
    return folder


@pytest.fixture(scope="session")
def table(run: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("table") / "emb.parquet"
    embed(run, videos, out)
    return out


@pytest.fixture(scope="session")
def windows(run: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("windows") / "emb.parquet"
    embed(run, videos, out, window_seconds=0.5, hop_seconds=0.25)
    return out


def names(found: list[dict]) -> list[str]:
    return [Path(row["path"]).name for row in found]


def test_a_row_finds_its_own_colour_and_not_itself(table: Path) -> None:
    found = search(1, table, top=2)
    assert set(names(found)) == {"0.mp4", "2.mp4"}
    assert [row["rank"] for row in found] == [1, 2]
    assert set(found[0]) == {"rank", "row", "path", "start_seconds", "end_seconds", "similarity"}
    assert 1 >= found[0]["similarity"] >= found[1]["similarity"]


def test_a_video_is_embedded_by_the_run_and_equals_its_row(run: Path, videos: Path, table: Path) -> None:
    by_row, by_video = search(4, table), search(videos / "4.mp4", table, run=run)
    assert names(by_row) == names(by_video)
    assert [r["similarity"] for r in by_row] == pytest.approx([r["similarity"] for r in by_video], abs=1e-4)
    assert len(by_row) == 5
    assert names(search(videos / "4.mp4", table)) == names(by_row)  # its row is in the table: no run needed


def test_a_window_finds_other_windows_of_its_file_that_do_not_overlap(windows: Path) -> None:
    content = Embeddings(windows)
    found = search(0, windows, top=len(content))
    own = [row for row in found if row["path"] == content.paths[0]]
    assert [row["start_seconds"] for row in own] == pytest.approx([0.5])
    assert len(found) == len(content) - 2


def test_cosine_is_exact_and_zero_vectors_are_not_near(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 16)).astype(np.float32)
    vectors[7] = 0
    made = Made(encoder="visual", weights_sha256="0", window_seconds=None, hop_seconds=None, clips=None, videos="")
    paths = [f"/absent/{i}.mp4" for i in range(200)]
    pq.write_table(make_table(paths, [0.0] * 200, [1.0] * 200, vectors, made), tmp_path / "emb.parquet")
    slow = [float(v.astype(float) @ vectors[3] / max(np.linalg.norm(v) * np.linalg.norm(vectors[3]), 1e-12)) for v in vectors]
    np.testing.assert_allclose(cosine(vectors[3], vectors), slow, atol=1e-6)
    expected = [i for i in np.argsort(slow)[::-1] if i != 3][:10]
    assert [row["row"] for row in search(3, tmp_path / "emb.parquet")] == expected


def test_sheet(table: Path, tmp_path: Path) -> None:
    search(0, table, top=3, sheet=tmp_path / "deep" / "sheet.png")
    picture = cv2.imread(str(tmp_path / "deep" / "sheet.png"))[..., ::-1]
    assert picture.shape[2] == 3
    red, blue = (np.abs(picture.astype(int) - colour).sum(2) < 40 for colour in ((200, 40, 40), (40, 40, 170)))
    rows_of_red = np.flatnonzero(red.any(1))
    assert rows_of_red.min() < 40  # the query, on top
    assert blue.any()  # the third neighbour of a red video can only be blue


def test_sheet_of_videos_that_are_gone(table: Path, videos: Path, tmp_path: Path) -> None:
    """The table may be older than the files."""
    content = pq.read_table(table)
    paths = content.column("path").to_pylist()
    paths[1] = "/absent/videos/1.mp4"
    moved = content.set_column(0, "path", [paths])
    pq.write_table(moved, tmp_path / "emb.parquet")
    search(0, tmp_path / "emb.parquet", sheet=tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_bad_queries(run: Path, table: Path, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    other = save(tmp_path / "other", 2)
    outside = tmp_path / "outside.mp4"
    outside.write_bytes((videos / "0.mp4").read_bytes())
    for query, arguments, message in (
        (tmp_path / "absent.mp4", {"run": run}, "no such file"),
        (tmp_path / "text.mp4", {"run": run}, "give the path of a video"),
        (tmp_path, {"run": run}, "a folder"),
        (outside, {}, "no rows of that video, and no run"),
        (6, {}, "rows 0 to 5"),
        (-1, {}, "rows 0 to 5"),
        (0, {"top": 0}, "top=0"),
        (0, {"sheet": tmp_path / "sheet.jpg"}, "sheets are PNG files"),
        (videos / "0.mp4", {"run": other}, "embeddings of other weights"),
        (videos / "0.mp4", {"run": tmp_path / "absent"}, "no such folder"),
    ):
        with pytest.raises(ReelvecError, match=message):
            search(query, table, **arguments)


def test_bad_embeddings(tmp_path: Path, table: Path) -> None:
    with pytest.raises(ReelvecError, match="no such file"):
        search(0, tmp_path / "absent.parquet")
    pq.write_table(pq.read_table(table).replace_schema_metadata({}), tmp_path / "other.parquet")
    with pytest.raises(ReelvecError, match="did not write"):
        search(0, tmp_path / "other.parquet")
    (tmp_path / "cut.parquet").write_bytes(table.read_bytes()[:200])
    with pytest.raises(ReelvecError, match="did not write"):
        search(0, tmp_path / "cut.parquet")
