import os
import pickle
import shutil
import subprocess
import sys
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelvec.core import ReelvecError
from reelvec.data import probing
from reelvec.data.index import SCHEMA, Index, index, index_within


@pytest.fixture
def folder(small_video, tmp_path) -> Path:
    """Two good files, one of them deeper, one cut short, one empty, and things that are no video."""
    folder = tmp_path / "videos"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "x.mp4").mkdir()
    (folder / ".cache").mkdir()
    shutil.copy(small_video, folder / "b.mp4")
    shutil.copy(small_video, folder / "deep" / "er" / "A.MP4")
    shutil.copy(small_video, folder / ".cache" / "hidden.mp4")
    shutil.copy(small_video, folder / "._b.mp4")
    (folder / "cut.mp4").write_bytes(small_video.read_bytes()[:1000])
    (folder / "empty.mkv").touch()
    (folder / "notes.txt").write_text("no video")
    (folder / "deep" / "up").symlink_to(folder)
    return folder


def names(made: Index, status: str | None = None) -> list[str]:
    return [Path(r["path"]).name for r in made.table.to_pylist() if status in (None, r["status"])]


def test_a_folder_is_searched_through_and_every_file_has_its_row(folder):
    made = index(folder)
    assert names(made) == ["b.mp4", "cut.mp4", "A.MP4", "empty.mkv", "x.mp4"]
    assert names(made, "ok") == ["b.mp4", "A.MP4"]
    assert names(made, "not_video") == ["x.mp4"]
    assert made.usable().tolist() == [0, 2]
    assert all(reason for _, _, reason in made.bad())
    summary = made.summary()
    assert (summary["files"], summary["ok"], summary["broken"], summary["not_video"]) == (5, 2, 2, 1)
    assert summary["frames"] == 48
    assert summary["codecs"] == {"h264": 2}


def test_a_row_holds_what_decoding_needs(small_video):
    row = index(small_video).row(0)
    assert row.path == str(small_video)
    assert row.frames == 24
    assert row.pts.dtype == np.int64
    assert row.key_frames.dtype == np.int32
    assert isinstance(row.time_base, Fraction)
    np.testing.assert_allclose(row.frame_seconds, np.arange(24) / 24)
    assert index(small_video).row(0).frame_seconds.dtype == np.float64
    with pytest.raises(IndexError):
        index(small_video).row(1)


def test_rows_survive_a_process_border_and_a_file(folder, tmp_path):
    made = index(folder, tmp_path / "i.parquet")
    for again in (pickle.loads(pickle.dumps(made)), Index.load(tmp_path / "i.parquet"), index(tmp_path / "i.parquet")):
        assert again.table.equals(made.table)
        assert again.row(2).frame_seconds.tolist() == made.row(2).frame_seconds.tolist()
    row = pickle.loads(pickle.dumps(made.row(0)))
    assert row.pts.tolist() == made.row(0).pts.tolist()


def test_sources_a_pattern_a_list_a_table(folder, tmp_path):
    good = [folder / "b.mp4", folder / "deep" / "er" / "A.MP4"]
    assert names(index(f"{folder}/**/*.[mM][pP]4")) == ["b.mp4", "cut.mp4", "A.MP4", "x.mp4"]
    assert names(index([good[1], str(good[0]), good[1]])) == ["b.mp4", "A.MP4"]
    for name, text in {
        "named.csv": "label,Video\njump,b.mp4\nrun,deep/er/A.MP4\nrun,b.mp4\n",
        "first.csv": "b.mp4,jump\ndeep/er/A.MP4,run\n",
        "unnamed.csv": "what,where\njump,b.mp4\nrun,deep/er/A.MP4\n",
        "bom.csv": "\ufeffpath\nb.mp4\ndeep/er/A.MP4\n",
        "tabs.tsv": "label\tfile\njump\tb.mp4\nrun\tdeep/er/A.MP4\n",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
        assert names(index(folder / name)) == ["b.mp4", "A.MP4"], name
    (tmp_path / "elsewhere.csv").write_text(f"filename\n{good[0]}\nmissing.mp4\n")
    made = index(tmp_path / "elsewhere.csv")
    assert [(Path(p).name, reason) for p, _, reason in made.bad()] == [("missing.mp4", "there is no such file")]


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("nothing", "no such file or folder"),
        ("hollow", "the folder is empty"),
        ("texts", "none with the suffix of a video"),
        ("texts/*.mp4", "nothing matches"),
        ("bad", "none of them a usable video"),
        ("texts/list.csv", "no column is named path"),
        ("texts/empty.csv", "the file is empty"),
        ("texts/a.parquet", "it cannot be read"),
        ("texts/other.parquet", "no index"),
        ("gone.parquet", "no such file"),
        ([], "the list is empty"),
    ],
)
def test_sources_that_give_nothing_end_in_one_message(tmp_path, monkeypatch, source, word):
    monkeypatch.chdir(tmp_path)
    for name in ("hollow", "texts", "bad", "bad/x.mp4"):
        Path(name).mkdir()
    Path("texts/a.txt").write_text("no video")
    Path("texts/list.csv").write_text("a,b\n1,2\n")
    Path("texts/empty.csv").touch()
    Path("texts/a.parquet").write_text("no parquet")
    Path("bad/0.mp4").touch()
    pq.write_table(pa.table({"a": [1]}), "texts/other.parquet")
    with pytest.raises(ReelvecError) as caught:
        index(source)
    assert word in caught.value.there
    assert caught.value.asked
    assert caught.value.do


