from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelvec.core import ReelvecError
from reelvec.evals.labels import read_labels

Table = Callable[..., Path]


def files(folder: Path, *names: str) -> None:
    """Labels are read without opening the videos, so empty files will do."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write a CSV next to eight files v0.mp4 ... v7.mp4."""
    files(tmp_path, *(f"v{i}.mp4" for i in range(8)))

    def write(header: str, lines: Sequence[str], name: str = "labels.csv") -> Path:
        (tmp_path / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8-sig")
        return tmp_path / name

    return write


EIGHT = [f"v{i}.mp4,{'ab'[i % 2]}" for i in range(8)]


def test_class_folders(tmp_path: Path) -> None:
    files(tmp_path, "run/1.mp4", "run/deep/2.MOV", "walk/3.avi", "walk/README.md", "walk/.4.mp4", "empty/notes.txt", "0.mp4")
    got = read_labels(tmp_path)
    assert [(Path(v.path).name, v.labels["class"], v.split) for v in got.videos] == [
        ("1.mp4", "run", None),
        ("2.MOV", "run", None),
        ("3.avi", "walk", None),
    ]
    assert not got.given_split


def test_class_folders_with_train_and_test_ignore_what_stands_beside(tmp_path: Path) -> None:
    files(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "test/a/3.mp4", "test/b/4.mp4", "unlabelled/5.mp4", "unlabelled/x/6.mp4")
    got = read_labels(tmp_path)
    assert [(v.labels["class"], v.split) for v in got.videos] == [("a", "test"), ("b", "test"), ("a", "train"), ("b", "train")]
    assert "not used: unlabelled/" in got.notes
    assert got.test_mask("class", 0.3, 0) == [True, True, False, False]


def test_a_folder_of_one_word_alone_is_a_class(tmp_path: Path) -> None:
    files(tmp_path, "train/1.mp4", "bus/2.mp4")
    assert {v.labels["class"] for v in read_labels(tmp_path).videos} == {"train", "bus"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_are_guessed_and_said(table: Table, delimiter: str) -> None:
    lines = [line.replace(",", delimiter) + f"{delimiter}{'train' if i < 5 else 'test'}" for i, line in enumerate(EIGHT)]
    got = read_labels(table(delimiter.join(["clip name", "what", "subset"]), lines))
    assert got.columns == ("what",)
    assert [v.split for v in got.videos].count("test") == 3
    for guessed in ("clip name", "what", "subset"):
        assert any(f"'{guessed}'" in note for note in got.notes)


def test_several_label_columns(table: Table) -> None:
    path = table("file,motion,scene", [f"{line},{'xyz'[i % 3]}" for i, line in enumerate(EIGHT)])
    got = read_labels(path, label_column="motion, scene")
    assert got.columns == ("motion", "scene")
    assert got.videos[1].labels == {"motion": "b", "scene": "y"}
    with pytest.raises(ReelvecError, match=r"2 could be: motion, scene.*\n.*label_column=NAME"):
        read_labels(path)


def test_numbers_are_not_taken_for_paths(table: Table) -> None:
    lines = [f"{line},0.{i}5" for i, line in enumerate(EIGHT)]
    assert Path(read_labels(table("path,label,score", lines)).videos[0].path).name == "v0.mp4"


def test_commas_inside_quotes_and_blank_lines(table: Table) -> None:
    lines = ['v0.mp4,"a, b"', "", "v1.mp4,c", "  ,  "]
    assert [v.labels["label"] for v in read_labels(table("path,label", lines)).videos] == ["a, b", "c"]


def test_parquet(tmp_path: Path) -> None:
    files(tmp_path, "1.mp4", "2.mp4")
    content: Mapping[str, list[object]] = {"path": ["1.mp4", "2.mp4"], "target": [3, 4], "vector": [[0.1], [0.2]]}
    pq.write_table(pa.table(dict(content)), tmp_path / "labels.parquet")
    assert [v.labels["target"] for v in read_labels(tmp_path / "labels.parquet").videos] == ["3", "4"]


def test_paths_may_count_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "clips/1.mp4", "clips/2.mp4")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "labels.csv").write_text("path,label\nclips/1.mp4,a\nclips/2.mp4,b\n")
    monkeypatch.chdir(tmp_path)
    assert [Path(v.path) for v in read_labels("tables/labels.csv").videos] == [
        tmp_path / "clips/1.mp4",
        tmp_path / "clips/2.mp4",
    ]


