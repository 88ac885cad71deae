"""A leak is found and refused: clips of one source, or copies of one file, to learn from and to be asked about."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reelvec.core import ReelvecError
from reelvec.evals import evaluate
from reelvec.evals.labels import Labels, read_labels
from reelvec.evals.shared_sources import copies, joined_groups
from reelvec.verbs.battery import battery

Measure = Callable[..., dict]

NAMES = [f"v_{label}_g{group:02}_c{clip:02}.mp4" for label in ("Red", "Blue") for group in range(1, 7) for clip in (1, 2)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Two clips of each of six sources of two classes, under UCF101's names, in one folder."""
    folder = tmp_path_factory.mktemp("ucf")
    rng = np.random.default_rng(0)
    for name in NAMES:
        shade = np.clip(np.array((200, 40, 40) if "Red" in name else (40, 40, 200)) + rng.integers(-25, 25, 3), 0, 255)
        picture = np.broadcast_to(shade.astype(np.uint8), (32, 32, 3)).copy()
        make_video(folder / name, frames=8, size=(32, 32), picture=lambda _, picture=picture: picture)
    return folder


def evaluated(run: Path, labels: Path, **more: object) -> dict:
    return evaluate(run, labels, tasks=("knn",), encoders=("visual",), baselines=False, out=run / "leak.json", **more)


def suite(run: Path, labels: Path, **more: object) -> dict:
    settings = {"lowshot": {"draws": 2, "shares": (), "per_class": (1,)}, "fewshot": {"episodes": 10}}
    return battery(run, labels, encoders=("visual",), clips=1, settings=settings, out=labels.parent / "suite.json", **more)


@pytest.fixture(params=[evaluated, suite], ids=["evaluate", "battery"])
def measure(request: pytest.FixtureRequest) -> Measure:
    return request.param


@pytest.fixture
def run(tmp_path: Path, tiny_run: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def table(clips: Path, folder: Path, split: Callable[[str], str] | None = None) -> Path:
    """A table without a column of groups, with one of sides where they are given."""
    rows = [[clips / name, name.split("_")[1], *([split(name)] if split else [])] for name in NAMES]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", *(["split"] if split else [])], *rows])
    return folder / "labels.csv"


def sides_of_groups(labels: Labels, seed: int) -> tuple[set[str | None], set[str | None]]:
    mask = labels.test_mask("label", 0.3, seed)
    test = {video.group for video, is_test in zip(labels.videos, mask, strict=True) if is_test}
    return test, {video.group for video, is_test in zip(labels.videos, mask, strict=True) if not is_test}


def test_a_table_without_a_split_never_parts_a_source(clips: Path, tmp_path: Path) -> None:
    labels = read_labels(table(clips, tmp_path))
    for seed in range(6):
        test, train = sides_of_groups(labels, seed)
        assert test
        assert not test & train
    assert any("file names are those of UCF101" in note for note in labels.notes)


def test_a_table_of_sources_is_measured(measure: Measure, clips: Path, run: Path, tmp_path: Path) -> None:
    got = measure(run, table(clips, tmp_path))
    if "parts" in got:
        assert {part["name"] for part in got["parts"]} >= {"evaluate", "diagnose"}
    else:
        assert got["protocol"]["split"].endswith("groups kept together")


def test_sources_on_both_sides_of_a_given_split_are_refused(measure: Measure, clips: Path, run: Path, tmp_path: Path) -> None:
    crossing = table(clips, tmp_path, lambda name: "test" if "c01" in name else "train")
    with pytest.raises(ReelvecError, match=r"12 of 12 groups .*Blue_g01.*\n.*group_column=NAME.*accept_shared_sources=true"):
        measure(run, crossing)
    got = measure(run, crossing, accept_shared_sources=True)
    if "notes" in got:
        assert any("12 groups stand on both sides, accepted" in note for note in got["notes"])
        assert got["protocol"]["split"] == "as given, 12 groups on both sides"
        assert got["asked"]["accept_shared_sources"]


def test_a_given_split_that_parts_no_source_goes_through(measure: Measure, clips: Path, run: Path, tmp_path: Path) -> None:
    measure(run, table(clips, tmp_path, lambda name: "test" if "g01" in name or "g02" in name else "train"))


def test_sources_in_folders_of_both_sides_are_refused(measure: Measure, clips: Path, run: Path, tmp_path: Path) -> None:
    for name in NAMES:
        place = tmp_path / "set" / ("test" if "c01" in name else "train") / name.split("_")[1] / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clips / name, place)
    with pytest.raises(ReelvecError, match="12 of 12 groups have videos in both train and test"):
        measure(run, tmp_path / "set")


