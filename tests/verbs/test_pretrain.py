"""Runs of the whole line on a few generated videos."""

import json
import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
import torch
import yaml
from safetensors.torch import load_file

from reelvec.core import ReelvecError, RunFolder
from reelvec.data.index import SCHEMA, Index, index
from reelvec.data.shapes import make_shapes
from reelvec.engine.config import RunConfig
from reelvec.engine.log import read_log
from reelvec.engine.loop import check_batch
from reelvec.engine.memory import StepMemory
from reelvec.verbs import pretrain as pretrain_module
from reelvec.verbs.choose import choose_method
from reelvec.verbs.pretrain import pretrain
from tests.methods.conftest import small_method

sys.path.insert(0, str(Path(__file__).parent))
import trained_together

SMALL = ["batch=8", "cache_gb=1", "health_every=4", "log_every=1", "queue=32", "view.size=32", "short_side=36"]


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos") / "shapes"
    make_shapes(folder, videos=(24, 8), seed=3, truth=False)
    return folder / "train"


def final_weights(run, step):
    folder = RunFolder(run).step_folder(step)
    return {**load_file(folder / "method.safetensors"), **load_file(folder / "optimizer.safetensors")}


def assert_equal_weights(first, second):
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("method", ["modist", "cmd", "v3s"])
def test_pictures_may_travel_as_planes(shapes, tmp_path, method):
    """The same draws and nearly the same pictures: the first loss is that of the run in RGB but for roundings."""
    losses = []
    for pictures in ("rgb", "yuv"):
        settings = [*SMALL[:-3], "view.size=32", "short_side=36", "steps=1", f"pictures={pictures}"]
        pretrain(shapes, method, settings=settings, out=tmp_path / pictures)
        losses.append(next(row["loss"] for row in read_log(RunFolder(tmp_path / pictures).log) if "loss" in row))
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert (losses[0] == losses[1]) is (method == "cmd")  # whose key frames travel as RGB, and so all does


@pytest.mark.parametrize("method", ["modist", "rho_moco"])
def test_a_run_leaves_all_that_was_promised(shapes, tmp_path, method):
    events = []
    summary = pretrain(
        shapes, method, settings=[*SMALL, "steps=4", "save_every=2"], out=tmp_path / "run", on_event=events.append
    )
    run = RunFolder(tmp_path / "run")
    assert run.saved_steps() == [2, 4]
    assert {e["kind"] for e in events} >= {"message", "start", "health", "progress", "saved", "end"}
    rows = read_log(run.log)
    assert [r["step"] for r in rows if "loss" in r] == [1, 2, 3, 4]
    assert all(math.isfinite(r["loss"]) for r in rows if "loss" in r)
    assert [r["step"] for r in rows if "health" in r] == [0, 4]
    (shares,) = [r["time_shares"] for r in rows if "time_shares" in r]
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares["clips"], shares["views"], shares["networks"], shares["optimiser"]) > 0
    assert [e["text"] for e in events if e["kind"] == "message" and "where time goes" in e["text"] and "(MFU)" in e["text"]]
    (used,) = [r["mfu"] for r in rows if "mfu" in r]
    assert 0 < used < 2  # of a peak that is measured beside others' work
    assert {p.name for p in run.encoder.iterdir()} >= {"visual.safetensors", "visual.json"}
    assert summary["encoders"] == (["motion", "visual"] if method == "modist" else ["visual"])
    assert json.loads(run.environment.read_text())["versions"]["torch"] == torch.__version__


