"""The generated set: its labels are independent, its truth is true, and no frame gives the motion away."""

import csv
import json
from collections import Counter
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from reelvec.core import ReelvecError
from reelvec.data.index import index
from reelvec.data.shapes import (
    MOTIONS,
    SCENES,
    Settings,
    Truth,
    draw_video,
    make_shapes,
    render,
    write_sheet,
    write_video,
)
from reelvec.data.shapes.motions import draw_path
from reelvec.data.shapes.render import combination
from reelvec.data.shapes.textures import CELLS, TextureDraws


@pytest.fixture(scope="module")
def small_set(tmp_path_factory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("shapes") / "set", videos=(64, 8), seed=3, frames=8)


def labels(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- classes


def test_every_combination_of_motion_and_scene_is_equally_likely():
    settings = Settings(videos={"train": 192})
    counts = Counter(combination(settings, "train", number) for number in range(192))
    assert len(counts) == len(MOTIONS) * len(SCENES) == 64
    assert set(counts.values()) == {3}


@pytest.mark.parametrize("videos", [1, 8, 37, 64, 300])
def test_classes_stay_balanced_for_any_number_of_videos(videos):
    settings = Settings(videos={"train": videos}, seed=5)
    pairs = [combination(settings, "train", number) for number in range(videos)]
    for names, place in ((MOTIONS, 0), (SCENES, 1)):
        counts = Counter(pair[place] for pair in pairs)
        assert max(counts.values()) - min(counts[name] for name in names) <= 1
    joint = Counter(pairs)
    assert max(joint.values()) - min(joint[m, s] for m in MOTIONS for s in SCENES) <= 1


def test_blocks_come_in_orders_of_their_own():
    settings = Settings(videos={"train": 128})
    orders = [tuple(combination(settings, "train", b * 64 + i) for i in range(64)) for b in range(2)]
    assert orders[0] != orders[1]
    other_seed = settings.model_copy(update={"seed": 1})
    assert orders[0] != tuple(combination(other_seed, "train", i) for i in range(64))


# --- a single frame says nothing about the motion


@pytest.mark.parametrize("frame", [0, 12, 23])
def test_the_state_in_a_frame_is_distributed_alike_in_all_motions(frame):
    """Place on the torus, angle, size: each class against uniform or against all others (Kolmogorov-Smirnov)."""
    settings, many = Settings(videos={"train": 1}), 400
    states = {}
    for offset, motion in enumerate(MOTIONS):
        paths = [draw_path(settings, "train", offset * many + i, motion) for i in range(many)]
        place = np.array([p.centre[frame] % settings.size for p in paths]) / settings.size
        states[motion] = np.column_stack([place, [p.angle / (2 * np.pi) for p in paths], [p.radius[frame] for p in paths]])
    limit = 1.95 / np.sqrt(many)  # exceeded by chance once in a thousand; the draws are fixed
    for motion, state in states.items():
        others = np.concatenate([s for m, s in states.items() if m != motion])
        for column in range(4):
            together = np.sort(np.concatenate([state[:, column], others[:, column]]))
            mine, theirs = (np.searchsorted(np.sort(s[:, column]), together, "right") / len(s) for s in (state, others))
            assert np.abs(mine - theirs).max() < limit * 1.07, (motion, column)


def test_single_decoded_frames_leave_the_motion_at_chance_and_give_the_scene(tmp_path):
    """Nearest centroid and logistic regression on one decoded frame: chance on motion, far above it on the scene."""
    train, test = 384, 256
    make_shapes(tmp_path / "set", videos=(train, test), size=40, frames=6, truth=False)
    rows = labels(tmp_path / "set")
    # the last of six: what compression leaves of the frames before would show there
    frames = np.stack([decoded(tmp_path / "set" / row["path"])[5] for row in rows])
    grey = np.stack([cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (24, 24), interpolation=cv2.INTER_AREA) for f in frames])
    spectrum = np.log1p(np.abs(np.fft.rfft2(grey - grey.mean((1, 2), keepdims=True))))
    features = np.concatenate([grey.reshape(len(grey), -1) / 64.0, spectrum.reshape(len(grey), -1)], 1)
    features = (features - features[:train].mean(0)) / (features[:train].std(0) + 1e-6)
    chance, deviation = 1 / 8, np.sqrt(1 / 8 * 7 / 8 / test)
    for classify in (nearest_centroid, logistic):
        motion = classify(features[:train], label(rows[:train], "motion"), features[train:])
        assert abs((motion == label(rows[train:], "motion")).mean() - chance) < 3.3 * deviation
    scene = logistic(features[:train], label(rows[:train], "scene"), features[train:])
    assert (scene == label(rows[train:], "scene")).mean() > 3 * chance


