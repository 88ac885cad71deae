"""The loader with readers that misbehave, and with real files."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest
import torch

from reelvec.core import Batch, Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.index import Index, index
from reelvec.data.loader import ClipLoader, EvenPlan, Quarantined, TrainingPlan
from reelvec.data.reading import BatchReader
from reelvec.data.workers import _HandedOver

sys.path.insert(0, str(Path(__file__).parent))
from odd_readers import NEEDS, OddReader, PretendIndex

ODD = OddReader()
WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])


def loader(videos: int | Index, reader=ODD, needs: Needs = NEEDS, batch: int = 4, plan=None, **arguments) -> ClipLoader:
    index = PretendIndex(videos) if isinstance(videos, int) else videos
    return ClipLoader(index, needs, plan or TrainingPlan(index, needs, 0), batch, reader=reader, **arguments)


def frozen(*rows: int) -> frozenset[int]:
    return frozenset(rows)


def steps(first: int, last: int, batch: int = 4) -> list[range]:
    return [range(step * batch, (step + 1) * batch) for step in range(first, last)]


def assert_equal(one: Batch, other: Batch) -> None:
    assert one.streams.keys() == other.streams.keys()
    for stream in one.streams:
        assert torch.equal(one.streams[stream].frames, other.streams[stream].frames)
        assert torch.equal(one.streams[stream].size, other.streams[stream].size)
    for name in ("numbers", "rows", "start_seconds", "span_seconds"):
        assert torch.equal(getattr(one, name), getattr(other, name))


class TestBatches:
    def test_a_batch_tells_what_was_drawn(self):
        with loader(9) as clips:
            batch = next(clips.batches(steps(1, 2)))
        requests = [clips.plan.request(number, 0) for number in range(4, 8)]
        assert batch.numbers.tolist() == [4, 5, 6, 7]
        assert batch.rows.tolist() == [request.row for request in requests]
        torch.testing.assert_close(batch.start_seconds, torch.tensor([request.start_seconds for request in requests]))
        torch.testing.assert_close(batch.span_seconds, torch.full((4,), 4 * 2 / 24))

    def test_pictures_of_different_sizes_are_padded_at_the_right_and_bottom(self):
        with loader(9, batch=9) as clips:
            batch = next(clips.batches())
        pictures = batch.streams[Stream.RGB]
        assert pictures.frames.shape == (9, 2, 3, 4, 8, 8)
        assert pictures.frames.dtype == torch.uint8
        assert pictures.size.tolist() == [[6 + row % 3, 8] for row in batch.rows.tolist()]
        for frames, (height, _), row in zip(pictures.frames, pictures.size.tolist(), batch.rows.tolist(), strict=True):
            assert (frames[:, 1:, :, :height] == row).all()
            assert (frames[:, :, :, height:] == 0).all()

    @WORKERS
    def test_what_comes_out_does_not_depend_on_the_workers(self, workers):
        asked = steps(0, 5)  # 20 samples of 9 videos: batches lie across epochs
        reader = OddReader(broken=frozen(2, 5))
        with loader(9, reader) as here, loader(9, reader, workers=workers) as there:
            for one, other in zip(here.batches(asked), there.batches(asked), strict=True):
                assert_equal(one, other)
            assert there.quarantine == here.quarantine

    @WORKERS
    def test_a_run_that_begins_later_reads_the_same(self, workers):
        with loader(9, workers=workers) as whole, loader(9, workers=workers) as resumed:
            for one, other in zip(islice(whole.batches(steps(0, 6)), 3, None), resumed.batches(steps(3, 6)), strict=True):
                assert_equal(one, other)

    @WORKERS
    def test_by_default_every_video_of_the_plan_comes_once(self, workers):
        with loader(9, workers=workers) as clips:
            batches = list(clips.batches())
        assert [len(batch) for batch in batches] == [4, 4, 1]
        assert sorted(row for batch in batches for row in batch.rows.tolist()) == list(range(9))

    def test_a_pass_may_be_given_up_and_passes_may_be_mixed(self):
        with loader(9, workers=2) as clips, loader(9) as here:
            given_up = clips.batches(steps(0, 9))
            next(given_up)
            given_up.close()
            one, other = clips.batches(steps(2, 6)), clips.batches(steps(4, 8))
            mixed = [next(pair) for _ in range(4) for pair in (one, other)]
            wanted = [step for pair in zip(steps(2, 6), steps(4, 8), strict=True) for step in pair]
            for batch, plain in zip(mixed, here.batches(wanted), strict=True):
                assert_equal(batch, plain)

    def test_reads_no_further_ahead_than_two_batches_for_each_worker(self):
        asked = []
        with loader(9, workers=2) as clips:
            batches = clips.batches(step for step in steps(0, 20) if asked.append(step) is None)
            next(batches)
            assert len(asked) == 4
            next(batches)
            assert len(asked) == 5

    @WORKERS
    def test_waiting_is_measured(self, workers):
        with loader(9, workers=workers) as clips:
            assert clips.waiting_seconds == 0
            waited = [clips.waiting_seconds for _ in clips.batches()]
        assert waited[0] > 0
        assert waited == sorted(waited)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs a GPU")
    def test_pictures_in_pinned_memory(self):
        with loader(9, pin=True) as clips:
            assert next(clips.batches()).streams[Stream.RGB].frames.is_pinned()


class TestBrokenFiles:
    @WORKERS
    def test_an_epoch_with_a_third_broken_comes_through(self, workers):
        broken = frozen(*range(0, 30, 3))
        with loader(30, OddReader(broken=broken), workers=workers, batch=6) as clips:
            batches = list(clips.batches())
        assert [len(batch) for batch in batches] == [6] * 5
        read = [row for batch in batches for row in batch.rows.tolist()]
        assert not broken.intersection(read)
        assert set(read) == set(range(30)) - broken
        assert {entry.path for entry in clips.quarantine} == {f"/videos/{row}.mp4" for row in broken}
        assert {entry.reason for entry in clips.quarantine} == {"no picture in it"}

    def test_a_broken_file_is_opened_once_and_counted_each_time(self):
        opened: Counter[int] = Counter()

        def reader(row, needs, start_seconds: Sequence[float], cache=None):
            opened[row.row] += 1
            return OddReader(broken=frozen(1))(row, needs, start_seconds)

        with loader(3, reader, batch=3) as clips:
            list(clips.batches(steps(0, 4, batch=3)))
        assert opened[1] == 1
        (entry,) = clips.quarantine
        assert entry.path == "/videos/1.mp4"
        assert entry.times >= 4

    @WORKERS
    def test_in_an_evaluation_the_sample_is_left_out(self, workers):
        index = PretendIndex(7)
        plan = EvenPlan(index, NEEDS, clips=2)
        with loader(index, OddReader(broken=frozen(1, 2, 3, 5)), plan=plan, batch=2, workers=workers) as clips:
            batches = list(clips.batches())  # of the second batch nothing is left
        assert [batch.rows.tolist() for batch in batches] == [[0], [4], [6]]
        assert [entry.times for entry in clips.quarantine] == [1] * 4

    @WORKERS
    @pytest.mark.parametrize("videos", [3, 60])
    def test_nothing_readable_is_said_with_the_first_files_and_reasons(self, workers, videos):
        reader = OddReader(broken=frozenset(range(videos)))
        with (
            loader(videos, reader, batch=3, workers=workers) as clips,
            pytest.raises(ReelvecError, match=r"/videos/\d+\.mp4 \(no picture in it\)") as raised,
        ):
            list(clips.batches())
        assert f"{min(videos, 50)} so far" in raised.value.there

    def test_any_exception_of_a_reader_is_the_files_fault(self):
        def reader(row, needs, start_seconds: Sequence[float], cache=None):
            if row.row == 1:
                raise ValueError("odd")
            return OddReader()(row, needs, start_seconds)

        with loader(5, reader) as clips:
            list(clips.batches())
        assert clips.quarantine == [Quarantined("/videos/1.mp4", "ValueError: odd", clips.quarantine[0].times)]


class TestWatch:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_file_that_hangs_is_named_and_replaced(self, workers):
        with loader(12, OddReader(hangs=frozen(3)), workers=workers, timeout_seconds=1.0) as clips:
            batches = list(clips.batches())
        with loader(12, OddReader(broken=frozen(3))) as plain:
            for one, other in zip(batches, plain.batches(), strict=True):
                assert_equal(one, other)
        assert [(entry.path, entry.reason) for entry in clips.quarantine] == [("/videos/3.mp4", "no frame within 1 s")]
        assert [entry.times for entry in clips.quarantine] == [entry.times for entry in plain.quarantine]

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_file_that_kills_its_reader_is_named_and_replaced(self, workers):
        with loader(12, OddReader(dies=frozen(3, 8)), workers=workers) as clips:
            batches = list(clips.batches())
        with loader(12, OddReader(broken=frozen(3, 8))) as plain:
            for one, other in zip(batches, plain.batches(), strict=True):
                assert_equal(one, other)
        reasons = {entry.path: entry.reason for entry in clips.quarantine}
        assert reasons == {f"/videos/{row}.mp4": "the process that read it died (exit code 7)" for row in (3, 8)}

    def test_an_idle_worker_that_is_killed_is_replaced_and_no_file_blamed(self):
        with loader(12, workers=1) as clips, loader(12) as plain:
            for step in range(3):
                (batch,) = clips.batches(steps(step, step + 1))
                assert_equal(batch, *plain.batches(steps(step, step + 1)))
                _kill_workers(clips)
            assert clips.quarantine == []

    def test_workers_that_die_again_and_again_end_the_run_with_advice(self):
        with loader(12, workers=1) as clips:
            for step in range(4):
                list(clips.batches(steps(step, step + 1)))
                _kill_workers(clips)
            with pytest.raises(ReelvecError, match="SIGKILL, most often too little memory"):
                list(clips.batches(steps(4, 5)))

    def test_a_plan_that_fails_is_an_error_with_its_traceback(self):
        index = PretendIndex(3)
        plan = TrainingPlan(index, NEEDS, 0, rows=[99])  # 99 is in no index
        with loader(index, OddReader(), plan=plan, workers=1) as clips, pytest.raises(RuntimeError, match="IndexError"):
            list(clips.batches([[0]]))


def _kill_workers(clips: ClipLoader) -> None:
    """Kill workers that have nothing to do."""
    for worker in clips._pool._workers:
        os.kill(worker.process.pid, signal.SIGKILL)


class TestTheEnd:
    def test_close_ends_workers_that_hang(self):
        clips = loader(12, OddReader(hangs=frozenset(range(12))), workers=2)
        batches = clips.batches()
        clips._pool.ask([0, 1])
        processes = [worker.process for worker in clips._pool._workers]
        clips.close()
        assert not any(process.is_alive() for process in processes)
        clips.close()
        del batches

    def test_a_loader_that_is_forgotten_ends_its_workers(self):
        clips = loader(12, workers=1)
        next(clips.batches())
        (process,) = [worker.process for worker in clips._pool._workers]
        del clips
        process.join(20)
        assert not process.is_alive()

    def test_an_interrupt_ends_the_workers(self, monkeypatch):
        with loader(12, workers=1) as clips:
            batches = clips.batches()
            next(batches)
            (process,) = [worker.process for worker in clips._pool._workers]
            monkeypatch.setattr(clips._pool, "take", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                next(batches)
            assert not process.is_alive()

    def test_workers_end_with_a_parent_that_is_killed_and_a_script_needs_no_guard(self, tmp_path):
        script = tmp_path / "script.py"  # run as a user would, without `if __name__ == "__main__":`
        script.write_text(f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from odd_readers import *
from reelvec.data.loader import ClipLoader, EvenPlan
index = PretendIndex(12)
reader = OddReader(hangs=frozenset(range(4, 12)))
clips = ClipLoader(index, NEEDS, EvenPlan(index, NEEDS), 4, workers=2, reader=reader)
print(next(clips.batches()).numbers.tolist(), flush=True)
while not any(worker.row >= 4 for worker in clips._pool._workers):
    pass
os.kill(os.getpid(), signal.SIGKILL)
""")
        # the workers hold its output open: this returns only when all of them are gone
        ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
        assert ended.returncode == -signal.SIGKILL
        assert ended.stdout == "[0, 1, 2, 3]\n"
        assert ended.stderr == ""