def test_a_run_that_was_cut_ends_as_if_it_was_not(shapes, tmp_path):
    settings = [*SMALL, "steps=6", "save_every=3"]
    pretrain(shapes, "modist", settings=settings, out=tmp_path / "straight")

    class CutError(Exception):
        pass

    def cut_after_four(event):
        if event["kind"] == "progress" and event["step"] == 4:
            raise CutError

    with pytest.raises(CutError):
        pretrain(shapes, "modist", settings=settings, out=tmp_path / "cut", on_event=cut_after_four)
    assert RunFolder(tmp_path / "cut").saved_steps() == [3]
    pretrain(shapes, "modist", settings=settings, out=tmp_path / "cut")
    assert_equal_weights(final_weights(tmp_path / "straight", 6), final_weights(tmp_path / "cut", 6))
    steps = [r["step"] for r in read_log(RunFolder(tmp_path / "cut").log) if "loss" in r]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_run_that_holds_its_videos_on_the_device_is_the_same_run(shapes, tmp_path):
    for where in ("host", "device"):
        settings = [*SMALL, "steps=3", f"cache_on={where}", "pictures=yuv"]
        pretrain(shapes, "modist", settings=settings, out=tmp_path / where)
    assert_equal_weights(final_weights(tmp_path / "host", 3), final_weights(tmp_path / "device", 3))
    with pytest.raises(ReelvecError, match="cache_on=device"):
        pretrain(shapes, "modist", settings=[*SMALL, "steps=3", "cache_on=device", "cache_gb=0"], out=tmp_path / "no")


def test_counting_operations_does_not_move_a_run(shapes, tmp_path, monkeypatch):
    pretrain(shapes, "modist", settings=[*SMALL, "steps=4"], out=tmp_path / "counted")
    monkeypatch.setattr(sys.modules["reelvec.engine.loop"], "count_flops", lambda *arguments: 1.0)
    pretrain(shapes, "modist", settings=[*SMALL, "steps=4"], out=tmp_path / "not")
    assert_equal_weights(final_weights(tmp_path / "counted", 4), final_weights(tmp_path / "not", 4))


@pytest.mark.parametrize("devices", [1, 2])
def test_ctrl_c_saves_the_step_it_is_in(shapes, tmp_path, devices):
    def interrupt(event):
        if event["kind"] == "progress" and event["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    settings = [*SMALL, "steps=500", "save_every=500"]
    with pytest.raises(KeyboardInterrupt):
        pretrain(shapes, "rho_moco", settings=settings, out=tmp_path / "run", devices=devices, on_event=interrupt)
    run = RunFolder(tmp_path / "run")
    (saved,) = run.saved_steps()
    assert 2 <= saved < 500
    assert [row["step"] for row in read_log(run.log) if "loss" in row] == list(range(1, saved + 1))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_9_at_ten_random_moments(shapes, tmp_path):
    """Every resumed run ends in weights bit-equal to the uninterrupted one, queues and optimiser included."""

    def start(run):
        settings = [*SMALL, "steps=40", "save_every=1", f"out={run}"]
        command = [sys.executable, "-m", "reelvec", "pretrain", str(shapes), "--method", "modist", "--json", *settings]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(run):
        process = start(run)
        _, error = process.communicate()
        assert process.returncode == 0, error

    began = time.perf_counter()
    finish(tmp_path / "straight")
    seconds = time.perf_counter() - began
    moments, runs, killed_at = random.Random(0), [tmp_path / "cut0"], []
    while len(killed_at) < 10:
        process = start(runs[-1])
        try:
            process.communicate(timeout=moments.uniform(0.2, 0.9) * seconds)
            runs.append(tmp_path / f"cut{len(runs)}")  # it came to its end first
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed_at.append(max(RunFolder(runs[-1]).saved_steps(), default=0))
    assert len({step for step in killed_at if 0 < step < 40}) >= 3, killed_at
    for run in runs:
        finish(run)
        assert_equal_weights(final_weights(tmp_path / "straight", 40), final_weights(run, 40))


def test_two_processes_equal_one_of_twice_the_batch(shapes, tmp_path, monkeypatch):
    """Losses agree to rounding; weights, buffers and queues are the same on both, and the queues those of one process."""
    settings = [*SMALL, "steps=3", "save_every=3"]
    pretrain(shapes, "modist", settings=settings, out=tmp_path / "one")
    monkeypatch.setattr(pretrain_module, "_train", trained_together.train_and_compare)
    events = []
    summary = pretrain(shapes, "modist", settings=settings, out=tmp_path / "two", devices=2, on_event=events.append)
    assert summary["differ"] == []
    assert [event["step"] for event in events if event["kind"] == "progress"] == [1, 2, 3]
    one, two = ([r["loss"] for r in read_log(RunFolder(tmp_path / run).log) if "loss" in r] for run in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-4)
    first, second = final_weights(tmp_path / "one", 3), final_weights(tmp_path / "two", 3)
    queues = [name for name in first if "queue" in name]
    assert len(queues) == 4  # keys and position of both pathways
    for name in queues:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=1e-4, msg=lambda m, name=name: f"{name}: {m}")


