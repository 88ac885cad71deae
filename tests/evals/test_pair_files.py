"""Pairs in folds: a table, ASLAN's matrix, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reelvec.core import ReelvecError
from reelvec.evals.pair_files import read_pairs


def touched(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def table(path: Path, lines: list[str], head: str = "First,second,same,fold") -> Path:
    path.write_text("\n".join([head, *lines]), encoding="utf-8")
    return path


LINES = ["a.mp4,b.mp4,1,x", "a.mp4,c.mp4,no,x", "b.mp4,c.mp4,Same,y", "d.mp4,c.mp4,0,y"]


def test_a_table_is_read(tmp_path: Path) -> None:
    touched(tmp_path, ["a.mp4", "b.mp4", "c.mp4", "d.mp4"])
    read = read_pairs(table(tmp_path / "pairs.csv", LINES))
    assert [Path(path).name for path in read.paths] == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    assert read.pairs.tolist() == [[0, 1], [0, 2], [1, 2], [3, 2]]
    assert read.same.tolist() == [True, False, True, False]
    assert read.fold.tolist() == [0, 0, 1, 1]
    videos = touched(tmp_path / "elsewhere", ["a.mp4", "b.mp4", "c.mp4", "d.mp4"])
    moved = read_pairs(tmp_path / "pairs.csv", videos)
    assert moved.paths[0] == str(videos / "a.mp4")
    assert moved.fingerprint == read.fingerprint
    assert read_pairs(table(tmp_path / "pairs.csv", [*LINES, "a.mp4,d.mp4,0,x"])).fingerprint != read.fingerprint


def test_pairs_of_unreadable_videos_are_left_out(tmp_path: Path) -> None:
    touched(tmp_path, [f"{name}.mp4" for name in "abcdef"])
    more = [*LINES, "e.mp4,f.mp4,0,y", "f.mp4,b.mp4,0,x"]
    read = read_pairs(table(tmp_path / "pairs.csv", more))
    left = read.of(torch.tensor([True, True, True, False, True, True]))
    assert [Path(path).name for path in left.paths] == ["a.mp4", "b.mp4", "c.mp4", "e.mp4", "f.mp4"]
    assert [[Path(left.paths[i]).stem for i in pair] for pair in left.pairs.tolist()[2:]] == [
        ["b", "c"],
        ["e", "f"],
        ["f", "b"],
    ]
    assert "1 of 6 pairs" in left.notes[0]
    with pytest.raises(ReelvecError, match="folds without both kinds"):
        read.of(torch.tensor([True, True, False, False, True, True]))


@pytest.mark.parametrize(
    ("lines", "head", "said"),
    [
        (LINES, "first,second,label,fold", "none named same"),
        ([*LINES, "a.mp4,absent.mp4,1,x"], "first,second,same,fold", r"1 of them are no file.*absent\.mp4"),
        ([*LINES, "a.mp4,d.mp4,perhaps,x"], "first,second,same,fold", "perhaps"),
        ([*LINES, "a.mp4,d.mp4,,x"], "first,second,same,fold", "rows without same"),
        ([*LINES, "a.mp4,a.mp4,1,x"], "first,second,same,fold", "paired with itself"),
        ([*LINES, "b.mp4,a.mp4,1,y"], "first,second,same,fold", "paired in two folds"),
        (LINES[:2], "first,second,same,fold", "1 folds"),
        (LINES[:3], "first,second,same,fold", "1 of 2 folds without both kinds"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, lines: list[str], head: str, said: str) -> None:
    touched(tmp_path, ["a.mp4", "b.mp4", "c.mp4", "d.mp4"])
    with pytest.raises(ReelvecError, match=said):
        read_pairs(table(tmp_path / "pairs.csv", lines, head))


def aslan(folder: Path) -> np.ndarray:
    """Four pairs in each of three splits, as View2.mat has them, of samples 1 to 24."""
    io = pytest.importorskip("scipy.io")
    ids = np.arange(1, 25).reshape(3, 4, 2)
    same = np.tile([1, 1, 0, 0], (3, 1))[:, :, None]
    rows = np.concatenate([ids, same, 100 + ids], 2)  # splits, pairs, 5
    io.savemat(folder / "View2.mat", {"action_splits_pairs": rows.transpose(1, 2, 0).astype(float)})
    return rows


def test_aslans_matrix_is_read(tmp_path: Path) -> None:
    rows = aslan(tmp_path)
    videos = touched(tmp_path / "ASLAN_AVI", [f"ignore-{i:04d}.avi" for i in range(1, 25)] + ["0001.txt"])
    read = read_pairs(tmp_path / "View2.mat", videos)
    assert len(read.paths) == 24
    stems = [[int(Path(read.paths[i]).stem[-4:]) for i in pair] for pair in read.pairs.tolist()]
    assert stems == rows[:, :, :2].reshape(-1, 2).tolist()
    assert read.same.tolist() == [True, True, False, False] * 3
    assert read.fold.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert read.title == "ASLAN's official pairs and splits"
    assert read_pairs(tmp_path / "View2.mat").paths == read.paths  # below the matrix's own folder
    (videos / "ignore-0003.avi").unlink()
    less = read_pairs(tmp_path / "View2.mat", videos)
    assert len(less.pairs) == 11
    assert "1 samples are absent (the first 0003), and with them 1 pairs" in less.notes[1]
    touched(videos / "again", ["x_0007.avi"])
    with pytest.raises(ReelvecError, match="sample 0007"):
        read_pairs(tmp_path / "View2.mat", videos)


def test_what_is_no_view2_is_refused(tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    (tmp_path / "broken.mat").write_bytes(b"MATLAB 7.3 MAT-file" + bytes(200))
    io.savemat(tmp_path / "other.mat", {"x": np.zeros(3)})
    io.savemat(tmp_path / "flat.mat", {"action_splits_pairs": np.zeros((6, 5))})
    for name, said in (
        ("broken", "no MATLAB file"),
        ("other", "no matrix"),
        ("flat", "of the shape"),
        ("gone", "no such file"),
    ):
        with pytest.raises(ReelvecError, match=said):
            read_pairs(tmp_path / f"{name}.mat")
    aslan(tmp_path)
    with pytest.raises(ReelvecError, match="name ends in 0001"):
        read_pairs(tmp_path / "View2.mat", touched(tmp_path / "empty", []))