def test_a_copy_on_the_other_side_is_refused(measure: Measure, clips: Path, run: Path, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        place = tmp_path / "set" / ("test" if number % 3 == 0 else "train") / name.split("_")[1] / f"{number}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clips / name, place)
    shutil.copy(tmp_path / "set" / "train" / "Red" / "1.mp4", tmp_path / "set" / "test" / "Red" / "again.mp4")
    with pytest.raises(ReelvecError, match=r"1 test video is byte for byte a training video: .*again\.mp4 is .*1\.mp4"):
        measure(run, tmp_path / "set")
    measure(run, tmp_path / "set", accept_shared_sources=True)


def test_copies_stay_on_one_side_where_the_split_is_made_here(clips: Path, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        place = tmp_path / name.split("_")[1] / f"{number}.mp4"
        place.parent.mkdir(exist_ok=True)
        shutil.copy(clips / name, place)
        shutil.copy(clips / name, place.with_name(f"{number}-again.mp4"))
    labels = read_labels(tmp_path)
    assert len({video.group for video in labels.videos}) == len(NAMES)
    assert any("48 videos are copies of one another, in 24 contents" in note for note in labels.notes)
    for seed in range(4):
        mask = labels.test_mask("class", 0.3, seed)
        of_side = [
            {v.group for v, is_test in zip(labels.videos, mask, strict=True) if is_test is side} for side in (True, False)
        ]
        assert of_side[0]
        assert not of_side[0] & of_side[1]


def test_an_official_split_is_taken_as_it_is_and_said(tmp_path: Path) -> None:
    names = [f"{c}/v_{c}_g01_c{i:02}.avi" for c in ("Archery", "Biking") for i in (1, 2)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "trainlist01.txt").write_text("\n".join(f"{name} {i // 2 + 1}" for i, name in enumerate(names) if i % 2))
    (tmp_path / "testlist01.txt").write_text("\n".join(names[::2]))
    labels = read_labels(tmp_path)
    assert labels.shared_groups == ["Archery_g01", "Biking_g01"]
    assert any("2 groups stand on both sides, as the official split has it" in note for note in labels.notes)


def test_groups_that_are_given_are_believed(clips: Path, tmp_path: Path) -> None:
    """Who names the groups knows them: names of files are not asked."""
    path = table(clips, tmp_path, lambda name: "test" if "c01" in name else "train")
    rows = path.read_text().splitlines()
    path.write_text("\n".join(f"{row},{'own' if i == 0 else i}" for i, row in enumerate(rows)))
    labels = read_labels(path, label_column="label", group_column="own")
    assert labels.leak is None
    assert len({video.group for video in labels.videos}) == 24


def test_only_equal_contents_are_copies(tmp_path: Path) -> None:
    contents = {"a": b"x" * 9000, "b": b"x" * 9000, "c": b"y" + b"x" * 8999, "d": b"x" * 8999, "e": b"", "f": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert copies([str(tmp_path / name) for name in contents]) == [[0, 1]]


def test_groups_with_copies_become_one() -> None:
    assert joined_groups(["a", "b", "c", "d", "b"], [[0, 1], [4, 2]]) == ["a", "a", "a", "d", "a"]


@pytest.mark.parametrize("name", ["ut_interaction", "asl_letters", "pocus_lung_ultrasound"])
def test_real_sets_with_sides_of_their_own_pass(shared_data: Path, name: str) -> None:
    if not (shared_data / name).is_dir():
        pytest.skip(f"no {name}")
    labels = read_labels(shared_data / name)
    assert labels.given_split
    assert labels.leak is None
    assert not any("both sides" in note for note in labels.notes)