def test_what_goes_wrong_in_one_of_several_processes_is_said_in_words(shapes, tmp_path):
    settings = [*SMALL, "steps=40", "save_every=1", "optimiser.name=sgd", "optimiser.lr=1e30"]
    with pytest.raises(ReelvecError, match="the last good step") as caught:
        pretrain(shapes, "modist", settings=settings, out=tmp_path / "run", devices=2)
    assert "lower optimiser.lr" in caught.value.do
    assert RunFolder(tmp_path / "run").saved_steps()


def test_a_batch_that_does_not_divide_among_the_processes_is_refused(shapes, tmp_path):
    with pytest.raises(ReelvecError, match="multiple of 3"):
        pretrain(shapes, "modist", settings=[*SMALL, "steps=1"], out=tmp_path / "run", devices=3)
    assert not (tmp_path / "run").exists()


def test_byol_without_what_holds_it_apart_is_called_collapsed(shapes, tmp_path):
    settings = [*SMALL[:4], "view.size=32", "short_side=36", "steps=24", "optimiser.lr=0.02"]
    bad = pretrain(shapes, "rho_byol", settings=[*settings, "predictor=false", "momentum=0"], out=tmp_path / "bad")
    good = pretrain(shapes, "rho_byol", settings=settings, out=tmp_path / "good")
    contrast = pretrain(shapes, "rho_moco", settings=[*settings[:-1], "queue=32"], out=tmp_path / "contrast")
    assert [run["verdict"] for run in (bad, good, contrast)] == ["collapsed", "healthy", "healthy"]


def test_a_finished_run_says_again_how_it_ended(shapes, tmp_path):
    settings = [*SMALL, "steps=4", "save_every=4"]
    first = pretrain(shapes, "rho_moco", settings=settings, out=tmp_path / "run")
    log = RunFolder(tmp_path / "run").log
    told, events = log.read_bytes(), []
    again = pretrain(shapes, "rho_moco", settings=settings, out=tmp_path / "run", on_event=events.append)
    assert log.read_bytes() == told
    assert first["losses"]
    assert first["verdict"] in ("healthy", "shrinking", "collapsed")
    same = ("verdict", "losses", "steps", "encoders", "run")
    assert {key: again[key] for key in same} == {key: first[key] for key in same}
    assert again["clips_per_second"] == pytest.approx(first["clips_per_second"], abs=0.01)
    assert any("all 4 steps are done" in event.get("text", "") for event in events)
    assert not [event for event in events if event["kind"] in ("progress", "saved")]


