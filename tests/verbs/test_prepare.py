import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import reelvec
from reelvec.core import Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.index import Index, index
from reelvec.data.streams import read_clips
from reelvec.verbs import prepare as verb
from reelvec.verbs.prepared_folder import targets_in

SMALL: dict[str, Any] = {"short_side": 32, "gop": 6, "workers": 0}


@pytest.fixture
def videos(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Class folders of good files in several formats, two of one stem, and files that are broken."""
    folder = tmp_path / "videos"
    make_video(folder / "walk" / "a.mp4", b_frames=3, frames=30)
    make_video(folder / "walk" / "a.avi", "mpeg4", frames=13)
    make_video(folder / "run" / "b.webm", "vp9", frames=20, variable_rate=True)
    make_video(folder / "run" / "deep" / "c.mkv", "hevc", frames=17, size=(65, 49), audio=True)
    make_video(folder / "d.mp4", frames=9, size=(96, 48), rotation=90)
    (folder / "run" / "cut.mp4").write_bytes((folder / "walk" / "a.mp4").read_bytes()[:900])
    (folder / "empty.mp4").touch()
    return folder


GOOD = ["d.mp4", "run/b.webm.mp4", "run/deep/c.mkv.mp4", "walk/a.avi.mp4", "walk/a.mp4"]


def tree(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


NOTES = ["index.parquet", "prepare.json", "prepared.jsonl", "sources.parquet"]


def test_a_folder_becomes_a_folder_of_the_same_tree(videos, tmp_path):
    out, progress, said = tmp_path / "out", [], []
    result = reelvec.prepare(videos, out, **SMALL, on_progress=lambda *at: progress.append(at), on_message=said.append)
    assert tree(out) == sorted(GOOD + NOTES)
    assert (result["videos"], result["prepared_now"], result["there_before"]) == (5, 5, 0)
    assert {Path(bad["path"]).name: bad["reason"] for bad in result["left_out"]}.keys() == {"cut.mp4", "empty.mp4"}
    assert all(bad["reason"] for bad in result["left_out"])
    assert 0 < result["gigabytes_after"] < result["gigabytes_before"]
    assert [at[:2] for at in progress[-5:]] == [(n, 5) for n in range(1, 6)]
    assert said[0].startswith("5 videos to prepare")
    assert "2 files are left out as broken" in said[0]
    made, sources = Index.load(out / "index.parquet"), index(videos)
    assert [os.path.relpath(made.row(i).path, out) for i in range(len(made))] == GOOD
    usable = [sources.row(int(i)) for i in sources.usable()]
    for row, source in zip((made.row(int(i)) for i in made.usable()), sorted(usable, key=lambda row: row.path), strict=True):
        assert row.path.endswith(source.path.removeprefix(str(videos))) or row.path.endswith(Path(source.path).name + ".mp4")
        assert (row.codec, row.rotation_degrees, row.has_audio) == ("h264", 0, source.has_audio)
        assert row.frames == source.frames
        np.testing.assert_allclose(row.frame_seconds, source.frame_seconds, rtol=0, atol=float(source.time_base) / 2)
        assert min(row.height, row.width) == 32
        assert row.has_motion_vectors
    assert index(out).table.equals(made.table)


def test_a_second_run_does_what_is_missing_or_changed(videos, tmp_path, make_video):
    out = tmp_path / "out"
    reelvec.prepare(videos, out, **SMALL)
    before = {name: (out / name).stat().st_mtime_ns for name in GOOD}
    again = reelvec.prepare(videos, out, **SMALL)
    assert (again["prepared_now"], again["there_before"], again["videos"]) == (0, 5, 5)
    assert {name: (out / name).stat().st_mtime_ns for name in GOOD} == before
    make_video(videos / "d.mp4", frames=11)
    (out / "walk" / "a.mp4").unlink()
    (out / "walk" / "a.avi.mp4").write_bytes(b"spoilt")
    make_video(videos / "new" / "e.mp4", frames=5)
    (videos / "run" / "b.webm").unlink()
    third = reelvec.prepare(videos, out, **SMALL)
    assert (third["prepared_now"], third["there_before"]) == (4, 1)
    made = Index.load(out / "index.parquet")
    frames = {os.path.relpath(made.row(i).path, out): made.row(i).frames for i in range(len(made))}
    assert frames == {"d.mp4": 11, "new/e.mp4": 5, "run/deep/c.mkv.mp4": 17, "walk/a.avi.mp4": 13, "walk/a.mp4": 30}


def test_processes_give_the_same_files(videos, tmp_path):
    alone = reelvec.prepare(videos, tmp_path / "alone", **SMALL)
    together = reelvec.prepare(videos, tmp_path / "together", **SMALL | {"workers": 2})
    assert alone["left_out"] == together["left_out"]
    for name in GOOD:  # not the same bytes: see _X264 in data/preparing.py
        (times, pictures), (other_times, others) = (shown(tmp_path / folder / name) for folder in ("alone", "together"))
        assert times == other_times
        assert np.abs(pictures - others).mean() < 0.5
        assert np.abs(pictures - np.roll(others, 1, axis=0)).mean() > 1  # one frame off would be seen


def shown(file: Path) -> tuple[list[int | None], np.ndarray]:
    """Times and pictures (grey levels) of a prepared file."""
    with av.open(str(file)) as container:
        frames = [(frame.pts, frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]
    return [time for time, _ in frames], np.stack([picture for _, picture in frames]).astype(np.float64)


def test_all_that_index_takes_can_be_prepared(videos, tmp_path):
    index(videos, tmp_path / "i.parquet")
    (videos / "list.csv").write_text("path,label\nwalk/a.mp4,1\nwalk/a.avi,1\n")
    assert reelvec.prepare(str(tmp_path / "i.parquet"), tmp_path / "1", **SMALL)["videos"] == 5
    assert tree(tmp_path / "1") == sorted(GOOD + NOTES)
    assert reelvec.prepare(str(videos / "**" / "*.mkv"), tmp_path / "2", **SMALL)["videos"] == 1
    assert tree(tmp_path / "2") == sorted(["run/deep/c.mkv.mp4", *NOTES])
    assert reelvec.prepare(videos / "list.csv", tmp_path / "3", **SMALL)["videos"] == 2
    assert tree(tmp_path / "3") == sorted(["a.mp4", "a.avi.mp4", *NOTES])
    reelvec.prepare([videos / "d.mp4", videos / "run" / "b.webm"], tmp_path / "4", **SMALL)
    assert tree(tmp_path / "4") == sorted(["d.mp4", "run/b.webm.mp4", *NOTES])


def test_no_two_sources_share_a_name():
    files = ["/v/x", "/v/x.mp4", "/v/x.avi", "/v/x.avi.mp4", "/v/x.avi.mp4.mp4", "/v/y/x.mp4", "/v/z.MP4"]
    targets = targets_in(Path("/o"), files, "/v")
    assert len(set(targets)) == len(files)
    assert targets[2] == "/o/x.avi.mp4"
    assert targets[5:] == ["/o/y/x.mp4", "/o/z.MP4"]


@pytest.mark.parametrize(
    ("change", "word"),
    [({"short_side": 48}, "short_side is 32, asked for 48"), ({"audio": "drop"}, "audio is keep"), ({"gop": 4}, "gop is 6")],
)
def test_other_settings_are_refused(videos, tmp_path, change, word):
    reelvec.prepare(videos / "walk", tmp_path / "out", **SMALL)
    before = tree(tmp_path / "out")
    with pytest.raises(ReelvecError) as error:
        reelvec.prepare(videos / "walk", tmp_path / "out", **SMALL | change)
    assert word in error.value.there
    assert tree(tmp_path / "out") == before


def test_folders_that_are_not_for_this_are_refused(videos, tmp_path):
    walk = videos / "walk"
    reelvec.prepare(walk, tmp_path / "out", **SMALL)
    with pytest.raises(ReelvecError, match="sources_below"):
        reelvec.prepare(videos / "run", tmp_path / "out", **SMALL)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").touch()
    with pytest.raises(ReelvecError, match=r"thesis\.txt"):
        reelvec.prepare(walk, other, **SMALL)
    for out in (walk, videos, walk / "a.mp4"):
        with pytest.raises(ReelvecError, match=r"lie in that folder|a file of that name"):
            reelvec.prepare(walk, out, **SMALL)
    assert tree(walk) == ["a.avi", "a.mp4"]
    (tmp_path / "out" / "prepare.json").write_text("{")
    with pytest.raises(ReelvecError, match="cannot be read"):
        reelvec.prepare(walk, tmp_path / "out", **SMALL)


def test_a_folder_in_which_nothing_was_prepared_yet_is_free(videos, tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "0.mp4").touch()
    with pytest.raises(ReelvecError, match="none of them a usable video"):
        reelvec.prepare(tmp_path / "none", tmp_path / "out", **SMALL)
    assert reelvec.prepare(videos / "walk", tmp_path / "out", **SMALL | {"gop": 8})["videos"] == 2


def test_a_folder_within_the_sources_is_not_prepared_again(videos):
    for _ in range(2):
        assert reelvec.prepare(videos, videos / "prepared", **SMALL)["videos"] == 5
    assert [name for name in tree(videos / "prepared") if name.endswith(".mp4")] == GOOD


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"short_side": 127}, "short_side=127"), ({"quality": 99}, "quality=99"), ({"flow": "dis"}, "flow=dis"),
        ({"flow_formula": "c"}, "flow_formula=c"), ({"flow_clamp": -1.0}, "flow_clamp=-1"), ({"audio": "mute"}, "audio=mute"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(videos, tmp_path, wrong, word, monkeypatch):
    # what a caller in Python may get wrong: the types say so too, where they are checked
    prepare = getattr(verb.prepare, "__wrapped__", verb.prepare)
    with pytest.raises(ReelvecError) as error:
        prepare(videos, tmp_path / "out", **SMALL | wrong)
    assert word in error.value.asked
    assert not (tmp_path / "out").exists()


def test_nothing_usable_ends_in_one_message(tmp_path, videos, monkeypatch):
    with pytest.raises(ReelvecError, match="none of them a usable video"):
        reelvec.prepare([videos / "empty.mp4", videos / "run" / "cut.mp4"], tmp_path / "1", **SMALL)
    monkeypatch.setattr(verb, "prepare_file", lambda task: verb.Outcome(reason="damaged at 0.10 s"))
    with pytest.raises(ReelvecError, match=r"not one could be prepared \(.*damaged"):
        reelvec.prepare(videos / "walk", tmp_path / "2", **SMALL)
    monkeypatch.undo()
    assert reelvec.prepare(videos / "walk", tmp_path / "2", **SMALL)["prepared_now"] == 2


def test_a_full_disk_ends_it_and_keeps_what_is_done(tmp_path, videos, monkeypatch):
    real = verb.prepare_file

    def full(task):
        return real(task) if task.target.endswith("d.mp4") else verb.Outcome(nowhere_to_write="No space left on device")

    monkeypatch.setattr(verb, "prepare_file", full)
    with pytest.raises(ReelvecError, match="No space left"):
        reelvec.prepare(videos, tmp_path / "out", **SMALL)
    monkeypatch.undo()
    again = reelvec.prepare(videos, tmp_path / "out", **SMALL)
    assert (again["there_before"], again["prepared_now"]) == (1, 4)


EDGES = Needs(
    streams=(
        StreamNeed(stream=Stream.RGB, frames=2, stride=2),
        StreamNeed(stream=Stream.FLOW_EDGES, frames=8, stride=1, clamp=8.0),
    ),
    clips=1,
    short_side=32,
)


def test_flow_edges_can_be_added_and_are_made_once(videos, tmp_path):
    out, flow, said = tmp_path / "out", {"flow": "edges", "flow_clamp": 8.0}, []
    reelvec.prepare(videos, out, **SMALL)
    rows = [Index.load(out / "index.parquet").row(i) for i in range(5)]
    computed = [read_clips(row, EDGES, [0.1])[Stream.FLOW_EDGES] for row in rows]
    before = {name: (out / name).stat().st_mtime_ns for name in GOOD}
    result = reelvec.prepare(videos, out, **SMALL, **flow, on_message=said.append)
    assert {name: (out / name).stat().st_mtime_ns for name in GOOD} == before
    pixels = sum(row.frames * row.width * row.height for row in rows)
    assert f"flow edges will take {pixels / 1e9:.3g} GB" in said[0]
    assert round(result["gigabytes_of_flow"] * 1e9) == pixels + 5 * 128  # a header each
    kept = [read_clips(row, EDGES, [0.1])[Stream.FLOW_EDGES] for row in rows]
    for one, other in zip(kept, computed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert reelvec.prepare(videos, out, **SMALL, **flow)["prepared_now"] == 0
    next(out.glob("d.mp4.edges*")).unlink()
    assert reelvec.prepare(videos, out, **SMALL, **flow)["prepared_now"] == 1
    assert len(list(out.rglob("*.npy"))) == 5


def test_flow_edges_that_do_not_fit_are_refused_before_the_work(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(verb.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 8, 2))
    with pytest.raises(ReelvecError, match="they take"):
        reelvec.prepare(videos, tmp_path / "out", **SMALL, flow="edges")
    assert not list((tmp_path / "out").rglob("*.mp4"))


def test_killed_at_any_time_it_leaves_whole_files_and_goes_on(tmp_path, make_video):
    """kill -9 for the whole group of processes, again and again, until it comes to its end."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 96, 128, 3), np.uint8)
    sources = [
        make_video(tmp_path / "videos" / f"{n}.mp4", frames=40, size=(128, 96), picture=lambda n: noise[n]) for n in range(6)
    ]
    out = tmp_path / "out"
    script = f"import reelvec; reelvec.prepare({str(tmp_path / 'videos')!r}, {str(out)!r}, short_side=96, workers=2)"
    reached = []
    for wait_for in (1, 4):
        process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
        deadline = time.monotonic() + 60
        while len(list(out.glob("*.mp4"))) < wait_for and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        finished = sorted(out.glob("*.mp4"))
        reached.append(len(finished))
        assert all(row == 40 for row in index(finished, workers=0).table.column("frames").to_pylist())
    subprocess.run([sys.executable, "-c", script], check=True)
    assert reached[0] >= 1
    assert reached == sorted(reached)
    assert tree(out) == sorted([*(source.name for source in sources), *NOTES])
    lines = [json.loads(line) for line in (out / "prepared.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["ok"] * 6
    assert len(Index.load(out / "index.parquet")) == 6


def test_what_is_prepared_can_be_trained_on(videos, tmp_path):
    reelvec.prepare(videos, tmp_path / "out", **SMALL, flow="edges")
    summary = reelvec.pretrain(
        tmp_path / "out" / "index.parquet", "modist", out=tmp_path / "run",
        settings=["steps=1", "batch=4", "view.size=32", "short_side=32", "queue=16", "encoder=tiny", "motion_encoder=tiny"],
    )  # fmt: skip
    assert summary["steps"] == 1
    assert summary["quarantined"] == []
