import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from reelvec import diagnose
from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import Encoder, EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.index import index
from reelvec.data.shapes import make_shapes
from reelvec.evals import read_labels
from reelvec.evals.changed_clips import (
    CHANGED,
    FROZEN,
    ORDINARY,
    SCENE_ONLY,
    VARIANTS,
    backwards_vectors,
    changes_for,
    shuffle,
)
from reelvec.evals.features import ChangedFeatures, read_changed
from reelvec.evals.motion_diagnosis import fill_diagnosis, judge, paired

sys.path.insert(0, str(Path(__file__).parent))
from encoders_by_hand import KnowsMotion, KnowsScene, hits

CPU = torch.device("cpu")


def card(name: str, stream: Stream = Stream.RGB, channels: int = 3, frames: int = 8, stride: int = 1) -> EncoderCard:
    return EncoderCard(
        name=name,
        architecture="set when saved",
        channels=channels,
        needs=Needs(streams=(StreamNeed(stream=stream, frames=frames, stride=stride),), clips=1, short_side=48),
        size=48,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        method="none",
        step=7,
    )


# the changes


@pytest.fixture
def clips() -> Tensor:
    """Frame t of clip b is 10 b + t all over."""
    values = 10 * torch.arange(3.0)[:, None] + torch.arange(6.0)
    return values[:, None, :, None, None].expand(3, 2, 6, 4, 4)


def order_of(frames: Tensor) -> list[list[int]]:
    assert torch.equal(frames, frames[:, :1, :, :1, :1].expand_as(frames))
    return (frames[:, 0, :, 0, 0] % 10).int().tolist()


def test_pictures_are_changed_as_the_names_say(clips: Tensor) -> None:
    changes, left_out = changes_for(card("visual"), seed=0)
    assert (tuple(changes), left_out) == (CHANGED, {})
    changed = {name: order_of(change(clips, torch.arange(3))) for name, change in changes.items()}
    assert changed["reversed"] == [[5, 4, 3, 2, 1, 0]] * 3
    assert changed["frozen"] == [[3] * 6] * 3
    assert changed["dropped"] == [[0, 0, 2, 2, 4, 4]] * 3
    assert all(sorted(order) == list(range(6)) for order in changed["shuffled"])


def test_an_order_is_drawn_for_each_clip_and_is_never_the_one_it_had(clips: Tensor) -> None:
    numbers = torch.tensor([7, 1 << 40, 12])
    orders = order_of(shuffle(clips, numbers, 3))
    assert orders == [order_of(shuffle(clips[i : i + 1], numbers[i : i + 1], 3))[0] for i in range(3)]
    assert orders != order_of(shuffle(clips, numbers, 4))
    many = order_of(shuffle(clips[:1, :, :3].expand(600, -1, -1, -1, -1), torch.arange(600), 0))
    assert [0, 1, 2] not in many
    assert len({tuple(order) for order in many}) == 5


def test_motion_is_changed_as_a_changed_video_would_move(clips: Tensor) -> None:
    changes, left_out = changes_for(card("motion", Stream.FLOW, 2), seed=0)
    assert list(left_out) == [SCENE_ONLY]
    assert torch.equal(changes["reversed"](clips, torch.arange(3)), backwards_vectors(clips, torch.arange(3)))
    assert backwards_vectors(clips, torch.arange(3))[1, 0, :, 0, 0].tolist() == [-15, -14, -13, -12, -11, -10]
    assert not changes["frozen"](clips, torch.arange(3)).any()
    edges, _ = changes_for(card("motion", Stream.FLOW_EDGES, 1), seed=0)
    assert order_of(edges["reversed"](clips, torch.arange(3))) == [[5, 4, 3, 2, 1, 0]] * 3


@pytest.mark.parametrize(
    ("stream", "left"),
    [(Stream.RGB, []), (Stream.FLOW_EDGES, [FROZEN]), (Stream.MOTION_VECTORS, ["reversed", FROZEN])],
)
def test_one_frame_has_no_order(stream: Stream, left: list[str]) -> None:
    changes, left_out = changes_for(card("one", stream, frames=1), seed=0)
    assert list(changes) == left
    assert set(changes) | set(left_out) == set(VARIANTS) - {ORDINARY}


# the numbers and the words


def test_paired_interval_is_the_formula_and_never_without_width() -> None:
    # 30 both right, 12 only the first, 2 only the second, 6 both wrong; half a video more in each
    cells = [30.5, 12.5, 2.5, 6.5]
    n = sum(cells)
    share, back = cells[1] / n, cells[2] / n
    half = 1.959964 * math.sqrt((share + back - (share - back) ** 2) / n)
    got = paired(torch.tensor([0.0] * 36 + [1.0] * 12 + [-1.0] * 2))
    assert (got.mean, got.low, got.high) == pytest.approx((0.2, share - back - half, share - back + half))
    still = paired(torch.zeros(100))
    assert still.low < 0 < still.high
    assert still.high < 0.02