def label(rows: list[dict[str, str]], column: str) -> np.ndarray:
    return np.array([row[column] for row in rows])


def nearest_centroid(train: np.ndarray, names: np.ndarray, test: np.ndarray) -> np.ndarray:
    classes = np.unique(names)
    centroids = np.stack([train[names == c].mean(0) for c in classes])
    return classes[((test[:, None] - centroids) ** 2).sum(2).argmin(1)]


def logistic(train: np.ndarray, names: np.ndarray, test: np.ndarray, steps: int = 150) -> np.ndarray:
    classes, wanted = np.unique(names, return_inverse=True)
    weights = np.zeros((train.shape[1], len(classes)))
    for _ in range(steps):
        scores = train @ weights
        share = np.exp(scores - scores.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        share[np.arange(len(train)), wanted] -= 1
        weights -= 0.02 * (train.T @ share / len(train) + 0.01 * weights)
    return classes[(test @ weights).argmax(1)]


# --- truth


def first_number(settings: Settings, motion: str) -> int:
    return next(n for n in range(64) if combination(settings, "train", n)[0] == motion)


@pytest.mark.parametrize("camera", [0, 1, 0.3])
@pytest.mark.parametrize("motion", MOTIONS)
def test_flow_carries_each_frame_onto_the_next(motion, camera):
    """Fetch frame t+1 by the flow: it must be frame t, and be so less if the flow is wrong by a part of a pixel."""
    # thrice the usual size: textures are smooth there for a pixel, and interpolation errs little
    settings = Settings(videos={"train": 64}, frames=3, sprites=1, camera=camera, size=216)
    pixels, truth = render(settings, draw_video(settings, "train", first_number(settings, motion)))
    for t in range(settings.frames - 1):
        mask = (truth.masks[t] > 0).astype(np.uint8)
        both = np.maximum(mask, truth.masks[t + 1] > 0).astype(np.uint8)
        inside = cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0
        off = cv2.dilate(both, np.ones((9, 9), np.uint8)) == 0
        off[:9] = off[-9:] = off[:, :9] = off[:, -9:] = False  # the scene, unlike the sprite's plane, has sides
        flow = truth.flow[t].astype(np.float32)
        for region in (inside, off):
            error = unlikeness(pixels[t], pixels[t + 1], flow, region)
            assert error < 4
            for wrong in ((0.7, 0), (-0.7, 0), (0, 0.7), (0, -0.7)):
                assert error <= unlikeness(pixels[t], pixels[t + 1], flow + np.float32(wrong), region) + 0.1
        still = unlikeness(pixels[t], pixels[t + 1], 0 * flow, inside)
        assert unlikeness(pixels[t], pixels[t + 1], flow, inside) < 0.5 * still


def unlikeness(frame: np.ndarray, following: np.ndarray, flow: np.ndarray, region: np.ndarray) -> float:
    """Mean difference, in grey levels of 255, of a frame and the next one fetched by the flow, on a torus."""
    size = len(frame)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    torus = np.tile(following.astype(np.float32), (3, 3, 1))
    fetched = cv2.remap(torus, x + flow[..., 0] + size, y + flow[..., 1] + size, cv2.INTER_LINEAR)
    return float(np.abs(fetched - frame.astype(np.float32))[region].mean())


def test_still_camera_leaves_the_background_still():
    settings = Settings(videos={"train": 64}, frames=6)
    pixels, truth = render(settings, draw_video(settings, "train", 0))
    never = ~cv2.dilate(truth.masks.any(0).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    assert (pixels[:, never] == pixels[:1, never]).all()
    assert (truth.flow[truth.masks == 0] == 0).all()


def test_moving_camera_moves_the_background_alike_everywhere():
    settings = Settings(videos={"train": 64}, frames=12, camera=1.0)
    _, truth = render(settings, draw_video(settings, "train", 0))
    for flow, mask in zip(truth.flow, truth.masks, strict=True):
        assert (flow[mask == 0] == flow[mask == 0][0]).all()
    background = np.stack([flow[mask == 0][0] for flow, mask in zip(truth.flow, truth.masks, strict=True)]).astype(float)
    assert np.hypot(*background.T).mean() > 0.2
    assert np.abs(np.diff(background, axis=0)).max() < 2.5  # smooth


def test_a_slow_camera_goes_the_same_way_more_slowly():
    fast, slow = (Settings(videos={"train": 64}, camera=speed) for speed in (1.0, 0.25))
    paths = [draw_path(settings, "train", 3, "pulse") for settings in (fast, slow)]
    np.testing.assert_allclose(paths[1].camera, 0.25 * paths[0].camera)
    assert np.abs(paths[0].camera).max() > 1


def test_a_set_of_before_cameras_had_speeds_is_known_again(tmp_path):
    folder = make_shapes(tmp_path / "set", videos=(2, 1), size=32, frames=2, camera=True, truth=False)
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["camera"] == 1.0
    (folder / "settings.json").write_text(json.dumps({**settings, "camera": True}))
    assert make_shapes(folder, videos=(2, 1), size=32, frames=2, camera=1.0, truth=False) == folder


@pytest.mark.parametrize("camera", [-1.0, 11.0, float("nan")])
def test_a_camera_of_no_speed_is_refused(camera, tmp_path):
    with pytest.raises(ReelvecError, match="speed of 0 to 10"):
        make_shapes(tmp_path / "set", videos=(2, 1), camera=camera)


@pytest.mark.parametrize(("motion", "direction"), [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1))])
def test_straight_motions_go_where_their_names_say(motion, direction):
    settings = Settings(videos={"train": 64})
    path = draw_path(settings, "train", 7, motion)
    step = np.diff(path.centre, axis=0)
    assert np.allclose(step, np.array(direction) * path.speed[:, None])
    assert 1.0 <= path.speed[0] < 1.8
    assert np.ptp(path.radius) == 0


