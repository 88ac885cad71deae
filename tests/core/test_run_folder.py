import pickle

import pytest

from reelvec.core import ReelvecError, RunFolder, write_json, write_whole


def test_a_write_that_fails_leaves_the_old_content_and_no_rubbish(tmp_path):
    path = tmp_path / "a" / "file.json"
    write_json(path, {"x": 1})

    def broken(part):
        part.write_text("half")
        raise ValueError

    with pytest.raises(ValueError):
        write_whole(path, broken)
    assert path.read_text() == '{\n  "x": 1\n}\n'
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_a_folder_replaces_a_folder_whole(tmp_path):
    def write(name):
        def inner(part):
            part.mkdir()
            (part / name).touch()

        return inner

    write_whole(tmp_path / "step", write("old"))
    write_whole(tmp_path / "step", write("new"))
    assert [p.name for p in (tmp_path / "step").iterdir()] == ["new"]


def test_the_system_s_refusal_becomes_a_message(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ReelvecError, match=r"save .*inside"):
        write_json(tmp_path / "file" / "inside", {})


def test_only_finished_steps_count(tmp_path):
    run = RunFolder(tmp_path)
    for name in ("000010", "000002", ".000020.part-1"):
        (tmp_path / "steps" / name).mkdir(parents=True)
    assert run.saved_steps() == [2, 10]
    assert run.step_folder(2).name == "000002"
    assert not run.exists()


def test_an_error_crosses_processes_whole():
    error = ReelvecError("read x", "nothing", "look elsewhere")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert (copy.asked, copy.there, copy.do) == ("read x", "nothing", "look elsewhere")