def test_paired_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    for lost, gained in ((0.3, 0.05), (0.02, 0.02), (0.5, 0.0)):
        drawn = rng.choice([1.0, -1.0, 0.0], p=[lost, gained, 1 - lost - gained], size=(1000, 60))
        each = [paired(torch.from_numpy(row)) for row in drawn]
        assert np.mean([one.low <= lost - gained <= one.high for one in each]) > 0.93


@pytest.mark.parametrize(
    ("ordinary", "frozen", "scene_only", "word"),
    [
        (0.14, 0.12, 0.12, "not known"),
        (0.80, 0.12, 0.14, "motion"),
        (0.80, 0.25, 0.30, "mostly motion"),
        (0.80, 0.12, None, "by maps of motion"),
        (0.80, 0.79, 0.80, "scene"),
        (0.80, 0.65, 0.70, "mostly scene"),
        (0.80, 0.20, 0.80, "scene"),  # frozen clips are foreign to the probe, not empty
        (0.80, 0.46, 0.46, "motion and scene"),
        (0.80, None, None, "scene"),  # it reads one frame
    ],
)
def test_words_follow_from_intervals(ordinary: float, frozen: float | None, scene_only: float | None, word: str) -> None:
    given = {ORDINARY: ordinary, FROZEN: frozen, SCENE_ONLY: scene_only}
    verdict = judge({name: hits(share) for name, share in given.items() if share is not None}, hits(0.125))
    assert verdict.word == word
    assert ("foreign" in verdict.text) == (frozen == 0.20)


def test_few_videos_give_no_verdict() -> None:
    few = {ORDINARY: hits(0.75, 8), FROZEN: hits(0.5, 8), SCENE_ONLY: hits(0.5, 8)}
    assert judge(few, hits(0.125, 8)).word == "undecided"
    assert judge({ORDINARY: hits(0.5, 4)}, hits(0.25, 4)).word == "not known"


def test_numbers_by_hand() -> None:
    """Features that tell the class: all are right; frozen ones are empty, so one class is named for all."""
    labels = ["a", "b"] * 60
    test = [i >= 40 for i in range(120)]
    told = torch.eye(2)[[i % 2 for i in range(120)]] + 0.01 * torch.arange(120)[:, None]
    variants = {ORDINARY: told, "shuffled": told, "reversed": told.flip(1), FROZEN: torch.zeros(120, 2), "dropped": told}
    tables = fill_diagnosis([ChangedFeatures("x", [variants, variants], {})], labels, test)
    assert [table["measure"] for table in tables] == ["linear", "knn"]
    row = tables[0]["rows"][0]
    assert tables[0]["chance"] == 0.5
    assert row["values"] == {ORDINARY: 1, "shuffled": 1, "reversed": 0, FROZEN: 0.5, "dropped": 1, SCENE_ONLY: 0.5}
    assert row["lost"]["reversed"]["mean"] == 1
    assert row["lost"]["shuffled"]["mean"] == 0
    assert row["over_chance"]["mean"] == 0.5
    assert row["verdict"]["word"] == "motion"
    assert "reversed, 100.0" in row["verdict"]["text"].lower()


# the generated set is the truth


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("set") / "shapes", videos=(96, 64), seed=3, size=48, frames=17, truth=False)


@pytest.fixture(scope="module")
def words(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], dict]:
    """The linear row of an encoder for a column of labels."""
    labelled = read_labels(shapes / "labels.csv", label_column="motion,scene")
    probed = index([video.path for video in labelled.videos], workers=0)
    known = {
        "knows motion": (Encoder("by hand", KnowsMotion(), 3, 343), card("a", stride=2)),
        "knows scene": (Encoder("by hand", KnowsScene(), 3, 144), card("b", stride=2)),
    }
    test = labelled.test_mask("motion", 0.3, 0)
    found = {probed.row(i).path: i for i in range(len(probed))}
    rows = [found[video.path] for video in labelled.videos]
    folder = tmp_path_factory.mktemp("features")
    read = read_changed(known, probed, rows, test, folder=folder, clips=None, seed=0, baselines=False, device=CPU)
    assert read.found.all()

    def row(name: str, column: str) -> dict:
        tables = fill_diagnosis(read.rows, [video.labels[column] for video in labelled.videos], test)
        return next(row for row in tables[0]["rows"] if row["name"] == name)

    return row


def test_who_knows_motion_loses_all_of_it_when_frames_are_frozen(words: Callable[[str, str], dict]) -> None:
    row = words("knows motion", "motion")
    assert row["verdict"]["word"] == "motion", row["verdict"]["text"]
    assert row["low"][FROZEN] < 0.125 < row["high"][FROZEN]
    assert row["lost"]["reversed"]["low"] > 0  # left becomes right
    assert row["lost"]["shuffled"]["low"] > 0