def test_the_index_is_written_even_if_nothing_in_it_is_usable(tmp_path):
    (tmp_path / "0.mp4").touch()
    with pytest.raises(ReelvecError):
        index(tmp_path, tmp_path / "out" / "i.parquet")
    assert Index.load(tmp_path / "out" / "i.parquet").bad()[0][2] == "empty: 0 bytes"


def test_an_index_of_another_version_is_refused_and_made_anew(folder, tmp_path):
    out = tmp_path / "i.parquet"
    made = index(folder, out)
    pq.write_table(made.table.replace_schema_metadata({"reelvec_index": "0"}), out)
    with pytest.raises(ReelvecError, match="version 0"):
        Index.load(out)
    assert index(folder, out).table.equals(made.table)
    assert Index.load(out).table.schema.equals(SCHEMA)


def test_an_index_opened_to_decode_holds_what_decoding_needs(folder, tmp_path):
    made = index(folder, tmp_path / "index.parquet")
    opened = Index.load(tmp_path / "index.parquet", to_decode=True)
    assert "content_hash" not in opened.table.column_names
    assert opened.usable().tolist() == made.usable().tolist()
    assert opened.bad() == made.bad()
    for i in range(len(made)):
        one, other = vars(made.row(i)), vars(opened.row(i))
        assert {name: str(value) for name, value in one.items()} == {name: str(value) for name, value in other.items()}
    with pytest.raises(AssertionError, match="lacks columns"):
        opened.save(tmp_path / "again.parquet")
    pq.write_table(made.table.drop_columns(["container"]), tmp_path / "other.parquet")
    with pytest.raises(ReelvecError, match="no index"):
        Index.load(tmp_path / "other.parquet")


def test_a_part_has_the_rows_asked_for(folder):
    made = index(folder)
    part = made.part([2, 0])
    assert [part.row(i).path for i in range(len(part))] == [made.row(2).path, made.row(0).path] == made.paths([2, 0])
    assert part.row(0).row == 0


def in_lists(made: Index) -> pa.Table:
    """The table with every number in lists, as it was kept before steps were."""
    lists = {"pts": pa.list_(pa.int64()), "key_frames": pa.list_(pa.int32())}
    table = made.table
    for name, kind in lists.items():
        numbers = [getattr(made.row(i), name) for i in range(len(made))]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(numbers, kind))
    return table


def test_an_index_of_earlier_is_read_and_used(folder, tmp_path, make_video, probed):
    make_video(folder / "odd.mkv", frames=20, rate=25, variable_rate=[1, 2, 5, 3])
    out = tmp_path / "i.parquet"
    made = index(folder)
    probed.clear()
    pq.write_table(in_lists(made), out)
    assert Index.load(out).table.equals(made.table)
    assert Index.load(out).table.schema.equals(SCHEMA, check_metadata=True)
    assert index(folder, out).table.equals(made.table)
    assert probed == []
    assert pq.read_table(out).schema.equals(SCHEMA)


def test_a_row_gives_what_was_probed(folder, make_video):
    make_video(folder / "odd.mkv", frames=20, rate=25, b_frames=2, variable_rate=[1, 2, 5, 3])
    make_video(folder / "one.mp4", frames=1)
    made = index(folder)
    for i in range(len(made)):
        row, probed = made.row(i), probing.probe(made.row(i).path)
        assert (row.pts.dtype, row.key_frames.dtype) == (np.int64, np.int32)
        assert row.pts.tolist() == list(probed["pts"])
        assert row.key_frames.tolist() == list(probed["key_frames"])
        assert made.probed(i) == probed | {name: [int(x) for x in probed[name]] for name in ("pts", "key_frames")}


@pytest.fixture
def probed(monkeypatch) -> list[str]:
    """Names of the files that are really probed, in this process."""
    seen: list[str] = []
    real = probing.probe

    def probe(path):
        seen.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(probing, "probe", probe)
    return seen