def test_pace_counts_clips_and_not_videos(shapes, tmp_path):
    events = []
    pretrain(shapes, "rho_moco", settings=[*SMALL, "clips=3", "steps=2"], out=tmp_path / "run", on_event=events.append)
    (first, _) = [event for event in events if event["kind"] == "progress"]
    one_step_left = first["clips_per_second"] * first["seconds_left"]
    assert one_step_left == pytest.approx(8 * 3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["stepz=3"], "no such setting; near it: steps"),
        (["batch=500"], "24 usable videos"),
        (["steps=3", "epochs=2", "batch=8"], "both steps and epochs"),
        (["flow_source=nothing"], "flow_source"),
        (["device=cuda:7"], "CUDA devices"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_starts(shapes, tmp_path, settings, said):
    with pytest.raises(ReelvecError, match=said):
        pretrain(shapes, "modist", settings=settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_folder_is_not_mixed_with_another_run(shapes, tmp_path):
    pretrain(shapes, "rho_moco", settings=[*SMALL, "steps=1"], out=tmp_path / "run")
    with pytest.raises(ReelvecError, match="a run of rho_moco"):
        pretrain(shapes, "modist", settings=[*SMALL, "steps=1"], out=tmp_path / "run")
    with pytest.raises(ReelvecError, match="temperature"):
        pretrain(shapes, "rho_moco", settings=[*SMALL, "steps=1", "temperature=0.5"], out=tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_step(shapes, tmp_path):
    settings = [*SMALL, "steps=40", "save_every=1", "optimiser.name=sgd", "optimiser.lr=1e30"]
    with pytest.raises(ReelvecError, match="the last good step"):
        pretrain(shapes, "modist", settings=settings, out=tmp_path / "run")
    steps = RunFolder(tmp_path / "run").saved_steps()
    assert steps


def test_a_method_is_chosen_where_none_is_named(shapes, tmp_path):
    events = []
    summary = pretrain(shapes, settings=[*SMALL, "steps=1"], out=tmp_path / "run", on_event=events.append)
    assert summary["method"] == "modist"
    said = [event["text"] for event in events if event["kind"] == "message"]
    assert "no method named: modist, since" in said[0]
    assert sum(event["kind"] == "index" and event["done"] == 1 for event in events) <= 1  # indexed once
    again = pretrain(shapes, out=tmp_path / "run")  # what was chosen stays
    assert again["method"] == "modist"


def test_stills_get_a_method_that_needs_no_motion(tmp_path):
    folder = make_shapes(tmp_path / "shapes", videos=3, frames=2, split="train", truth=False)
    moving = index(folder)
    assert choose_method(moving)[0] == "modist"
    assert "patented" in choose_method(moving)[1]
    assert "with flow_source=codec" in choose_method(moving)[1]
    without = pa.array([False] * 3)
    at = moving.table.schema.get_field_index("has_motion_vectors")
    assert "(by OpenCV)" in choose_method(Index(moving.table.set_column(at, "has_motion_vectors", without)))[1]
    stills = Index(moving.table.set_column(moving.table.schema.get_field_index("frames"), "frames", pa.array([1] * 3)))
    assert choose_method(stills)[0] == "rho_moco"
    assert "3 of 3 files hold a single picture" in choose_method(stills)[1]


def test_memory_picks_a_chunk_and_the_run_keeps_it(shapes, tmp_path):
    said: list[str] = []

    def train(memory):
        settings = ["batch=16", "cache_gb=1", "view.size=32", "short_side=36", "steps=2", "save_every=1"]
        pretrain(
            shapes, "rho_simclr", settings=settings, out=tmp_path / "run", memory=memory,
            on_event=lambda event: said.append(event.get("text", "")),
        )  # fmt: skip
        return yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())

    chosen = train("25MB")
    assert chosen["batch"] == 16
    assert 8 <= chosen["chunk"] < 32
    assert [text for text in said if f"chunk={chosen['chunk']}" in text]
    assert train("1GB") == chosen  # it goes on: nothing is chosen again
    with pytest.raises(ReelvecError, match="smaller encoder"):
        pretrain(shapes, "rho_simclr", settings=["batch=16"], out=tmp_path / "none", memory="2MB")
    assert not (tmp_path / "none").exists()


def test_memory_is_planned_for_one_part_of_a_batch(tmp_path, monkeypatch):
    """On two processes in four parts each: 8 parts, of which a process holds one."""
    part = 2**30 / 1.3
    step = StepMemory(fixed=part, outside=part / 100, inside=part / 10, clip_inside=part / 20)
    monkeypatch.setattr(pretrain_module, "measure_step", lambda *arguments: step)
    config, said = RunConfig(method="rho_moco", batch=64, accumulate=4, device="cpu"), []

    def planned(memory, config=config):
        method = small_method("rho_moco")
        empty = Index(SCHEMA.empty_table())
        planned = pretrain_module._within_memory(memory, RunFolder(tmp_path / "none"), config, method, empty, 2, said.append)
        check_batch(planned, method, videos=64, world=2)
        return planned.batch, planned.chunk

    assert planned("2GB") == (64, None)
    assert planned("1.45GB") == (32, None)
    assert "a batch has 8" in said[-1]["text"]
    with pytest.raises(ReelvecError, match="multiple of 8"):  # which the plan neither makes nor hides
        planned("2GB", config.model_copy(update={"batch": 60}))


def test_compile_reaches_the_encoders_and_keeps_the_names(shapes, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    plain, fast = (
        pretrain(shapes, "rho_moco", settings=[*SMALL, "steps=1", f"compile={choice}"], out=tmp_path / choice)["run"]
        for choice in ("false", "true")
    )
    assert len(compiled) == 2  # the encoder and its slow copy
    assert_equal_weights(final_weights(plain, 1), final_weights(fast, 1))