def test_who_knows_the_scene_loses_nothing(words: Callable[[str, str], dict]) -> None:
    row = words("knows scene", "scene")
    assert row["verdict"]["word"] == "scene", row["verdict"]["text"]
    assert row["lost"][FROZEN]["mean"] == 0


def test_who_does_not_know_is_not_judged(words: Callable[[str, str], dict]) -> None:
    for name, column in (("knows scene", "motion"), ("knows motion", "scene")):
        row = words(name, column)
        assert row["verdict"]["word"] == "not known", row["verdict"]["text"]


# the verb


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    networks: list[tuple[Encoder, EncoderCard]] = []
    with torch.random.fork_rng():
        torch.manual_seed(5)
        networks.append((build_encoder("tiny"), card("visual", stride=2)))
        networks.append((build_encoder("tiny_motion", channels=1), card("motion", Stream.FLOW_EDGES, 1, stride=2)))
    for encoder, facts in networks:
        save_encoder(folder / "encoder", facts.name, encoder, facts)
    return folder


@pytest.fixture(scope="module")
def result(run: Path, shapes: Path) -> dict:
    lines = (shapes / "labels.csv").read_text().splitlines()
    few = [lines[0], *lines[1:17], *lines[97:105]]
    (shapes / "few.csv").write_text("\n".join(few))
    return diagnose(run, shapes / "few.csv", label_column="motion,scene")


def test_a_table_for_each_label_column_and_measure(result: dict, run: Path) -> None:
    named = [(table["label_column"], table["measure"]) for table in result["tables"]]
    assert named == [("motion", "linear"), ("motion", "knn"), ("scene", "linear"), ("scene", "knn")]
    for table in result["tables"]:
        assert [row["name"] for row in table["rows"]] == ["visual", "motion", "untrained visual", "untrained motion"]
        assert (table["train"], table["test"], table["columns"]) == (16, 8, list(VARIANTS))
        for row in table["rows"]:
            reads_motion = row["name"].endswith("motion")
            assert (SCENE_ONLY in row["left_out"]) == (SCENE_ONLY not in row["values"]) == reads_motion
            assert set(row["values"]) | set(row["left_out"]) == set(VARIANTS)
            assert set(row["lost"]) == set(row["values"]) - {ORDINARY}
            assert row["verdict"]["text"]
    assert json.loads(Path(result["file"]).read_text()) == result
    assert result["file"] == str(run / "evals" / "few-motion-step000007.json")


def test_the_picture_is_drawn(result: dict) -> None:
    picture = cv2.imread(result["picture"])
    assert picture is not None
    assert picture.shape[1] == 1000
    assert (picture != 255).any(2).mean() > 0.02


def test_it_repeats_whatever_else_is_read(result: dict, run: Path, shapes: Path, tmp_path: Path) -> None:
    torch.rand(3)
    again = diagnose(
        run,
        shapes / "few.csv",
        label_column="motion",
        encoders=("visual",),
        baselines=False,
        out=tmp_path / "again.json",
    )
    for table, before in zip(again["tables"], result["tables"][:2], strict=True):
        assert table["rows"] == before["rows"][:1]
    assert Path(again["picture"]) == tmp_path / "again.png"


def test_sides_that_are_drawn_for_each_column(run: Path, shapes: Path, tmp_path: Path) -> None:
    """Each column holds other videos out: each has its changed clips."""
    lines = (shapes / "few.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    table = [",".join(row[:1] + row[2:4]) for row in rows]
    table[1:] = [f"{shapes}/{line}" for line in table[1:]]
    (tmp_path / "unsplit.csv").write_text("\n".join(table))
    got = diagnose(
        run,
        tmp_path / "unsplit.csv",
        label_column="motion,scene",
        encoders=("visual",),
        baselines=False,
        out=tmp_path / "x.json",
    )
    assert all(0 < one["test"] < 16 for one in got["tables"])
    assert "held out by seed 0" in got["protocol"]["split"]


@pytest.mark.parametrize("broken", ["train", "test"])
def test_a_side_that_is_broken_as_a_whole(run: Path, shapes: Path, tmp_path: Path, broken: str) -> None:
    for number, name in enumerate(("a", "b")):
        for part in ("train", "test"):
            target = tmp_path / part / name / "1.mp4"
            target.parent.mkdir(parents=True)
            target.write_bytes(b"no video" if part == broken else (shapes / part / f"0000{number}.mp4").read_bytes())
    with pytest.raises(ReelvecError, match=r"(0 training and 2|2 training and 0) test videos that can be read; 2 cannot"):
        diagnose(run, tmp_path, encoders=("visual",), baselines=False)


def test_no_clips_are_refused(run: Path, shapes: Path) -> None:
    with pytest.raises(ReelvecError, match="clips=0"):
        diagnose(run, shapes / "labels.csv", label_column="motion", clips=0)
