import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reelvec.backbones import build_encoder, load_encoder, save_encoder
from reelvec.core import Clips, EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.index import Index, index
from reelvec.data.streams import read_clips
from reelvec.embeddings import Embeddings, embed
from reelvec.embeddings.embed import windows
from reelvec.views import centre_view, normalise

embed_module = sys.modules["reelvec.embeddings.embed"]  # by attribute one gets the function of that name


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


@pytest.fixture
def videos(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Five videos of one to three seconds, and one that is cut short."""
    for i in range(5):
        make_video(tmp_path / "videos" / f"{i}.mp4", frames=24 + 12 * i, size=(48 + 8 * i, 40))
    (tmp_path / "videos" / "broken.mp4").write_bytes((tmp_path / "videos" / "1.mp4").read_bytes()[:400])
    return tmp_path / "videos"


def test_a_row_for_each_video(run: Path, videos: Path, tmp_path: Path) -> None:
    got = embed(run, videos, tmp_path / "emb.parquet")
    table = pq.read_table(tmp_path / "emb.parquet")
    assert table.column_names == ["path", "start_seconds", "end_seconds", "vector", "encoder", "weights_sha256"]
    assert table.column("path").to_pylist() == [str(videos / f"{i}.mp4") for i in range(5)]
    assert table.column("end_seconds").to_pylist() == pytest.approx([1, 1.5, 2, 2.5, 3])
    assert {len(vector) for vector in table.column("vector").to_pylist()} == {128} == {got["dim"]}
    assert set(table.column("weights_sha256").to_pylist()) == {load_encoder(run)[1].weights_sha256}
    assert (got["videos"], got["rows"], got["computed"]) == (5, 5, 5)
    assert [Path(left["path"]).name for left in got["left_out"]] == ["broken.mp4"]
    assert not (tmp_path / "emb.parquet.parts").exists()


def test_a_vector_is_the_mean_over_evenly_spaced_clips(run: Path, videos: Path, tmp_path: Path) -> None:
    """The slow way: one clip after the other, straight from the file."""
    embed(run, [videos / "2.mp4"], tmp_path / "emb.parquet", clips=3)
    got = Embeddings(tmp_path / "emb.parquet").vectors[0]
    encoder, card = load_encoder(run)
    row = index([videos / "2.mp4"], workers=0).row(0)
    vectors = []
    for start in (0.0, (2 - 8 / 24) / 2, 2 - 8 / 24):
        clip = read_clips(row, card.needs, [start])[Stream.RGB]
        batch = torch.from_numpy(clip)[None]
        size = torch.tensor([batch.shape[-2:]])
        with torch.inference_mode():
            vectors.append(encoder.features(normalise(centre_view(Clips(batch, size), 32), card.mean, card.std))[0].numpy())
    np.testing.assert_allclose(got, np.mean(vectors, 0), rtol=1e-4, atol=1e-6)


def test_windows_of_a_file(run: Path, videos: Path, tmp_path: Path) -> None:
    embed(run, [videos / "4.mp4"], tmp_path / "emb.parquet", window_seconds=1.0, hop_seconds=0.8)
    table = Embeddings(tmp_path / "emb.parquet")
    assert table.start_seconds.tolist() == pytest.approx([0, 0.8, 1.6, 2])
    assert table.end_seconds.tolist() == pytest.approx([1, 1.8, 2.6, 3])
    assert not np.allclose(table.vectors[0], table.vectors[3])


def test_a_stopped_run_goes_on_and_a_finished_one_rests(
    run: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embed(run, videos, tmp_path / "whole.parquet")
    monkeypatch.setattr(embed_module, "VIDEOS_IN_PART", 2)
    out = tmp_path / "emb.parquet"
    real = embed_module.extract_in_parts

    def dies_at_the_third(*arguments: object, **keywords: object) -> Iterator[object]:
        yield from itertools.islice(real(*arguments, **keywords), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(embed_module, "extract_in_parts", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        embed(run, videos, out)
    assert not out.exists()
    parts = sorted((tmp_path / "emb.parquet.parts").iterdir())
    assert [part.name for part in parts] == ["part-00000.parquet", "part-00001.parquet"]
    monkeypatch.setattr(embed_module, "extract_in_parts", real)
    parts[1].write_bytes(parts[1].read_bytes()[:-50])  # a part that a full disk cut short is not believed
    assert embed(run, videos, out)["computed"] == 3
    assert embed(run, videos, out)["computed"] == 0
    first, second = Embeddings(tmp_path / "whole.parquet"), Embeddings(out)
    assert first.paths == second.paths
    np.testing.assert_allclose(first.vectors, second.vectors, rtol=1e-4, atol=1e-6)
    assert whole["rows"] == len(second)


def test_workers_are_started_once_for_many_parts_and_handed_their_rows_alone(
    run: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers write what they are handed to TMPDIR: the index of a million videos for each part would be too much."""
    monkeypatch.setattr(embed_module, "VIDEOS_IN_PART", 1)
    monkeypatch.setattr(embed_module, "_PARTS_AT_ONCE", 3)
    real, handed = embed_module.extract_in_parts, []

    def counting(reader: object, index: Index, parts: list, **keywords: object) -> Iterator[object]:
        handed.append(([Path(index.row(row).path).name for row in range(len(index))], len(parts)))
        return real(reader, index, parts, **keywords)

    monkeypatch.setattr(embed_module, "extract_in_parts", counting)
    embed(run, videos, tmp_path / "emb.parquet", workers=1)
    assert handed == [(["0.mp4", "1.mp4", "2.mp4"], 3), (["3.mp4", "4.mp4"], 2)]
    assert [Path(path).name for path in Embeddings(tmp_path / "emb.parquet").paths] == [f"{i}.mp4" for i in range(5)]


def test_killed_it_leaves_whole_parts_and_goes_on(
    run: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 as soon as a part is there."""
    out, parts = tmp_path / "emb.parquet", tmp_path / "emb.parquet.parts"
    program = (
        "import sys; from reelvec.embeddings import embed; m = sys.modules['reelvec.embeddings.embed']; m.VIDEOS_IN_PART = 1;"
    )
    process = subprocess.Popen([sys.executable, "-c", f"{program} embed(*{[str(run), str(videos), str(out)]})"])
    until = time.monotonic() + 120
    while not list(parts.glob("part-*.parquet")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not out.exists()
    there = len(list(parts.glob("part-*.parquet")))
    assert there >= 1
    monkeypatch.setattr(embed_module, "VIDEOS_IN_PART", 1)
    assert embed(run, videos, out)["computed"] == 5 - there
    monkeypatch.undo()
    embed(run, videos, tmp_path / "whole.parquet")
    first, second = Embeddings(tmp_path / "whole.parquet"), Embeddings(out)
    assert first.paths == second.paths
    np.testing.assert_allclose(first.vectors, second.vectors, rtol=1e-4, atol=1e-6)


def test_other_settings_or_changed_videos_are_computed_again(
    run: Path, videos: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    out = tmp_path / "emb.parquet"
    assert embed(run, videos, out)["computed"] == 5
    assert embed(run, videos, out, clips=1)["computed"] == 5
    make_video(videos / "5.mp4", frames=10)
    assert embed(run, videos, out, clips=1)["computed"] == 6


def test_progress_counts_videos(run: Path, videos: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    embed(run, videos, tmp_path / "emb.parquet", on_progress=lambda done, total, text: seen.append((done, total)))
    assert seen[-1] == (5, 5)
    assert seen == sorted(seen)


@given(st.floats(0.1, 500), st.floats(0.05, 60), st.none() | st.floats(0.05, 60))
def test_windows_cover_the_video_and_stay_inside(duration: float, window: float, hop: float | None) -> None:
    got = windows(duration, window, hop)
    assert got[0][0] == 0
    assert got[-1][1] == pytest.approx(duration)
    assert all(0 <= start < end <= duration + 1e-9 for start, end in got)
    assert all(end - start == pytest.approx(min(window, duration)) for start, end in got)
    assert all(before < after for (before, _), (after, _) in pairwise(got))


def test_a_whole_video_is_one_window() -> None:
    assert windows(3.2, None, None) == [(0.0, 3.2)]
    assert windows(3.0, 1.0, None) == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window_seconds": 0.0}, "window_seconds=0"),
        ({"window_seconds": 1.0, "hop_seconds": -1.0}, "hop_seconds=-1"),
        ({"hop_seconds": 1.0}, "no window that could hop"),
        ({"clips": 0}, "clips=0"),
        ({"encoder": "motion"}, "visual"),
    ],
)
def test_bad_arguments(run: Path, tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(ReelvecError, match=message):
        embed(run, tmp_path, tmp_path / "emb.parquet", **arguments)


def test_a_file_of_something_else_is_not_overwritten(run: Path, videos: Path, tmp_path: Path) -> None:
    precious = tmp_path / "labels.csv"
    precious.write_text("path,label\n")
    with pytest.raises(ReelvecError, match="something else of that name"):
        embed(run, videos, precious)
    assert precious.read_text() == "path,label\n"


def test_nothing_to_embed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    with pytest.raises(ReelvecError):
        embed(run, tmp_path / "videos", tmp_path / "emb.parquet")
    (tmp_path / "videos" / "x.mp4").write_bytes(b"no video")
    with pytest.raises(ReelvecError, match=r"x\.mp4"):
        embed(run, tmp_path / "videos", tmp_path / "emb.parquet")