class TestHandedOver:
    def test_the_index_is_mapped_from_one_file(self):
        index = PretendIndex(5000)
        plan = TrainingPlan(index, NEEDS, 0)
        handed_over = _HandedOver.of(BatchReader(index, NEEDS, plan, OddReader(), 0))
        opened = handed_over.open()
        assert opened.plan.index is opened.index
        assert opened.index.table.equals(index.table)
        assert opened.plan.rows.tolist() == plan.rows.tolist()
        assert not opened.plan.rows.flags.owndata
        assert not opened.plan.rows.flags.writeable
        assert len(handed_over.pickled) < 5000

    def test_without_room_for_it_there_is_one_message(self, monkeypatch):
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(tempfile, "TemporaryFile", full)
        with pytest.raises(ReelvecError, match="TMPDIR"):
            _HandedOver.of(BatchReader(PretendIndex(5), NEEDS, TrainingPlan(PretendIndex(5), NEEDS, 0), OddReader(), 0))

    def test_says_whether_the_script_itself_is_needed(self):
        index = PretendIndex(5)
        plan = TrainingPlan(index, NEEDS, 0)
        assert not _HandedOver.of(BatchReader(index, NEEDS, plan, OddReader(), 0)).names_main()


def _interrupted(ticket: int) -> None:
    raise KeyboardInterrupt


