import json

from reelvec.engine.log import RunLog, losses_of, newest, read_log


def rows(*steps):
    return [{"step": step, "loss": 1.0 / (step + 1)} for step in steps]


def written(path, *steps):
    log = RunLog(path, 0)
    for row in rows(*steps):
        log.write(row)
    return log


def test_what_is_written_is_read_at_once(tmp_path):
    log = written(tmp_path / "log.jsonl", 0, 1)
    assert read_log(tmp_path / "log.jsonl") == rows(0, 1)
    log.write({"step": 2})
    assert read_log(tmp_path / "log.jsonl")[-1] == {"step": 2}


def test_no_log_has_no_rows(tmp_path):
    assert read_log(tmp_path / "log.jsonl") == []


def test_going_on_drops_what_came_after_the_saved_step(tmp_path):
    written(tmp_path / "log.jsonl", 0, 1, 2, 3, 4)
    log = RunLog(tmp_path / "log.jsonl", 3)
    assert read_log(log.path) == rows(0, 1, 2, 3)
    log.write({"step": 4, "loss": 7.0})
    assert [row["step"] for row in read_log(log.path)] == [0, 1, 2, 3, 4]


def test_a_line_cut_short_by_a_kill_is_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    for cut in ('{"step": 2, "lo', '{"step": 2}'):  # the second is whole but for the end of its line
        written(path, 0, 1)
        with path.open("a") as file:
            file.write(cut)
        RunLog(path, 2).write({"step": 3})
        assert read_log(path) == [*rows(0, 1), {"step": 3}]


def test_a_run_that_saved_nothing_begins_its_log_anew(tmp_path):
    written(tmp_path / "log.jsonl", 0, 1)
    assert read_log(RunLog(tmp_path / "log.jsonl", 0).path) == []


def test_a_log_is_cut_whole_or_not_at_all(tmp_path):
    written(tmp_path / "log.jsonl", 0, 1)
    RunLog(tmp_path / "log.jsonl", 1)
    assert [file.name for file in tmp_path.iterdir()] == ["log.jsonl"]


def test_the_newest_row_that_has_a_key():
    told = [{"step": 1, "loss": 2.0}, {"step": 1, "verdict": "healthy"}, {"step": 2, "loss": 1.0}]
    assert newest(told, "verdict") == {"step": 1, "verdict": "healthy"}
    assert newest(told, "loss")["step"] == 2
    assert newest(told, "absent") == {}


def test_losses_stand_in_a_row_beside_other_numbers():
    row = json.loads('{"step": 2, "lr": 0.1, "loss": 1.5, "cross": 0.5, "clips_per_second": 9.0, "waiting_share": 0.1}')
    assert losses_of(row) == {"loss": 1.5, "cross": 0.5}
    assert losses_of({}) == {}