def test_round_motions_turn_as_on_a_clock_face_seen_on_the_screen():
    settings = Settings(videos={"train": 64})
    for motion, sense in (("clockwise", 1), ("anticlockwise", -1)):
        step = np.diff(draw_path(settings, "train", 9, motion).centre, axis=0)
        turn = step[:-1, 0] * step[1:, 1] - step[:-1, 1] * step[1:, 0]  # y down: positive is clockwise
        assert (np.sign(turn) == sense).all()


def test_swing_turns_back_and_pulse_stays_in_place():
    settings = Settings(videos={"train": 64}, frames=30)
    swing = draw_path(settings, "train", 2, "swing")
    assert {-1.0, 1.0} <= set(np.sign(np.diff(swing.centre[:, 0])))
    assert np.ptp(swing.centre[:, 1]) == 0
    pulse = draw_path(settings, "train", 2, "pulse")
    assert np.ptp(pulse.centre, axis=0).max() == 0
    assert pulse.radius.max() / pulse.radius.min() > 1.5


def test_speed_is_drawn_alike_for_all_motions():
    """Over whole periods every class has the same mean speed, up to what chords cut off arcs."""
    settings = Settings(videos={"train": 1}, frames=400)
    for number in range(3):
        speeds = [draw_path(settings, "train", number, motion).speed.mean() for motion in MOTIONS]
        assert max(speeds) / min(speeds) < 1.08


@pytest.mark.parametrize("size", [48, 72, 144])
def test_lengths_grow_with_the_picture(size):
    path = draw_path(Settings(videos={"train": 1}, size=size), "train", 0, "left")
    reference = draw_path(Settings(videos={"train": 1}), "train", 0, "left")
    assert np.allclose(path.centre / size, reference.centre / 72)
    assert np.allclose(path.radius / size, reference.radius / 72)


def test_truth_files_agree_with_the_table_and_with_themselves(tmp_path):
    folder = make_shapes(tmp_path / "one", videos=24, seed=3, frames=8, sprites=1, split="train")
    for row in labels(folder):
        truth = Truth.load((folder / "truth" / row["path"]).with_suffix(".npz"))
        assert truth.flow.shape == (8, 72, 72, 2)
        assert truth.flow.dtype == np.float16
        assert float(row["speed"]) == pytest.approx(truth.speed.mean(), abs=1e-4)
        for t in range(8):
            assert_tight(truth.boxes[t, 0], truth.masks[t] == 1)
        if row["motion"] != "pulse":
            # the label against the flow, not against the path it was computed from: the mean flow of the sprite
            flow = truth.flow[truth.masks > 0].astype(np.float64)
            assert np.hypot(*flow.T).mean() == pytest.approx(float(row["speed"]), rel=0.02)
            steps = (np.diff(truth.centre[:, 0], axis=0) + 36) % 72 - 36  # the short way on the torus
            assert np.allclose(np.hypot(*steps.T), truth.speed[:-1, 0], atol=1e-3)
        else:
            areas = (truth.masks > 0).sum((1, 2))
            growth = np.abs(np.diff(np.sqrt(areas)))
            assert growth.sum() / np.sqrt(areas.mean()) == pytest.approx(
                7 * float(row["speed"]) / float(row["radius"]), rel=0.25
            )


