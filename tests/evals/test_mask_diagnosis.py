import json
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import Encoder, EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.index import index
from reelvec.data.shapes import Truth, make_shapes
from reelvec.evals import mask_diagnosis, read_labels
from reelvec.evals.changed_clips import ORDINARY
from reelvec.evals.dense.given_masks import read_masks
from reelvec.evals.evaluate import find_videos
from reelvec.evals.mask_diagnosis import diagnose_masks, draw_partners
from reelvec.evals.masked_clips import (
    BACKGROUND_ONLY,
    FROZEN_ON_STRIPES,
    MASKED,
    ON_STRIPES,
    SWAP,
    grow,
    masked_variants,
    put_on,
    stripes,
    without_object,
)
from reelvec.evals.object_or_background import BACKGROUND_LABEL, COLUMNS, MaskedFeatures, fill_masked, judge_masked

sys.path.insert(0, str(Path(__file__).parent))
from encoders_by_hand import KnowsMotion, KnowsScene, hits

SIZE = 32

# the clips


@pytest.fixture
def ramp() -> Tensor:
    """A still slope from left to right, the same in all channels (1 3 t s s)."""
    return (torch.arange(SIZE) / SIZE).expand(1, 3, 4, SIZE, SIZE).clone()


def square(*lefts: int) -> Tensor:
    """Masks of a square of 6 x 6 pixels that begins at these columns, frame by frame (1 t s s)."""
    masks = torch.zeros(1, len(lefts), SIZE, SIZE, dtype=torch.bool)
    for t, left in enumerate(lefts):
        masks[0, t, 10:16, left : left + 6] = True
    return masks


def test_the_object_stands_where_and_when_it_was(ramp: Tensor) -> None:
    masks = square(2, 6, 10, 14)
    frames = torch.where(masks[:, None], torch.arange(1.0, 5.0)[None, None, :, None, None], ramp)
    changed = put_on(frames, masks, torch.full((1, 3, 1, SIZE, SIZE), -1.0))
    for t, left in enumerate((2, 6, 10, 14)):
        assert (changed[0, :, t, 10:16, left : left + 6] == t + 1).all()
        assert (changed[0, :, t] == -1).sum() == 3 * (SIZE * SIZE - 36)


def test_what_was_seen_in_other_frames_stands_behind_the_object(ramp: Tensor) -> None:
    masks = square(2, 10, 18, 24)
    frames = torch.where(masks[:, None], 0.9, ramp)
    assert torch.equal(without_object(frames, masks), ramp)


def test_of_several_frames_the_median_is_taken_and_only_holes_are_filled(ramp: Tensor) -> None:
    masks = torch.zeros(1, 4, SIZE, SIZE, dtype=torch.bool)
    masks[:, 0, 12, 12] = True
    frames = ramp + torch.tensor([0.5, 0.1, 0.3, 0.2])[None, None, :, None, None]
    filled = without_object(frames, masks)
    hole = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    hole[11:14, 11:14] = True  # with the rim
    assert torch.allclose(filled[0, :, 0, hole], (ramp + 0.2)[0, :, 0, hole])
    assert torch.equal(filled[:, :, 1:], frames[:, :, 1:])
    assert torch.equal(filled[0, :, 0, ~hole], frames[0, :, 0, ~hole])


@pytest.mark.parametrize("fill", ["still", "frame"])
def test_what_is_never_seen_is_filled_from_around_it(ramp: Tensor, fill: str) -> None:
    masks = square(12, 12, 12, 12)
    filled = without_object(torch.where(masks[:, None], 1.0, ramp), masks, fill)  # type: ignore[arg-type]
    assert (filled - ramp).abs().max() < 0.15
    assert torch.equal(filled[:, :, :, :8], ramp[:, :, :, :8])
    whole = torch.ones_like(masks)
    assert (without_object(ramp, whole, fill) == 0.5).all()  # type: ignore[arg-type]


def test_a_rim_is_added_in_squares() -> None:
    masks = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    masks[0, 0, 4, 1] = True
    expected = torch.zeros(9, 9, dtype=torch.bool)
    expected[2:7, 0:4] = True
    assert torch.equal(grow(masks, 2)[0, 0], expected)