def test_validation_is_the_test_part_only_where_there_is_no_test(table: Table) -> None:
    words = ["train", "train", "val", "val", "test", "test", "unlabelled", "train"]
    lines = [f"{line},{word}" for line, word in zip(EIGHT, words, strict=True)]
    got = read_labels(table("path,label,split", lines))
    assert [v.split for v in got.videos] == ["train", "train", "test", "test", "train"]
    assert any("'val'" in note for note in got.notes)
    lines = [line.replace(",test", ",train") for line in lines]
    assert [v.split for v in read_labels(table("path,label,split", lines)).videos].count("test") == 2


def test_rows_without_label_are_left_out_and_counted(table: Table) -> None:
    got = read_labels(table("path,label", [*EIGHT[:6], "v6.mp4,"]))
    assert len(got.videos) == 6
    assert any("1 rows" in note for note in got.notes)


def test_hold_out_is_drawn_by_seed_for_each_column(table: Table) -> None:
    got = read_labels(table("path,label", EIGHT))
    assert got.test_mask("label", 0.3, 0) == got.test_mask("label", 0.3, 0)
    assert 2 <= sum(got.test_mask("label", 0.3, 0)) <= 4
    assert len({tuple(got.test_mask("label", 0.3, seed)) for seed in range(8)}) > 1


def test_groups_are_kept_together(table: Table) -> None:
    lines = [f"v{i}.mp4,{'ab'[i % 2]},patient{i // 2}" for i in range(8)]
    got = read_labels(table("path,label,patient", lines), label_column="label", group_column="patient")
    for seed in range(5):
        mask = got.test_mask("label", 0.3, seed)
        test = {v.group for v, is_test in zip(got.videos, mask, strict=True) if is_test}
        assert not test & {v.group for v, is_test in zip(got.videos, mask, strict=True) if not is_test}


def test_groups_in_both_parts_of_a_given_split_are_refused(table: Table) -> None:
    lines = [f"v{i}.mp4,{'ab'[i % 2]},g{i // 4},{'train' if i < 2 else 'test'}" for i in range(8)]
    with pytest.raises(ReelvecError, match="1 of 2 groups have videos in both train and test: g0"):
        read_labels(table("path,label,g,split", lines), label_column="label", group_column="g").test_mask("label", 0.3, 0)


