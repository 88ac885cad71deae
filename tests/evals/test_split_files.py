"""Official split files, small ones of each format: sides, classes, where videos are, and what is said of the rest."""

import csv
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.evals import evaluate
from reelvec.evals.labels import Labels, read_labels
from reelvec.evals.source_groups import source_groups


def touch(folder: Path, *names: str) -> None:
    """Labels are read without opening the videos, so empty files will do."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def sides(labels: Labels) -> dict[str, tuple[str, str | None]]:
    return {Path(video.path).name: (video.labels["class"], video.split) for video in labels.videos}


UCF = {
    "classInd__txt": "1 ApplyLipstick\r\n2 Archery\r\n",
    "trainlist01__txt": "ApplyLipstick/v_ApplyLipstick_g08_c01.avi 1\r\nArchery/v_Archery_g08_c01.avi 2\r\n",
    "testlist01__txt": "ApplyLipstick/v_ApplyLipstick_g01_c01.avi\r\nArchery/v_Archery_g01_c02.avi\r\n",
    "trainlist02__txt": "ApplyLipstick/v_ApplyLipstick_g01_c01.avi 1\nArchery/v_Archery_g01_c02.avi 2\n",
    "testlist02__txt": "ApplyLipstick/v_ApplyLipstick_g08_c01.avi\nArchery/v_Archery_g08_c01.avi\n",
}
UCF_VIDEOS = (
    "ApplyLipstick/v_ApplyLipstick_g08_c01.avi", "ApplyLipstick/v_ApplyLipstick_g01_c01.avi", "Archery/v_Archery_g08_c01.avi",
    "Archery/v_Archery_g01_c02.avi",
)  # fmt: skip


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    touch(tmp_path / "UCF-101", *UCF_VIDEOS)
    return write(tmp_path / "ucfTrainTestlist", **UCF)


def test_ucf101_folder_is_its_first_split(ucf: Path) -> None:
    got = read_labels(ucf)
    assert got.given_split
    assert sides(got) == {
        "v_ApplyLipstick_g08_c01.avi": ("ApplyLipstick", "train"),
        "v_ApplyLipstick_g01_c01.avi": ("ApplyLipstick", "test"),
        "v_Archery_g08_c01.avi": ("Archery", "train"),
        "v_Archery_g01_c02.avi": ("Archery", "test"),
    }
    assert {video.group for video in got.videos} == {f"{c}_g{g}" for c in ("ApplyLipstick", "Archery") for g in ("01", "08")}
    assert not got.shared_groups
    assert got.notes[0].startswith("official split 1 of UCF101: to learn from trainlist01.txt")
    assert "splits 1, 2" in got.notes[0]
    assert not any("absent" in note for note in got.notes)


@pytest.mark.parametrize("file", ["trainlist02.txt", "testlist02.txt"])
def test_a_file_of_ucf101_says_which_split(ucf: Path, file: str) -> None:
    got = read_labels(ucf / file)
    assert sides(got)["v_Archery_g08_c01.avi"] == ("Archery", "test")
    assert "split 2" in got.notes[0]


def test_videos_may_lie_elsewhere_and_be_encoded_anew(ucf: Path, tmp_path: Path) -> None:
    prepared = tmp_path / "far" / "away"
    touch(prepared, *(f"flat/{Path(name).stem}.mp4" for name in UCF_VIDEOS))
    got = read_labels(ucf, videos=prepared)
    assert len(got.videos) == 4
    assert all(video.path.startswith(str(prepared)) for video in got.videos)
    # beside the originals it is no longer clear which is meant
    touch(tmp_path / "UCF-101", "again/v_Archery_g08_c01.mp4")
    assert len(read_labels(ucf).videos) == 4  # the listed folder decides
    (tmp_path / "UCF-101" / "Archery" / "v_Archery_g08_c01.avi").unlink()
    touch(tmp_path / "UCF-101", "other/v_Archery_g08_c01.mp4")
    with pytest.raises(ReelvecError, match="videos=FOLDER"):
        read_labels(ucf)


def test_lists_may_lie_with_the_videos(tmp_path: Path) -> None:
    touch(tmp_path, *UCF_VIDEOS)
    assert len(read_labels(write(tmp_path, **UCF)).videos) == 4


def test_absent_videos_are_counted_and_the_first_is_named(ucf: Path, tmp_path: Path) -> None:
    more = "".join(f"Archery/v_Archery_g09_c{i:02}.avi 2\n" for i in range(1, 31))
    (ucf / "trainlist01.txt").write_text(UCF["trainlist01__txt"] + more)
    touch(tmp_path / "UCF-101", *(f"Archery/v_Archery_g09_c{i:02}.avi" for i in range(3, 31)))
    (note,) = [note for note in read_labels(ucf).notes if "videos are absent" in note]
    assert note == "2 of 34 listed videos are absent (6%), the first Archery/v_Archery_g09_c01.avi"
    for i in range(3, 10):
        (tmp_path / "UCF-101" / f"Archery/v_Archery_g09_c{i:02}.avi").unlink()
    (note,) = [note for note in read_labels(ucf).notes if "videos are absent" in note]
    assert "cannot be compared" in note


def test_no_video_at_all_or_none_of_one_side_is_an_error(ucf: Path, tmp_path: Path) -> None:
    with pytest.raises(ReelvecError, match=r"none of them below .*empty; the first is ApplyLipstick/v_Apply"):
        read_labels(ucf, videos=write(tmp_path / "empty"))
    with pytest.raises(ReelvecError, match="no such folder"):
        read_labels(ucf, videos=tmp_path / "absent")
    for name in UCF_VIDEOS:
        if "_g08_" in name:
            (tmp_path / "UCF-101" / name).unlink()
    with pytest.raises(ReelvecError, match="none of its training videos"):
        read_labels(ucf)


def test_one_list_of_ucf101_alone_is_no_split_and_groups_stay_together(tmp_path: Path) -> None:
    names = [f"{c}/v_{c}_g{g:02}_c{i:02}.avi" for c in ("Archery", "Biking") for g in range(1, 8) for i in (1, 2)]
    touch(tmp_path, *names)
    (tmp_path / "testlist01.txt").write_text("\n".join(names))
    for source in (tmp_path / "testlist01.txt", tmp_path):
        got = read_labels(source)
        assert not got.given_split
        assert "only testlist01.txt of UCF101 is here" in got.notes[0]
        assert len({video.group for video in got.videos}) == 14
        mask = got.test_mask("class", 0.3, 0)
        groups = [{v.group for v, is_test in zip(got.videos, mask, strict=True) if is_test is side} for side in (True, False)]
        assert groups[0]
        assert not groups[0] & groups[1]


def test_class_folders_of_ucf101_keep_their_groups_together(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{c}/v_{c}_g{g:02}_c01.mp4" for c in ("Archery", "Biking") for g in range(1, 5)), "Biking/mine.mp4")
    got = read_labels(tmp_path)
    assert [video.group for video in got.videos][:2] == ["Archery_g01", "Archery_g02"]
    assert any("file names are those of UCF101" in note and "9 groups" in note for note in got.notes)


def test_classes_that_the_list_of_classes_lacks(ucf: Path) -> None:
    (ucf / "classInd.txt").write_text("1 ApplyLipstick\n")
    with pytest.raises(ReelvecError, match="does not have: Archery"):
        read_labels(ucf)


HMDB = {
    "brush_hair_test_split1__txt": "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 \n"
    "April_09_brush_hair_u_nm_np1_ba_goo_1.avi 0 \n"
    "Film_brush_hair_f_cm_np1_fr_med_0.avi 2 \n",
    "wave_test_split1__txt": "Film_wave_u_cm_np1_fr_med_5.avi 2 \n#20_Rhythm_wave_u_nm_np1_le_goo_0.avi 1 \n",
    "brush_hair_test_split2__txt": "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 2 \nFilm_brush_hair_f_cm_np1_fr_med_0.avi 1 \n",
    "wave_test_split2__txt": "Film_wave_u_cm_np1_fr_med_5.avi 1 \n#20_Rhythm_wave_u_nm_np1_le_goo_0.avi 2 \n",
}
HMDB_VIDEOS = (
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_1.avi",
    "brush_hair/Film_brush_hair_f_cm_np1_fr_med_0.avi", "wave/Film_wave_u_cm_np1_fr_med_5.avi",
    "wave/#20_Rhythm_wave_u_nm_np1_le_goo_0.avi",
)  # fmt: skip


@pytest.fixture
def hmdb(tmp_path: Path) -> Path:
    touch(tmp_path / "hmdb51_org", *HMDB_VIDEOS)
    return write(tmp_path / "testTrainMulti_7030_splits", **HMDB)


def test_hmdb51(hmdb: Path) -> None:
    got = read_labels(hmdb)
    assert sides(got) == {
        "April_09_brush_hair_u_nm_np1_ba_goo_0.avi": ("brush_hair", "train"),
        "Film_brush_hair_f_cm_np1_fr_med_0.avi": ("brush_hair", "test"),
        "Film_wave_u_cm_np1_fr_med_5.avi": ("wave", "test"),
        "#20_Rhythm_wave_u_nm_np1_le_goo_0.avi": ("wave", "train"),
    }
    assert "official split 1 of HMDB51, 2 classes; 1 videos belong to neither side" in got.notes[0]
    assert "splits 1, 2" in got.notes[0]
    second = sides(read_labels(hmdb / "wave_test_split2.txt"))
    assert second["Film_wave_u_cm_np1_fr_med_5.avi"] == ("wave", "train")


def test_class_folders_of_hmdb51_keep_films_together(hmdb: Path) -> None:
    got = read_labels(hmdb.parent / "hmdb51_org")
    assert {Path(v.path).stem[:5]: v.group for v in got.videos} == {"April": "April_09", "Film_": "Film", "#20_R": "#20_Rhythm"}


def something(ids: dict[str, str]) -> str:
    return json.dumps([{"id": i, "label": "moving a cup up", "template": t, "placeholders": ["a cup"]} for i, t in ids.items()])


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_something_something(tmp_path: Path, prefix: str) -> None:
    lists = tmp_path / "labels"
    lists.mkdir()
    up, down = "Moving [something] up", "Pushing [something] so that it falls off the [table]"
    (lists / f"{prefix}train.json").write_text(something({"1": up, "2": down}))
    (lists / f"{prefix}validation.json").write_text(something({"3": up, "4": down}))
    (lists / f"{prefix}test.json").write_text(json.dumps([{"id": "5"}]))
    (lists / f"{prefix}labels.json").write_text(json.dumps({"Moving something up": "0"}))
    touch(tmp_path / "20bn-something-something-v2", *(f"{i}.webm" for i in range(1, 6)))
    for source in (lists, lists / f"{prefix}train.json", lists / f"{prefix}labels.json"):
        got = read_labels(source)
        assert sides(got) == {
            "1.webm": ("Moving something up", "train"),
            "2.webm": ("Pushing something so that it falls off the table", "train"),
            "3.webm": ("Moving something up", "test"),
            "4.webm": ("Pushing something so that it falls off the table", "test"),
        }
        assert any("1 classes are not in" in note for note in got.notes)


def kinetics(path: Path, rows: list[tuple[str, str, str]], split: bool = True) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "youtube_id", "time_start", "time_end", *(["split"] if split else [])])
        writer.writerows([label, name, "10", "20", *([side] if split else [])] for label, name, side in rows)


@pytest.mark.parametrize("split", [True, False])
def test_kinetics(tmp_path: Path, split: bool) -> None:
    kinetics(tmp_path / "train.csv", [("abseiling", "-3B32lodo2M", "train"), ("zumba", "---ab_cd.fg", "train")], split)
    kinetics(tmp_path / "val.csv", [("abseiling", "x1", "validate"), ("zumba", "x2", "validate")], split)
    kinetics(tmp_path / "test.csv", [("abseiling", "x3", "test")], split)
    touch(tmp_path, "abseiling/-3B32lodo2M_000010_000020.mp4", "zumba/---ab_cd.fg_000010_000020.mp4", "val/x1.mp4", "x2.mkv")
    for source in (tmp_path, tmp_path / "val.csv"):
        got = read_labels(source)
        assert sides(got) == {
            "-3B32lodo2M_000010_000020.mp4": ("abseiling", "train"),
            "---ab_cd.fg_000010_000020.mp4": ("zumba", "train"),
            "x1.mp4": ("abseiling", "test"),
            "x2.mkv": ("zumba", "test"),
        }
        assert any("1 videos of other parts" in note for note in got.notes)


def test_one_kinetics_file_with_both_sides_is_enough(tmp_path: Path) -> None:
    kinetics(tmp_path / "all.csv", [("a", "x1", "train"), ("b", "x2", "train"), ("a", "x3", "test"), ("b", "x4", "test")])
    kinetics(tmp_path / "old.csv", [("b", "x1", "train")])
    touch(tmp_path, *(f"x{i}.mp4" for i in range(1, 5)))
    assert sides(read_labels(tmp_path / "all.csv"))["x4.mp4"] == ("b", "test")
    with pytest.raises(ReelvecError, match="listed twice, with another label"):
        read_labels(tmp_path)


def test_a_table_that_only_looks_like_kinetics_is_a_table(tmp_path: Path) -> None:
    touch(tmp_path, "1.mp4", "2.mp4")
    (tmp_path / "mine.csv").write_text("file,label,youtube_id,time_start,time_end\n1.mp4,a,x,1,2\n2.mp4,b,y,1,2\n")
    assert [video.labels for video in read_labels(tmp_path / "mine.csv").videos] == [{"label": "a"}, {"label": "b"}]


@pytest.mark.parametrize("vocabulary", [True, False])
def test_diving48(tmp_path: Path, vocabulary: bool) -> None:
    def entries(*names: str) -> str:
        return json.dumps([{"vid_name": n, "label": i % 2, "start_frame": 0, "end_frame": 9} for i, n in enumerate(names)])

    (tmp_path / "Diving48_V2_train.json").write_text(entries("-mXlwfzwN0w_00001", "-mXlwfzwN0w_00002"))
    (tmp_path / "Diving48_V2_test.json").write_text(entries("8jB2p5CCrQ4_00001", "8jB2p5CCrQ4_00002"))
    if vocabulary:
        words = [["Back", "15som", "05Twis", "FREE"], ["Back", "15som", "15Twis", "FREE"]]
        (tmp_path / "Diving48_vocab.json").write_text(json.dumps(words))
    touch(tmp_path / "rgb", *(f"{n}_0000{i}.mp4" for n in ("-mXlwfzwN0w", "8jB2p5CCrQ4") for i in (1, 2)))
    got = read_labels(tmp_path / "Diving48_V2_test.json")
    first = "Back 15som 05Twis FREE" if vocabulary else "0"
    assert sides(got)["-mXlwfzwN0w_00001.mp4"] == (first, "train")
    assert sides(got)["8jB2p5CCrQ4_00001.mp4"] == (first, "test")
    (tmp_path / "Diving48_V2_train.json").unlink()
    alone = read_labels(tmp_path)
    assert {video.group for video in alone.videos} == {"8jB2p5CCrQ4"}


def test_files_of_two_sets_in_one_folder_are_told(ucf: Path) -> None:
    write(ucf, **HMDB)
    with pytest.raises(ReelvecError, match="split files of UCF101 and of HMDB51"):
        read_labels(ucf)
    assert len(read_labels(ucf / "testlist01.txt").videos) == 4


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "{"), ("a.json", "[]"), ("a.json", '[{"id": 1}, 2]'), ("a.json", "{}"), ("a.csv", ""), ("a.csv", "a,b\n1,2"),
     ("a.txt", ""), ("a.txt", "some words"), ("a.txt", "1 Archery"), ("a_test_split1.txt", "x.avi 3")],
)  # fmt: skip
def test_what_is_no_split_file_changes_nothing(tmp_path: Path, name: str, text: str) -> None:
    touch(tmp_path, "a/1.mp4", "b/2.mp4")
    (tmp_path / name).write_text(text)
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    got = read_labels(tmp_path)
    assert sides(got) == {"1.mp4": ("a", None), "2.mp4": ("b", None)}
    assert got.notes == []
    with pytest.raises(ReelvecError, match="which is no official split file"):
        read_labels(tmp_path, videos=tmp_path)


def test_columns_are_for_tables(ucf: Path) -> None:
    with pytest.raises(ReelvecError, match="which has no columns"):
        read_labels(ucf, label_column="class")


CLASSES = ("Archery", "Biking", "Diving")
GROUPS = st.dictionaries(st.tuples(st.sampled_from(CLASSES), st.integers(1, 25)), st.booleans(), min_size=4, max_size=20)


@settings(max_examples=40)
@given(GROUPS)
def test_any_split_of_ucf101_comes_back_as_it_was_written(groups: dict[tuple[str, int], bool]) -> None:
    wanted = {
        f"v_{label}_g{group:02}_c01.avi": (label, "test" if is_test else "train") for (label, group), is_test in groups.items()
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        touch(folder, *(f"{label}/{file}" for file, (label, _) in wanted.items()))
        train = [f"{label}/{file} {CLASSES.index(label) + 1}\n" for file, (label, side) in wanted.items() if side == "train"]
        test = [f"{label}/{file}\n" for file, (label, side) in wanted.items() if side == "test"]
        write(folder, trainlist03__txt="".join(train), testlist03__txt="".join(test))
        if len({label for label, _ in wanted.values()}) < 2:
            with pytest.raises(ReelvecError, match="a single class"):
                read_labels(folder)
            return
        got = read_labels(folder)
        assert got.given_split == bool(train and test)
        expected = wanted if got.given_split else {file: (label, None) for file, (label, _) in wanted.items()}
        assert sides(got) == expected


FILM = st.text("ABCabc_09#!", min_size=1, max_size=12)


@given(st.lists(FILM, min_size=1, max_size=6), st.sampled_from(["brush_hair", "wave", "shoot_gun"]))
def test_films_of_hmdb51_are_read_from_any_name(films: list[str], label: str) -> None:
    paths = [f"x/{label}/{film}_{label}_u_nm_np1_fr_goo_{i}.avi" for i, film in enumerate(films)]
    told = source_groups(paths, [label] * len(paths))
    assert told is not None
    assert told[0] == films


def test_names_of_no_known_set_make_no_groups() -> None:
    assert source_groups([f"a/{i}.mp4" for i in range(4)], ["a"] * 4) is None
    assert source_groups(["a/v_a_g01_c01.mp4", "a/2.mp4", "a/3.mp4"], ["a"] * 3) is None  # one of three is chance
    assert source_groups([f"basketball{i}_{i:05}.mp4" for i in range(4)], ["a"] * 4) is None  # eleven signs, but words


def test_films_of_hmdb51_are_kept_together_whatever_their_label_is_called() -> None:
    paths = [f"Film_{film}_brush_hair_u_nm_np1_fr_goo_{i}.avi" for film in "ab" for i in range(2)]
    told = source_groups(paths, ["7"] * 4)
    assert told is not None
    assert told[0] == ["Film_a_brush_hair"] * 2 + ["Film_b_brush_hair"] * 2


def test_an_official_split_is_evaluated(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for number, (label, rgb) in enumerate({"Red": (200, 40, 40), "Blue": (40, 40, 200)}.items(), 1):
        for group in range(1, 7):
            shade = np.clip(np.array(rgb) + rng.integers(-25, 25, 3), 0, 255).astype(np.uint8)
            picture = np.broadcast_to(shade, (32, 32, 3)).copy()
            name = f"{label}/v_{label}_g{group:02}_c01.mp4"
            make_video(tmp_path / name, frames=8, size=(32, 32), picture=lambda _, picture=picture: picture)
            side = "test" if group < 3 else "train"
            lines[side].append(name.replace("mp4", "avi") + (f" {number}" if side == "train" else ""))
    for side, of_side in lines.items():
        (tmp_path / f"{side}list01.txt").write_text("\n".join(of_side))
    card = EncoderCard(
        name="visual", architecture="", channels=3, size=32, mean=(0.5,) * 3, std=(0.25,) * 3, method="none",
        needs=Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=2),), clips=1, short_side=32),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_encoder(tmp_path / "run" / "encoder", "visual", build_encoder("tiny"), card)
    result = evaluate(tmp_path / "run", tmp_path / "testlist01.txt", tasks=("knn",), baselines=False)
    (table,) = result["tables"]
    assert (table["train"], table["test"], table["classes"]) == (8, 4, ["Blue", "Red"])
    assert result["protocol"]["split"] == "as given, groups kept together"
    assert any("official split 1 of UCF101" in note for note in result["notes"])