def test_stripes_are_sinusoids_and_hang_on_seed_and_number_alone() -> None:
    numbers = torch.tensor([3, 1 << 33, 7])
    drawn = stripes(numbers, 0, 48)
    assert drawn.shape == (3, 3, 1, 48, 48)
    assert torch.equal(drawn[1:2], stripes(numbers[1:2], 0, 48))
    assert not torch.equal(drawn, stripes(numbers, 1, 48))
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert (drawn.amax((3, 4)) - drawn.amin((3, 4)) > 0.4).all()
    # of a sinusoid all second differences along an axis are the same multiple of its distance from the middle
    middle = (drawn[0, 0, 0].max() + drawn[0, 0, 0].min()) / 2
    values, bent = drawn[0, 0, 0, :, 1:-1] - middle, drawn[0, 0, 0].diff(n=2)
    far = values.abs() > 0.1
    assert (bent / values)[far].std() < 0.05 * (bent / values)[far].mean().abs() + 1e-3


def test_all_variants_by_hand(ramp: Tensor) -> None:
    masks, other_masks = square(2, 6, 10, 14), square(20, 14, 8, 2)
    frames = torch.where(masks[:, None], torch.arange(4.0)[None, None, :, None, None], ramp)
    behind = ramp.flip(-1)
    others = torch.where(other_masks[:, None], 5.0, behind)
    got = masked_variants(frames, masks, others, other_masks, torch.tensor([4]), seed=2)
    assert tuple(got) == MASKED
    assert torch.equal(got[ORDINARY], frames)
    assert torch.equal(got[ON_STRIPES], torch.where(masks[:, None], frames, stripes(torch.tensor([4]), 2, SIZE)))
    assert all(torch.equal(got[FROZEN_ON_STRIPES][:, :, t], got[ON_STRIPES][:, :, 2]) for t in range(4))
    assert torch.equal(got[BACKGROUND_ONLY], ramp)
    assert torch.equal(got[SWAP], torch.where(masks[:, None], frames, behind))


# the partners, the numbers and the words


def test_partners_differ_in_every_label() -> None:
    labels = [{"motion": f"m{i % 3}", "scene": f"s{i % 4}"} for i in range(24)]
    partners, alone = draw_partners(labels, 0)
    assert alone == []
    assert all(labels[i][column] != labels[j][column] for i, j in partners.items() for column in labels[i])
    assert partners != draw_partners(labels, 1)[0]
    assert len(set(partners.values())) > 8
    confounded = [{"a": "x", "b": "y"}, {"a": "x", "b": "z"}, {"a": "w", "b": "y"}]
    assert draw_partners(confounded, 0) == ({1: 2, 2: 1}, [0])


@pytest.mark.parametrize(
    ("ordinary", "striped", "frozen", "swapped", "background", "word"),
    [
        (0.14, 0.60, 0.10, 0.60, 0.05, "not known"),
        (0.80, 0.60, 0.15, 0.60, 0.05, "moving object"),
        (0.80, 0.60, 0.55, 0.60, 0.05, "object"),
        (0.80, 0.13, 0.10, 0.60, 0.05, "object"),  # stripes are foreign to it: what they lack says nothing
        (0.80, 0.13, 0.10, 0.10, 0.70, "background"),
        (0.80, 0.50, 0.13, 0.40, 0.41, "object and background"),
        (0.80, 0.13, 0.13, 0.12, 0.13, "undecided"),
        (0.80, 0.13, 0.13, 0.12, 0.01, "undecided"),  # more often than the background, and no more than by chance
    ],
)
def test_words_follow_from_intervals(
    ordinary: float, striped: float, frozen: float, swapped: float, background: float, word: str
) -> None:
    shares = dict(zip(COLUMNS, (ordinary, striped, frozen, 0.13, swapped, background), strict=True))
    verdict = judge_masked({column: hits(share) for column, share in shares.items()}, hits(0.125), hits(0.125))
    assert verdict.word == word, verdict.text


def test_numbers_by_hand() -> None:
    """Features name the class: on stripes rightly, frozen there not; swapped, a quarter the object's, the rest the other's."""
    labels = ["a", "b"] * 20
    told = torch.eye(2)[[i % 2 for i in range(40)]] + 0.001 * torch.arange(40)[:, None]
    swapped = torch.where((torch.arange(40) < 10)[:, None], told, told.flip(1))
    clips = dict(zip(MASKED, (told, told, told.flip(1), told.flip(1), swapped), strict=True))
    others = [{"a": "b", "b": "a"}[label] for label in labels]
    table = fill_masked([MaskedFeatures("x", [told, told], [clips, clips])], labels, labels, others)
    row = table["rows"][0]
    assert list(row["values"].values()) == [1, 1, 0, 0, 0.25, 0.75]
    assert table["columns"] == list(row["values"])
    assert (table["chance"], table["train"], table["test"], row["contra"]) == (0.5, 40, 40, 1)
    assert row["lost"][ON_STRIPES]["mean"] == 0
    assert row["lost_with_motion"]["mean"] == 1
    assert row["object_over_background"]["mean"] == -0.5
    assert row["verdict"]["word"] == "background"