def assert_tight(boxes: np.ndarray, mask: np.ndarray) -> None:
    """Boxes of a sprite that nothing covers hold its whole mask, apart from one another, and touch it on each side."""
    covered = np.zeros(mask.shape, int)
    for x0, y0, x1, y1 in boxes:
        covered[y0:y1, x0:x1] += 1
        part = mask[y0:y1, x0:x1]
        if x1 > x0:
            assert part[0].any()
            assert part[-1].any()
            assert part[:, 0].any()
            assert part[:, -1].any()
    assert covered.max() <= 1
    assert covered[mask].all()


def test_sprites_of_a_video_move_alike_from_places_of_their_own(small_set):
    for row in labels(small_set)[:16]:
        truth = Truth.load((small_set / "truth" / row["path"]).with_suffix(".npz"))
        assert truth.boxes.shape == (8, 5, 4, 4)
        assert truth.masks.max() <= 5
        assert len(row["shapes"].split()) == len(row["textures"].split()) == 5
        steps = (np.diff(truth.centre, axis=0) + 36) % 72 - 36
        assert np.allclose(steps, steps[:, :1], atol=1e-3)
        assert len(np.unique(truth.centre[0], axis=0)) == 5
        for t in range(8):
            for k in range(5):  # what is seen of a sprite lies within its boxes
                y, x = np.nonzero(truth.masks[t] == k + 1)
                x0, y0, x1, y1 = truth.boxes[t, k].T[..., None]
                assert ((x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)).any(0).all()
                if len(x) and row["motion"] != "pulse":
                    flow = truth.flow[t, y, x].astype(np.float64)
                    assert np.allclose(np.hypot(*flow.T), truth.speed[t, k], atol=0.01)


# --- textures


def test_train_and_test_draw_texture_parameters_from_different_cells():
    drawn = {}
    for split in ("train", "test"):
        draws = TextureDraws(np.random.default_rng(0), split)
        drawn[split] = {int(draws.unit() * 2 * CELLS) for _ in range(2000)}
    assert len(drawn["train"]) == len(drawn["test"]) == CELLS
    assert not drawn["train"] & drawn["test"]


def test_sceneries_of_train_and_test_differ_for_equal_numbers():
    settings = Settings(videos={"train": 8, "test": 8}, frames=2)
    sceneries = [draw_video(settings, split, n).scenery for split in ("train", "test") for n in range(8)]
    for i, first in enumerate(sceneries):
        for second in sceneries[:i]:
            assert np.abs(first - second).mean() > 8


def test_sprite_stands_out_from_its_scene():
    settings = Settings(videos={"train": 64}, frames=2)
    for number in range(16):
        video = draw_video(settings, "train", number)
        pixels, truth = render(settings, video)
        plain = cv2.resize(video.scenery[3:-3, 3:-3], (72, 72), interpolation=cv2.INTER_AREA)
        assert np.abs(pixels[0] - plain)[truth.masks[0] > 0].max(1).mean() > 40


# --- files


def test_files_decode_fully_to_what_was_rendered(small_set):
    settings = Settings(videos={"train": 64, "test": 8}, seed=3, frames=8)
    rows = labels(small_set)
    assert len(rows) == 72
    for row in rows:
        frames = decoded(small_set / row["path"])
        assert frames.shape == (8, 72, 72, 3)
    for row in rows[:6]:
        number = int(Path(row["path"]).stem)
        pixels, _ = render(settings, draw_video(settings, row["split"], number))
        shown, grey = (np.asarray(f, np.float64).mean(-1) for f in (decoded(small_set / row["path"]), pixels))
        assert np.abs(shown - grey).mean() < 5
    with av.open(str(small_set / rows[0]["path"])) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 24)


def test_same_settings_make_the_same_bytes_in_any_order_and_number_of_threads(small_set, tmp_path):
    again = make_shapes(tmp_path / "again", videos=(64, 8), seed=3, frames=8, workers=2)
    assert content(again) == content(small_set)
    settings = Settings(videos={"train": 64, "test": 8}, seed=3, frames=8)
    for folder in ("alone/test", "alone/truth/test"):
        (tmp_path / folder).mkdir(parents=True)
    row = write_video(tmp_path / "alone", settings, "test", 5)
    assert row in labels(small_set)
    assert (tmp_path / "alone/test/00005.mp4").read_bytes() == (small_set / "test/00005.mp4").read_bytes()