def test_a_second_run_probes_only_what_changed(folder, tmp_path, small_video, probed):
    out = tmp_path / "i.parquet"
    first = index(folder, out)
    assert len(probed) == 5
    probed.clear()
    assert index(folder, out).table.equals(first.table)
    assert probed == []
    os.utime(folder / "b.mp4", ns=(1, 1))
    (folder / "empty.mkv").unlink()
    shutil.copy(small_video, folder / "new.mp4")
    progress = []
    third = index(folder, out, on_progress=lambda *at: progress.append(at))
    assert sorted(probed) == ["b.mp4", "new.mp4"]
    assert names(third) == ["b.mp4", "cut.mp4", "A.MP4", "new.mp4", "x.mp4"]
    assert [(done, total) for done, total, _ in progress] == [(3, 5), (4, 5), (5, 5)]


def test_an_index_of_more_files_is_read_and_added_to(folder, tmp_path, small_video, probed):
    out = tmp_path / "i.parquet"
    whole = index(folder, out)
    probed.clear()
    before = out.read_bytes()
    part = index_within(out, [folder / "b.mp4", folder / "cut.mp4"])
    assert names(part) == ["b.mp4", "cut.mp4"]
    assert (probed, out.read_bytes()) == ([], before)
    new = tmp_path / "elsewhere" / "new.mp4"
    new.parent.mkdir()
    shutil.copy(small_video, new)
    assert names(index_within(out, [new, folder / "b.mp4"])) == ["new.mp4", "b.mp4"]
    assert probed == ["new.mp4"]
    kept = Index.load(out)
    assert sorted(names(kept)) == sorted([*names(whole), "new.mp4"])
    assert [kept.row(i).path for i in range(len(kept))] == sorted(kept.row(i).path for i in range(len(kept)))
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["i.parquet"]


def test_an_index_file_that_is_absent_is_made_and_one_that_is_something_else_is_left_alone(folder, tmp_path):
    made = index_within(tmp_path / "i.parquet", folder)
    assert Index.load(tmp_path / "i.parquet").table.equals(made.table)
    other = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"path": ["a.mp4"], "label": ["x"]}), other)
    before = other.read_bytes()
    with pytest.raises(ReelvecError, match="no index"):
        index_within(other, folder)
    assert other.read_bytes() == before


def test_what_is_finished_survives_a_kill(folder, tmp_path, probed):
    out, sidecar = tmp_path / "i.parquet", tmp_path / ".i.parquet.rows.jsonl"
    plain = index(folder)
    probed.clear()

    def stop(done, total, path):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index(folder, out, on_progress=stop)
    assert not out.exists()
    with open(sidecar, "a") as file:
        file.write('[1, {"path": "/half a li')
    assert len(probed) == 3
    assert index(folder, out).table.equals(plain.table)
    assert len(probed) == 5
    assert not sidecar.exists()


def test_processes_give_the_same_rows(folder):
    progress = []
    made = index(folder, workers=2, on_progress=lambda done, total, path: progress.append((done, total, Path(path).name)))
    assert made.table.equals(index(folder, workers=0).table)
    assert [p[:2] for p in progress] == [(n, 5) for n in range(1, 6)]
    assert sorted(p[2] for p in progress) == sorted(names(made))


@pytest.mark.parametrize(
    ("act", "reason"), [("os.kill(os.getpid(), signal.SIGSEGV)", "crashed"), ("signal.pause()", "did not end in time")]
)
def test_a_file_that_kills_or_holds_its_process_costs_that_file(folder, monkeypatch, tmp_path, act, reason):
    # a module of its own, which a new process imports in no time
    (tmp_path / "odd_probe.py").write_text(
        "import os, signal\nfrom reelvec.data.probe import empty_row\n"
        "def work(path, alive):\n"
        f"    if path.endswith('b.mp4'):\n        {act}\n"
        "    return empty_row(path) | {'status': 'ok'}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_probe", raising=False)
    monkeypatch.setattr(probing, "probe_watched", import_module("odd_probe").work)
    if "pause" in act:
        monkeypatch.setattr(probing, "_patience", lambda path: 0.0 if path.endswith("b.mp4") else 60.0)
    made = index(folder, workers=2)
    assert [(Path(path).name, status) for path, status, _ in made.bad()] == [("b.mp4", "broken")]
    assert reason in made.bad()[0][2]
    assert len(made.usable()) == 4


def test_a_script_without_a_guard_can_index_in_processes(folder, tmp_path):
    """New processes do not run the caller's script again."""
    script = tmp_path / "script.py"
    script.write_text(f"print('once')\nimport reelvec\nprint(len(reelvec.index({str(folder)!r}, workers=2)))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["once", "5"]


def test_real_videos_are_all_usable(shared_data):
    made = index(shared_data / "video_samples")
    assert made.bad() == []
    assert made.summary()["frames"] > 1000