# the generated set is the truth


def card(channels: int = 3, stream: Stream = Stream.RGB, size: int = 48) -> EncoderCard:
    return EncoderCard(
        name="visual", architecture="set when saved", channels=channels, size=size, method="none", step=7,
        mean=(0.0,) * channels, std=(1.0,) * channels,
        needs=Needs(streams=(StreamNeed(stream=stream, frames=8, stride=2),), clips=1, short_side=size),
    )  # fmt: skip


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("set") / "shapes", videos=(64, 40), seed=3, size=48, frames=17)


def asked_of(known: Encoder, shapes: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    """The row of an encoder for each column of labels."""
    monkeypatch.setattr(mask_diagnosis, "load_encoder", lambda run, name: (known, card()))
    result = diagnose_masks("by hand", shapes, baselines=False, out=out)
    assert result["left_out"] == []
    return {table["label_column"]: table["rows"][0] for table in result["tables"]}


def test_who_knows_motion_follows_the_moving_object(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = asked_of(Encoder("by hand", KnowsMotion(), 3, 343), shapes, tmp_path / "x.json", monkeypatch)
    motion = rows["motion"]
    assert motion["verdict"]["word"] == "moving object", motion["verdict"]["text"]
    assert motion["low"][FROZEN_ON_STRIPES] < 0.125 < motion["high"][FROZEN_ON_STRIPES]
    assert motion["values"][SWAP] > 0.4 > 0.2 > motion["values"][BACKGROUND_LABEL]
    assert motion["lost"][BACKGROUND_ONLY]["low"] > 0
    assert rows["scene"]["verdict"]["word"] == "not known", rows["scene"]["verdict"]["text"]


def test_who_knows_the_scene_follows_the_background(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = asked_of(Encoder("by hand", KnowsScene(), 3, 144), shapes, tmp_path / "x.json", monkeypatch)
    scene = rows["scene"]
    assert scene["verdict"]["word"] == "background", scene["verdict"]["text"]
    assert scene["values"][BACKGROUND_LABEL] > 0.4 > 0.2 > scene["values"][SWAP]
    assert scene["lost"][ON_STRIPES]["low"] > 0
    assert scene["lost_with_motion"]["mean"] == 0  # it looks at the frame that is frozen
    assert rows["motion"]["verdict"]["word"] == "not known", rows["motion"]["verdict"]["text"]


# the verb


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        save_encoder(folder / "encoder", "visual", build_encoder("tiny"), card())
        save_encoder(folder / "encoder", "motion", build_encoder("tiny_motion", channels=1), card(1, Stream.FLOW_EDGES))
    return folder


@pytest.fixture(scope="module")
def few(shapes: Path) -> Path:
    """Labels of 16 training and 9 test videos of the set."""
    lines = (shapes / "labels.csv").read_text().splitlines()
    (shapes / "few.csv").write_text("\n".join([lines[0], *lines[1:17], *lines[65:74]]))
    return shapes / "few.csv"


@pytest.fixture(scope="module")
def result(run: Path, few: Path) -> dict:
    return diagnose_masks(run, few, label_column="motion,scene")


def test_a_table_for_each_label_column(result: dict, run: Path) -> None:
    assert [table["label_column"] for table in result["tables"]] == ["motion", "scene"]
    for table in result["tables"]:
        assert (table["train"], table["test"]) == (16, 9)
        assert [row["name"] for row in table["rows"]] == ["visual", "untrained visual"]
        assert all(set(row["values"]) == set(row["low"]) == set(row["high"]) == set(COLUMNS) for row in table["rows"])
    assert set(COLUMNS) <= set(result["protocol"])
    assert "median" in result["protocol"][BACKGROUND_ONLY]
    assert json.loads(Path(result["file"]).read_text()) == result
    assert result["file"] == str(run / "evals" / "few-masks-step000007.json")


def test_examples_are_drawn(result: dict) -> None:
    picture = cv2.imread(result["picture"])
    assert picture is not None
    assert picture.shape[0] > 3 * 6 * 120
    assert (picture != 255).any(2).mean() > 0.2


def test_masks_as_pictures_give_the_same_numbers(result: dict, run: Path, few: Path, tmp_path: Path) -> None:
    """Named by the file alone, in a folder of their own; videos without masks, and with empty ones, are left out."""
    lines = few.read_text().splitlines()
    for line in lines[17:]:
        name = Path(line.split(",")[0])
        place = tmp_path / "masks" / name.stem
        place.mkdir(parents=True)
        for t, mask in enumerate(Truth.load(few.parent / "truth" / name.with_suffix(".npz")).masks):
            cv2.imwrite(str(place / f"{t:03d}.png"), 255 * (mask > 0).astype(np.uint8))
    settings = {"label_column": "motion,scene", "masks": tmp_path / "masks", "baselines": False, "out": tmp_path / "x.json"}
    again = diagnose_masks(run, few, **settings)
    for table, before in zip(again["tables"], result["tables"], strict=True):
        assert table["rows"] == before["rows"][:1]
    shutil.rmtree(tmp_path / "masks" / "00001")
    for picture in (tmp_path / "masks" / "00002").glob("*.png"):
        cv2.imwrite(str(picture), np.zeros((48, 48), np.uint8))
    fewer = diagnose_masks(run, few, **settings)
    assert [table["test"] for table in fewer["tables"]] == [7, 7]
    assert [(Path(one["path"]).stem, one["reason"].split(" in ")[0]) for one in fewer["left_out"]] == [
        ("00001", "no masks"),
        ("00002", "nothing is masked"),
    ]


@pytest.fixture
def moving(tmp_path: Path) -> Path:
    return make_shapes(tmp_path / "moving", videos=(8, 8), seed=1, size=48, frames=9, camera=True)


def test_a_moving_camera_fills_frame_by_frame(run: Path, moving: Path, tmp_path: Path) -> None:
    result = diagnose_masks(run, moving, label_column="motion", out=tmp_path / "x.json", baselines=False)
    assert "each frame" in result["protocol"][BACKGROUND_ONLY]


def test_a_video_that_breaks_later(run: Path, moving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left out, and so are those that were to stand on its background; the rest is read."""
    partners, _ = draw_partners(
        [video.labels for video in read_labels(moving / "labels.csv", label_column="motion").videos[:8]], 0
    )
    chosen = max(partners.values(), key=list(partners.values()).count)
    broken = moving / "test" / f"{chosen:05d}.mp4"
    waiting = {f"{i:05d}" for i, j in partners.items() if j == chosen and i != chosen}

    def probe_and_break(*asked: Any) -> Any:
        probed = find_videos(*asked)
        broken.write_bytes(b"no video any more")
        return probed

    monkeypatch.setattr(mask_diagnosis, "find_videos", probe_and_break)
    result = diagnose_masks(run, moving, label_column="motion", out=tmp_path / "x.json", baselines=False)
    left_out = {Path(one["path"]).stem: one["reason"] for one in result["left_out"]}
    assert set(left_out) == {broken.stem, *waiting}
    assert all("swapped" in left_out[name] for name in waiting)
    assert result["tables"][0]["test"] == 8 - len(left_out)


def test_masks_must_be_those_of_the_video(shapes: Path, tmp_path: Path) -> None:
    video = index([shapes / "test" / "00000.mp4"], workers=0).row(0)
    truth = Truth.load(shapes / "truth" / "test" / "00000.npz").masks
    seconds = np.array([0.0, 3 / 24, 5 / 24, 17 / 24])  # the last one is the first again
    assert np.array_equal(read_masks(shapes / "truth" / "test" / "00000.npz", video, seconds), truth[[0, 3, 5, 0]] > 0)
    for wrong, words in (
        ({"masks": truth[:-1]}, "16 masks of 48 x 48 pixels, and 17 frames"),
        ({"masks": truth[:, 1:]}, "17 masks of 48 x 47 pixels, and 17 frames"),
        ({"other": truth}, "but other"),
    ):
        np.savez(tmp_path / "wrong.npz", **wrong)
        with pytest.raises(ReelvecError, match=words):
            read_masks(tmp_path / "wrong.npz", video, seconds)


def test_what_cannot_be_taken_apart_is_refused(run: Path, few: Path, tmp_path: Path) -> None:
    with pytest.raises(ReelvecError, match="RGB"):
        diagnose_masks(run, few, encoder="motion")
    with pytest.raises(ReelvecError, match=r"no folder .*with masks"):
        diagnose_masks(run, few, masks=tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReelvecError, match="of 9 test videos 0 with masks"):
        diagnose_masks(run, few, masks=tmp_path / "empty", label_column="motion")
