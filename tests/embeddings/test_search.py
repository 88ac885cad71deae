import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import reelvec
from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.embeddings import Embeddings, embed, search
from reelvec.embeddings.table import Made, make_table, read_made, write_table


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
    expected = [i for i in np.argsort(slow)[::-1] if i != 3]
    found = search(3, tmp_path / "emb.parquet", top=200)
    assert [row["row"] for row in found[:10]] == expected[:10]
    np.testing.assert_allclose([row["similarity"] for row in found], [slow[row["row"]] for row in found], atol=1e-6)
    assert next(row["similarity"] for row in found if row["row"] == 7) == 0


def test_a_table_opened_once_finds_what_the_file_does(
    run: Path, videos: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearest = sys.modules["reelvec.embeddings.nearest"]
    for there in (False, True):
        monkeypatch.setattr(nearest, "_SMALL", 1 if there else 10**9)
        monkeypatch.setattr(nearest, "_bytes_are_faster", lambda dim: True)
        opened = reelvec.open_embeddings(table)
        assert opened.nearest.is_shrunk == there
        for query in (1, videos / "4.mp4"):
            assert search(query, opened, top=3) == search(query, table, top=3)
        assert search(videos / "4.mp4", opened, run=run) == search(videos / "4.mp4", table, run=run)
        first, *others = opened.search(opened.vectors[1], top=3)
        assert (first["row"], first["rank"], first["similarity"]) == (1, 1, pytest.approx(1))
        assert [row["row"] for row in others] == [row["row"] for row in search(1, table, top=2)]
        with pytest.raises(ReelvecError, match="top=0"):
            opened.search(opened.vectors[1], top=0)


def random_table(file: Path, paths: list[str], starts: list[float], seed: int = 0) -> pa.Table:
    vectors = np.random.default_rng(seed).standard_normal((len(paths), 16)).astype(np.float32)
    made = Made(encoder="visual", weights_sha256="0", window_seconds=None, hop_seconds=None, clips=None, videos="")
    table = make_table(paths, starts, [start + 1 for start in starts], vectors, made)
    write_table([table[i : i + 700] for i in range(0, len(paths), 700)], file, made)
    return table


def test_a_query_whose_own_rows_are_many_still_finds_others(tmp_path: Path) -> None:
    """300 rows overlap the query and are nearer than all others."""
    paths = ["/absent/long.mp4"] * 300 + [f"/absent/{i}.mp4" for i in range(40)]
    random_table(tmp_path / "emb.parquet", paths, [0.0] * 340)
    content = Embeddings(tmp_path / "emb.parquet")
    content.vectors[:300] = content.vectors[0] + 0.01 * content.vectors[:300]
    found = search(5, content, top=10)
    assert [row["row"] for row in found] == [
        row["row"] for row in content.search(content.vectors[5], 340) if row["row"] >= 300
    ][:10]


def test_a_video_is_known_by_another_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "other name.mp4").symlink_to(tmp_path / "real" / "a.mp4")
    paths = ["/absent/a.mp4", str(tmp_path / "link" / "a.mp4"), "/absent/ba.mp4"]
    random_table(tmp_path / "emb.parquet", paths, [0.0] * 3)
    content = Embeddings(tmp_path / "emb.parquet")
    for name in ("real/a.mp4", "link/a.mp4", "other name.mp4"):
        assert content.rows_of(tmp_path / name) == [1]
        assert 1 not in [row["row"] for row in search(tmp_path / name, content)]
    assert content.rows_of(tmp_path / "real" / "b.mp4") == []


def test_large_groups_of_rows_and_plain_vectors(tmp_path: Path) -> None:
    paths = [f"/absent/{i}.mp4" for i in range(20_000)]
    table = random_table(tmp_path / "emb.parquet", paths, [0.0] * len(paths))
    file = pq.ParquetFile(tmp_path / "emb.parquet")
    groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [8192, 8192, 3616]
    column = next(c for i in range(6) if (c := groups[0].column(i)).path_in_schema.startswith("vector"))
    assert column.compression == "UNCOMPRESSED"
    assert not any("DICTIONARY" in encoding for encoding in column.encodings)
    assert file.read().equals(table)


def test_files_of_version_0_1_are_read(tmp_path: Path) -> None:
    """Groups of 64 rows, and a vector's numbers might have been null."""
    paths = [f"/absent/{i}.mp4" for i in range(500)]
    table = random_table(tmp_path / "new.parquet", paths, [0.0] * 500)
    then = table.schema.set(3, pa.field("vector", pa.list_(pa.float32())))
    pq.write_table(table.cast(then), tmp_path / "old.parquet", row_group_size=64)
    assert search(17, tmp_path / "old.parquet") == search(17, tmp_path / "new.parquet")
    np.testing.assert_array_equal(Embeddings(tmp_path / "old.parquet").vectors, np.array(table.column("vector").to_pylist()))
    made = read_made(tmp_path / "old.parquet")
    assert made is not None
    write_table([pq.read_table(tmp_path / "old.parquet")], tmp_path / "merged.parquet", made)  # parts of an earlier version
    assert pq.read_table(tmp_path / "merged.parquet").equals(table)


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