RGB_AND_FLOW = Needs(
    streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=2), StreamNeed(stream=Stream.FLOW, frames=8, stride=1)),
    short_side=40,
)


@pytest.fixture(scope="module")
def real_index(make_video, tmp_path_factory) -> Index:
    """Nine readable videos, and three that broke after they were indexed."""
    folder = tmp_path_factory.mktemp("videos")
    for i in range(12):
        make_video(folder / f"{i:02d}.mp4", frames=24 if i % 4 else 6, size=(64, 48) if i % 3 else (48, 64))
    videos = index(folder)
    for i in (2, 5, 8):
        (folder / f"{i:02d}.mp4").write_bytes(b"no video" if i != 5 else b"")
    return videos


class TestRealFiles:
    @WORKERS
    @pytest.mark.parametrize("cache_bytes", [0, 2**24])
    def test_an_epoch_of_rgb_and_flow(self, real_index, workers, cache_bytes):
        plan = TrainingPlan(real_index, RGB_AND_FLOW, 0)
        assert len(plan) == 12
        with (
            ClipLoader(real_index, RGB_AND_FLOW, plan, 6) as here,
            ClipLoader(real_index, RGB_AND_FLOW, plan, 6, workers=workers, cache_bytes=cache_bytes) as there,
        ):
            asked = steps(0, 4, batch=6)
            for one, other in zip(here.batches(asked), there.batches(asked), strict=True):
                assert_equal(one, other)
                assert one.streams[Stream.RGB].frames.shape == (6, 2, 3, 4, 53, 53)
                assert one.streams[Stream.FLOW].frames.shape == (6, 2, 2, 8, 53, 53)
                assert one.streams[Stream.FLOW].frames.dtype == torch.float16
            assert there.quarantine == here.quarantine
        assert sorted(Path(entry.path).name for entry in here.quarantine) == ["02.mp4", "05.mp4", "08.mp4"]

    @pytest.mark.slow
    def test_two_workers_for_a_long_time(self, real_index):
        plan = TrainingPlan(real_index, RGB_AND_FLOW, 0)
        with ClipLoader(real_index, RGB_AND_FLOW, plan, 12, workers=2, timeout_seconds=20.0) as clips:
            numbers = [number for batch in clips.batches(steps(0, 200, batch=12)) for number in batch.numbers.tolist()]
        assert numbers == list(range(2400))
        assert len(clips.quarantine) == 3
