from pathlib import Path

import numpy as np
import pytest

from reelvec.core import ReelvecError
from reelvec.evals.dense.box_table import KeyFrames, read_boxes
from reelvec.evals.dense.detected_boxes import with_detected

TRUTH = """path,split,seconds,x1,y1,x2,y2,label
videos/a.mp4,train,902,0.1,0.2,0.5,0.6,run
videos/b.mp4,test,902,0.1,0.2,0.5,0.6,run
videos/b.mp4,test,902,0.6,0.2,0.9,0.8,sit
videos/b.mp4,test,903.5,0.1,0.2,0.5,0.6,run
videos/c.mp4,test,904,0.1,0.1,0.4,0.9,sit
"""
AVA = """b,0902,0.102,0.198,0.5,0.61,,0.995
b,0902,0.7,0.1,1.003,0.7,,0.8
b,0902,0.0,0.0,0.2,0.2,,0.79
b,0905,0.1,0.2,0.5,0.6,,0.99
a,0902,0.1,0.2,0.5,0.6,,0.99
nobody,0902,0.1,0.2,0.5,0.6,,0.99
c,904.000,0.1,0.1,0.4,0.6,,0.9
"""
TABLE = """file,seconds,x1,y1,x2,y2,score
videos/b.mp4,902,0.102,0.198,0.5,0.61,0.995
elsewhere/b.avi,902,0.7,0.1,1.003,0.7,0.8
videos/b.mp4,902,0.0,0.0,0.2,0.2,0.79
videos/b.mp4,905,0.1,0.2,0.5,0.6,0.99
videos/a.mp4,902,0.1,0.2,0.5,0.6,0.99
nobody.mp4,902,0.1,0.2,0.5,0.6,0.99
c.mp4,904,0.1,0.1,0.4,0.6,0.9
"""


@pytest.fixture
def given(tmp_path: Path) -> KeyFrames:
    (tmp_path / "videos").mkdir()
    for name in "abc":
        (tmp_path / f"videos/{name}.mp4").write_bytes(b"")
    (tmp_path / "boxes.csv").write_text(TRUTH)
    return read_boxes(tmp_path / "boxes.csv", 0.3, 0)


@pytest.mark.parametrize("content", [AVA, TABLE], ids=["as published", "table"])
def test_boxes_of_a_detector_are_looked_at_in_the_test_alone(given: KeyFrames, tmp_path: Path, content: str) -> None:
    (tmp_path / "found.csv").write_text(content)
    found = with_detected(given, tmp_path / "found.csv", 0.8)
    train, first, second, third = found.frames
    assert train.detected is None
    assert np.array_equal(train.looked_at, train.truth.boxes)
    assert first.looked_at.tolist() == [[0.102, 0.198, 0.5, 0.61], [0.7, 0.1, 1.003, 0.7]]
    assert second.looked_at.shape == (0, 4)  # nothing was detected: what is there is missed
    assert third.looked_at.tolist() == [[0.1, 0.1, 0.4, 0.6]]
    assert [frame.truth for frame in found.frames] == [frame.truth for frame in given.frames]
    assert found.notes[-3:] == [
        "1 detected boxes with a score below 0.8 are left out",
        "3 detected boxes are in no key frame of the test and are left out",
        # of b's first key frame one of two boxes, and c's: 0.3 x 0.5 in 0.3 x 0.8
        "50.0 % of the true test boxes overlap a detected one by 0.5 at least; 1 of 3 test key frames have no detected box",
    ]
    assert len(with_detected(given, tmp_path / "found.csv", 0.9).frames[1].looked_at) == 1


@pytest.mark.parametrize(
    ("content", "threshold", "says"),
    [
        (AVA, 1.2, "a threshold of 1.2"),
        (AVA, 0.999, "7 boxes, the surest with a score of 0.995"),
        (
            AVA.replace("b,0902", "x,0902").replace("c,904", "c,905"),
            0.8,
            "none in a key frame of the test, such as b.mp4 at 902",
        ),
        (AVA.replace("0.102,0.198,0.5,0.61", "10,20,50,60"), 0.8, "in pixels and the other in shares"),
        (AVA.replace("0.61,,0.995", "0.1,,0.995"), 0.8, "a row that is no box: b,0902"),
        (AVA.replace("0.995", "99.5"), 0.8, "a score from 0 to 1"),
        (AVA.replace(",,0.99\n", ",,\n", 1), 0.8, "a row that is no box: b,0905"),
        (AVA + "b,0902\n", 0.8, "a row that is no box: b,0902"),
        (TABLE.replace("score", "sure"), 0.8, "there is no score"),
        ("", 0.8, "an empty file"),
    ],
)
def test_what_does_not_fit_is_said(given: KeyFrames, tmp_path: Path, content: str, threshold: float, says: str) -> None:
    (tmp_path / "found.csv").write_text(content)
    with pytest.raises(ReelvecError, match=says):
        with_detected(given, tmp_path / "found.csv", threshold)
    with pytest.raises(ReelvecError, match="no such file"):
        with_detected(given, tmp_path / "nowhere.csv", threshold if threshold <= 1 else 0.8)


def test_names_that_two_videos_have_tell_neither(tmp_path: Path) -> None:
    for name in ("x/a.mp4", "y/a.mp4", "b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "boxes.csv").write_text(
        "path,split,seconds,x1,y1,x2,y2,label\nb.mp4,train,1,0,0,1,1,run\n"
        "x/a.mp4,test,1,0,0,1,1,run\ny/a.mp4,test,1,0,0,1,1,run\n"
    )
    given = read_boxes(tmp_path / "boxes.csv", 0.3, 0)
    (tmp_path / "found.csv").write_text("path,seconds,x1,y1,x2,y2,score\nx/a.mp4,1,0,0,1,1,0.9\na.mp4,1,0,0,0.9,1,0.9\n")
    found = with_detected(given, tmp_path / "found.csv", 0.8)
    assert [len(frame.looked_at) for frame in found.frames if frame.is_test] == [1, 0]
