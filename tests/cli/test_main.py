import errno

import pytest

from reelvec.cli import main


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["reelvec", *words])
    with pytest.raises(SystemExit) as leaving:
        main()
    return leaving.value.code


def test_help_and_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--help") == 0
    listed = capsys.readouterr().out
    for command in (
        "demo",
        "index",
        "prepare",
        "pretrain",
        "study",
        "evaluate",
        "diagnose",
        "embed",
        "search",
        "methods",
        "doctor",
        "shapes",
    ):
        assert command in listed
        assert run(monkeypatch, command, "--help") == 0
        assert f"reelvec {command}" in capsys.readouterr().out  # every command teaches by example
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("reelvec 0.")


def test_help_names_all_that_is_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for command, words in (("report", "RUN|COMPARISON"), ("report", "reelvec report board.json"), ("evaluate", "Parquet")):
        assert run(monkeypatch, command, "--help") == 0
        assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "runs/a"),
        ("evaluate",),
        ("index", "nowhere-at-all/"),
        ("index", "videos", "wokers=2"),
        ("pretrain", "nowhere-at-all/", "--method", "modits"),
        ("pretrain",),
        ("embed", "runs/a"),
        ("search", "query.mp4"),
        ("shapes", "out", "size=64"),
        ("demo", "a-path"),
        ("no-such-command",),
        ("index", "--no-such-option"),
        ("diagnose", "runs/a", "--labels", "a.csv", "knn.k=10"),
        ("diagnose", "runs/a", "--labels", "a.csv", "--masks", "masks/", "knn.k=10"),
        ("health", "runs/a", "videos/", "knn.k=10"),
        ("evaluate", "runs/a", "--labels", "a.csv", "tasks=finetune", "finetune.cnn=1", "finetune.cnn.lr=2"),
        ("evaluate", "runs/a", "--masks", "masks/", "propagation.sise=120"),
        ("evaluate", "runs/a", "--masks", "masks/", "propagation.size=small"),
    ],
)
def test_bad_input_is_one_message_and_code_2(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    if words[0] != "no-such-command" and "--no-such-option" not in words:  # typer words those two
        assert err.startswith("error: ")
        assert "there is:" in err
        assert "to do:" in err


def test_ctrl_c_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reelvec.verbs.methods_table.list_methods", interrupted)
    assert run(monkeypatch, "methods") == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_a_full_disk_is_a_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/a/log.jsonl")

    monkeypatch.setattr("reelvec.verbs.methods_table.list_methods", full)
    assert run(monkeypatch, "methods") == 2
    assert "No space left on device: runs/a/log.jsonl" in capsys.readouterr().err


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty() -> None:
        raise AssertionError("a fault")

    monkeypatch.setattr("reelvec.verbs.methods_table.list_methods", faulty)
    monkeypatch.setattr("sys.argv", ["reelvec", "methods"])
    with pytest.raises(AssertionError, match="a fault"):
        main()