def test_seeds_make_different_videos():
    settings = Settings(videos={"train": 1}, frames=2)
    other = settings.model_copy(update={"seed": 1})
    first, second = (render(s, draw_video(s, "train", 0))[0] for s in (settings, other))
    assert (first != second).mean() > 0.5


def test_longer_sets_begin_with_the_shorter():
    short, long = Settings(videos={"train": 3}, frames=2), Settings(videos={"train": 300, "test": 1}, frames=2)
    pixels = [render(s, draw_video(s, "train", 2))[0] for s in (short, long)]
    assert (pixels[0] == pixels[1]).all()


def test_b_frames_are_written_when_asked_for(tmp_path):
    kinds = {}
    for b_frames in (0, 2):
        out = make_shapes(tmp_path / str(b_frames), videos=8, split=("train",), truth=False, b_frames=b_frames)
        assert not (out / "truth").exists()
        with av.open(str(out / "train/00000.mp4")) as container:
            kinds[b_frames] = {int(frame.pict_type) for frame in container.decode(video=0)}
    assert kinds == {0: {1, 2}, 2: {1, 2, 3}}  # I, P, B in FFmpeg's numbers


# --- what stands there already


def test_the_same_set_is_reused_and_another_is_refused(tmp_path):
    asked = {"videos": 2, "frames": 3, "split": ["train"]}
    done = []
    out = make_shapes(tmp_path / "set", **asked, on_progress=lambda *count: done.append(count))
    assert done == [(1, 2), (2, 2)]
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert make_shapes(out, **asked) == out
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == times
    with pytest.raises(ReelvecError, match=r"seed=0 \(asked: 1\)"):
        make_shapes(out, **asked, seed=1)
    (out / "train/00001.mp4").unlink()
    with pytest.raises(ReelvecError, match=r"1 of its files are gone, train/00001.mp4 first"):
        make_shapes(out, **asked)


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("dear diary")
    with pytest.raises(ReelvecError, match="something else"):
        make_shapes(tmp_path, videos=1)
    with pytest.raises(ReelvecError, match="a file of that name"):
        make_shapes(tmp_path / "mine.txt", videos=1)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_is_left_when_making_is_interrupted(tmp_path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_shapes(tmp_path / "set", videos=3, frames=2, split=("test",), on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"videos": 0}, "one video or more"),
        ({"videos": (4,)}, "for 2 splits"),
        ({"videos": (4, -1)}, "one video or more"),
        ({"size": 71}, "even size"),
        ({"size": 16}, "at least 32"),
        ({"frames": 1}, "two frames"),
        ({"frames_per_second": 0}, "one a second"),
        ({"sprites": 0}, "1 to 50 sprites"),
        ({"sprites": 51}, "1 to 50 sprites"),
        ({"b_frames": -1}, "b_frames"),
        ({"b_frames": 17}, "b_frames"),
        ({"split": ("train", "holdout")}, "train, test"),
        ({"split": ()}, "name each split"),
        ({"split": ("train", "train")}, "once"),
    ],
)
def test_impossible_settings_are_refused_in_words(tmp_path, settings, says):
    with pytest.raises(ReelvecError, match=says):
        make_shapes(tmp_path / "set", **settings)
    assert not (tmp_path / "set").exists()


# --- the sheet


def test_sheet_shows_every_combination(small_set, tmp_path):
    sheet = cv2.imread(str(write_sheet(small_set, tmp_path / "sheet.png", frames=2)))
    assert sheet.shape[0] % len(MOTIONS) == sheet.shape[1] % len(SCENES) == 0
    cells = sheet.reshape(8, sheet.shape[0] // 8, 8, sheet.shape[1] // 8, 3).swapaxes(1, 2)
    assert (cells.std((2, 3, 4)) > 10).all()
    with pytest.raises(ReelvecError, match="no set of shapes"):
        write_sheet(tmp_path, tmp_path / "none.png")
    with pytest.raises(ReelvecError, match="no video of the split"):
        write_sheet(small_set, tmp_path / "none.png", split="val")


def test_key_frames_stand_where_they_were_asked_for(tmp_path):
    for gop, keys in ((12, [0, 12]), (6, [0, 6, 12, 18]), (48, [0])):
        folder = make_shapes(tmp_path / str(gop), videos=1, split="train", gop=gop, truth=False)
        assert index(folder / "train", workers=0).row(0).key_frames.tolist() == keys
    with pytest.raises(ReelvecError, match="gop=0"):
        make_shapes(tmp_path / "none", videos=1, gop=0)
