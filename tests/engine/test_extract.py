import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from reelvec.core import Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.decode import Decoded
from reelvec.data.index import Index, VideoRow, index
from reelvec.engine.extract import Piece, Reader, clips_of, extract, extract_in_parts, whole_videos

extract_module = sys.modules["reelvec.engine.extract"]

CPU = torch.device("cpu")


def needs(stream: Stream = Stream.RGB, frames: int = 4, **more: object) -> Needs:
    need = StreamNeed(stream=stream, frames=frames, stride=1, **more)
    return Needs(streams=(need,), clips=1, short_side=32)


def mean_of_frames(frames: torch.Tensor) -> torch.Tensor:
    return 255 * frames.mean((2, 3, 4))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Index:
    """Four videos of 1 to 4 seconds; the red of frame n is 5 n."""
    folder = tmp_path_factory.mktemp("videos")

    def picture(number: int) -> np.ndarray:
        return np.full((32, 32, 3), (min(5 * number, 255), 60, 60), np.uint8)

    paths = [make_video(folder / f"{i}.mp4", frames=12 * (i + 1), rate=12, size=(32, 32), picture=picture) for i in range(4)]
    return index(paths, workers=0)


def test_a_vector_is_the_mean_over_the_clips_of_its_piece(videos: Index) -> None:
    pieces = [Piece(3, 0.0, 4.0), Piece(3, 1.0, 2.0), Piece(1, 0.0, 2.0)]
    got = extract([Reader("mean", needs(), 32, mean_of_frames)], videos, pieces, clips=3, device=CPU)
    # frames 0-3, 22-25, 44-47; 12-15, 16-19, 20-23; 0-3, 10-13, 20-23
    expected = [5 * 23.5, 5 * 17.5, 5 * 11.5]
    np.testing.assert_allclose(got.vectors["mean"][:, 0], expected, atol=6)  # the codec rounds
    assert got.found.all()
    assert not got.left_out


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The frames of each opening of a file."""
    streams = sys.modules["reelvec.data.streams"]
    real, calls = streams.decode_frames, []

    def counted(row: VideoRow, wanted: Sequence[int], *size: int, **more: bool) -> Decoded:
        calls.append(list(wanted))
        return real(row, wanted, *size, **more)

    monkeypatch.setattr(streams, "decode_frames", counted)
    return calls


def test_windows_that_overlap_share_the_frames(
    videos: Index, decoded: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """31 windows of 1 s, a tenth of it apart, of a video of 48 frames."""
    pieces = [Piece(3, i / 10, 1 + i / 10) for i in range(31)]
    reader = Reader("mean", needs(), 32, mean_of_frames)
    together = extract([reader], videos, pieces, clips=3, device=CPU)
    assert len(decoded) == 1
    assert decoded[0] == sorted(set(decoded[0]))
    monkeypatch.setattr(extract_module, "_SECONDS_OF_JOB", 0.0)
    monkeypatch.setattr(extract_module, "_CLIPS_AT_ONCE", 3)
    decoded.clear()
    alone = extract([reader], videos, pieces, clips=3, device=CPU)
    assert len(decoded) == 31
    np.testing.assert_allclose(together.vectors["mean"], alone.vectors["mean"], rtol=1e-6)


def test_what_is_read_at_once_is_bounded(videos: Index, decoded: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def vectors(frames: torch.Tensor) -> torch.Tensor:
        seen.append(len(frames))
        return mean_of_frames(frames)

    pieces = [Piece(3, i / 40, 1 + i / 40) for i in range(100)]
    reader = Reader("mean", needs(), 32, vectors)
    for name, value, openings in (("_SECONDS_OF_JOB", 1.5, 5), ("_CLIPS_OF_JOB", 40, 5), ("_BYTES_OF_JOB", 16384 * 50, 4)):
        with monkeypatch.context() as other:
            other.setattr(extract_module, name, value)
            decoded.clear()
            extract([reader], videos, pieces, clips=2, device=CPU)
            assert len(decoded) == openings, name
    assert max(seen) == 16


def test_readers_together_equal_readers_alone(videos: Index) -> None:
    both_recipes = {"source": "dis", "formula": "b"}
    readers = [
        Reader("rgb", needs(), 32, mean_of_frames),
        Reader("longer", needs(frames=8), 32, mean_of_frames),
        Reader("edges a", needs(Stream.FLOW_EDGES), 32, mean_of_frames),
        Reader("edges b", needs(Stream.FLOW_EDGES, **both_recipes), 32, mean_of_frames),
    ]
    pieces = whole_videos(videos, range(4))
    together = extract(readers, videos, pieces, device=CPU)
    for reader in readers:
        alone = extract([reader], videos, pieces, device=CPU)
        np.testing.assert_allclose(together.vectors[reader.name], alone.vectors[reader.name], rtol=1e-6)


def test_a_file_that_breaks_later_is_left_out_and_named(videos: Index, tmp_path: Path) -> None:
    copies = []
    for i in range(3):
        copies.append(tmp_path / f"{i}.mp4")
        copies[-1].write_bytes(Path(videos.row(i).path).read_bytes())
    probed = index(copies, workers=0)
    copies[1].write_bytes(b"gone")
    got = extract([Reader("mean", needs(), 32, mean_of_frames)], probed, whole_videos(probed, range(3)), device=CPU)
    assert got.found.tolist() == [True, False, True]
    assert list(got.left_out) == [str(copies[1])]


def test_vectors_that_are_not_finite_are_refused(videos: Index) -> None:
    broken = Reader("broken", needs(), 32, lambda frames: mean_of_frames(frames) / 0)
    with pytest.raises(ReelvecError, match="not finite for 1 of 1"):
        extract([broken], videos, whole_videos(videos, [0]), device=CPU)


def test_progress_reaches_the_end(videos: Index) -> None:
    seen: list[tuple[int, int]] = []
    extract(
        [Reader("mean", needs(), 32, mean_of_frames)],
        videos,
        whole_videos(videos, range(4)),
        device=CPU,
        on_progress=lambda done, total, text: seen.append((done, total)),
    )
    assert seen[-1] == (4, 4)


@pytest.mark.parametrize(
    ("seconds", "asked", "clips"),
    [(0.5, None, 1), (1.0, None, 1), (1.2, None, 2), (60.0, None, 10), (60.0, 3, 3), (0.0, None, 1)],
)
def test_as_many_clips_as_lie_end_to_end(seconds: float, asked: int | None, clips: int) -> None:
    assert clips_of(seconds, 1.0, asked) == clips


def test_readers_that_change_clips_share_the_decoding(videos: Index, decoded: list[list[int]]) -> None:
    numbers: dict[int, list[int]] = {1: [], 3: []}

    def doubled(clips: int) -> Reader:
        def change(frames: torch.Tensor, of_clips: torch.Tensor) -> torch.Tensor:
            numbers[clips] += of_clips.tolist()
            return 2 * frames

        return Reader("doubled", needs(), 32, mean_of_frames, change)

    plain, pieces = Reader("plain", needs(), 32, mean_of_frames), whole_videos(videos, [3, 1])
    got = extract([doubled(3), plain], videos, pieces, clips=3, device=CPU)
    assert len(decoded) == 2
    np.testing.assert_allclose(got.vectors["doubled"], 2 * got.vectors["plain"], rtol=1e-6)
    # a clip's number is its row and its start, whatever is read beside it: (4 s - 4/12 s) / 2 is the middle start
    extract([doubled(1)], videos, pieces[:1], clips=1, device=CPU)
    assert len(set(numbers[3])) == 6
    assert numbers[1] == [(3 << 32) + 1833]
    assert set(numbers[1]) < set(numbers[3])


@pytest.mark.parametrize("workers", [0, 1])
def test_parts_are_what_each_gives_by_itself(workers: int, tmp_path: Path, make_video: Callable[..., Path]) -> None:
    """Also a part of which nothing can be read, between others and last; windows of one video share a part."""
    for number in (0, 1, 3, 4):
        make_video(tmp_path / f"{number}.mp4", frames=20 + number)
    for number in (2, 5):
        shutil.copy(tmp_path / "1.mp4", tmp_path / f"{number}.mp4")
    found = index(tmp_path, workers=0)
    for number in (2, 5):
        (tmp_path / f"{number}.mp4").write_bytes(b"broken since it was probed")
    reader = Reader("mean", needs(), 32, mean_of_frames)
    parts = [
        [Piece(0, 0.0, 0.4), Piece(0, 0.2, 0.6), *whole_videos(found, [1])],
        whole_videos(found, [2]),
        whole_videos(found, [3, 4]),
        whole_videos(found, [5]),
    ]
    told: list[tuple[int, int]] = []
    got = list(
        extract_in_parts(
            reader, found, parts, clips=2, device=CPU, workers=workers, on_progress=lambda *at: told.append(at[:2])
        )
    )
    assert len(got) == len(parts)
    for part, mine in zip(parts, got, strict=True):
        alone = extract([reader], found, part, clips=2, device=CPU)
        assert mine.found.tolist() == alone.found.tolist()
        assert mine.left_out == alone.left_out
        assert mine.vectors.keys() == alone.vectors.keys()
        for name in mine.vectors:
            np.testing.assert_array_equal(mine.vectors[name], alone.vectors[name])
    assert told[-1] == (6, 7)  # the last part gives nothing to tell of
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_no_parts_are_nothing(videos: Index) -> None:
    assert list(extract_in_parts(Reader("mean", needs(), 32, mean_of_frames), videos, [], device=CPU)) == []