BAD = {
    "absent files": ("path,label", ["v0.mp4,a", "gone.mp4,b"], {}, r"1 of them is no file: .*gone\.mp4"),
    "a folder named like a video": ("path,label", ["v0.mp4,a", "dir.mp4,b"], {}, r"is no file: .*dir\.mp4"),
    "listed twice, same label": ("path,label", [*EIGHT, "./v0.mp4,a"], {}, "1 video listed more than once"),
    "listed twice, other label": ("path,label", [*EIGHT, "v0.mp4,b"], {}, "1 video listed again with another label"),
    "a link to a listed file": ("path,label", [*EIGHT, "link.mp4,a"], {}, "more than once"),
    "one class": ("path,label", ["v0.mp4,a", "v1.mp4,a"], {"label_column": "label"}, "a single class, 'a', for all 2 videos"),
    "no such column": ("path,label", EIGHT, {"label_column": "lable"}, "did you mean label"),
    "no such path column": ("path,label", EIGHT, {"path_column": "video"}, "read column 'video'"),
    "no such split column": ("path,label", EIGHT, {"split_column": "x"}, "read column 'x'"),
    "no paths": ("name,label", ["a,b", "c,d"], {}, "find the column of paths"),
    "no rows": ("path,label", [], {}, "a table without rows"),
    "no header": (EIGHT[0], EIGHT[1:], {}, r"'v0\.mp4' in the first row.*a video would be lost\n.*such as path,label"),
    "no header and one row": (EIGHT[0], [], {}, r"'v0\.mp4' in the first row"),
    "no header, a file of no video's name": ("frames.npz,a", EIGHT, {}, r"'frames\.npz' in the first row"),
    "two columns of a name": ("path,label,label", [line + ",x" for line in EIGHT], {}, "two columns named label"),
    "too many cells": ("path,label", ["v0.mp4,a,b"], {}, "row 2 has 3 cells"),
    "split without test": ("path,label,split", [f"{line},train" for line in EIGHT], {"split_column": "split"}, "0 test and 8"),
    "split of other words": ("path,label,s", [f"{line},7" for line in EIGHT], {"split_column": "s"}, "no row with"),
    "a group missing": ("path,label,g", [*(f"{x},1" for x in EIGHT[:7]), "v7.mp4,b,"], {"group_column": "g"}, "1 rows without"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_table_is_one_readable_message(table: Table, tmp_path: Path, name: str) -> None:
    header, lines, arguments, message = BAD[name]
    (tmp_path / "dir.mp4").mkdir()
    (tmp_path / "frames.npz").touch()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "v0.mp4")
    with pytest.raises(ReelvecError, match=message):
        read_labels(table(header, lines), **arguments).test_mask("label", 0.3, 0)


def test_other_bad_sources(tmp_path: Path) -> None:
    with pytest.raises(ReelvecError, match="no such file or folder"):
        read_labels(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ReelvecError, match="an empty file"):
        read_labels(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ReelvecError, match="cannot be read as a table"):
        read_labels(tmp_path / "binary.csv")
    (tmp_path / "labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(ReelvecError, match="cannot be read as a table"):
        read_labels(tmp_path / "labels.parquet")
    with pytest.raises(ReelvecError, match="no video in a folder named after its class"):
        read_labels(tmp_path)
    with pytest.raises(ReelvecError, match="has no columns"):
        read_labels(tmp_path, label_column="x")
    files(tmp_path, "only/1.mp4", "only/2.mp4")
    with pytest.raises(ReelvecError, match="a single class, 'only'"):
        read_labels(tmp_path)


@pytest.mark.parametrize(("encoding", "said"), [("latin-1", "CP1252"), ("cp1252", "CP1252"), ("utf-16", "UTF-16")])
def test_text_of_another_encoding_is_named(tmp_path: Path, encoding: str, said: str) -> None:
    files(tmp_path, "1.mp4", "2.mp4")
    (tmp_path / "labels.csv").write_text("path,label\n1.mp4,a\n2.mp4,caf\u00e9\n", encoding=encoding)
    row = 1 if encoding == "utf-16" else 3
    with pytest.raises(ReelvecError, match=rf"not UTF-8 \(row {row}\), likely .*\n.*iconv -f {said} -t UTF-8 labels\.csv"):
        read_labels(tmp_path / "labels.csv")


def test_a_column_may_be_named_as_a_folder_or_a_file_without_a_suffix(table: Table, tmp_path: Path) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "label").touch()
    assert len(read_labels(table("path,label", EIGHT)).videos) == 8


def test_one_file_under_two_classes_is_refused(tmp_path: Path) -> None:
    files(tmp_path, "a/1.mp4", "b/2.mp4")
    (tmp_path / "b" / "3.mp4").symlink_to(tmp_path / "a" / "1.mp4")
    with pytest.raises(ReelvecError, match="listed again with another label"):
        read_labels(tmp_path)
