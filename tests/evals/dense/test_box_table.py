from pathlib import Path

import numpy as np
import pytest

from reelvec.core import ReelvecError
from reelvec.evals.dense.box_table import in_shares, read_boxes

HEAD = "path,split,seconds,x1,y1,x2,y2,label\n"


def table(folder: Path, lines: str, head: str = HEAD) -> Path:
    for name in "abcd":
        (folder / f"{name}.mp4").write_bytes(b"")
    (folder / "boxes.csv").write_text(head + lines)
    return folder / "boxes.csv"


def test_rows_of_one_box_are_its_classes(tmp_path: Path) -> None:
    file = table(
        tmp_path,
        "a.mp4,train,1.5,0.1,0.2,0.5,0.6,run\na.mp4,train,1.5,0.1,0.2,0.5,0.6,jump\na.mp4,train,1.5,0.6,0.2,0.9,0.6,run\n"
        "a.mp4,train,0.5,0.1,0.2,0.5,0.6,sit\nb.mp4,test,0,0,0,1,1,run\nc.mp4,unlabelled,0,0,0,1,1,run\n",
    )
    found = read_boxes(file, 0.3, 0)
    assert found.classes == ["jump", "run", "sit"]
    assert not found.pixels
    assert [(Path(f.path).name, f.seconds, f.is_test) for f in found.frames] == [
        ("a.mp4", 0.5, False), ("a.mp4", 1.5, False), ("b.mp4", 0.0, True),
    ]  # fmt: skip
    assert found.frames[1].truth.classes.tolist() == [[True, True, False], [False, True, False]]
    assert found.frames[1].truth.boxes.tolist() == [[0.1, 0.2, 0.5, 0.6], [0.6, 0.2, 0.9, 0.6]]


def test_boxes_in_pixels() -> None:
    assert in_shares(np.array([[10.0, 5.0, 120.0, 20.0]]), True, 100, 50).tolist() == [[0.1, 0.1, 1.0, 0.4]]
    assert in_shares(np.array([[0.1, 0.2, 0.3, 0.4]]), False, 100, 50).tolist() == [[0.1, 0.2, 0.3, 0.4]]


def test_whole_videos_are_held_out(tmp_path: Path) -> None:
    lines = "".join(f"{name}.mp4,{second},0,0,10,10,{'run' if name < 'c' else 'sit'}\n" for name in "abcd" for second in (1, 2))
    found = read_boxes(table(tmp_path, lines, HEAD.replace("split,", "")), 0.5, 0)
    assert found.pixels
    sides = {f.path: f.is_test for f in found.frames}
    assert sorted(sides.values()) == [False, False, True, True]
    assert all(f.is_test == sides[f.path] for f in found.frames)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("a.mp4,train,1,0.5,0,0.2,1,run\n", "no box"),
        ("a.mp4,train,one,0,0,1,1,run\n", "no box"),
        ("a.mp4,train,nan,0,0,1,1,run\n", "no box"),
        ("x.mp4,train,1,0,0,1,1,run\n", "no file"),
        ("a.mp4,train,1,0,0,1,1,run\na.mp4,test,2,0,0,1,1,run\n", "both sides"),
        ("a.mp4,train,1,0,0,1,1,run\nb.mp4,train,2,0,0,1,1,run\nc.mp4,unlabelled,1,0,0,1,1,run\n", "0 test"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, lines: str, says: str) -> None:
    with pytest.raises(ReelvecError, match=says):
        read_boxes(table(tmp_path, lines), 0.3, 0)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(ReelvecError, match="there is no x2, y2"):
        read_boxes(table(tmp_path, "a.mp4,1,0,0,run\n", "path,seconds,x1,y1,label\n"), 0.3, 0)
