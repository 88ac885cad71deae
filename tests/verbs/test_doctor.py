import numpy as np
import pytest
import torch

from reelvec.verbs import doctor


def test_a_healthy_machine_passes_the_trial() -> None:
    report = doctor.examine()
    assert report["verdict"] != "problem"
    tried = [finding["what"] for finding in report["self_test"]]
    assert tried[:4] == ["encode a clip", "index it", "decode it by time", "train on the cpu"]


def test_a_decoder_that_gives_other_frames_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_frames = doctor.decode_frames
    monkeypatch.setattr(
        doctor, "decode_frames", lambda row, wanted, *size: decode_frames(row, [min(n + 3, 47) for n in wanted], *size)
    )
    report = doctor.examine()
    assert report["verdict"] == "problem"
    assert report["self_test"][-1]["what"] == "decode it by time"
    assert "not those that were asked for" in report["self_test"][-1]["found"]


def test_what_needs_a_failed_step_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("no encoder")

    monkeypatch.setattr(doctor, "_encode", broken)
    report = doctor.examine()
    assert [(f["what"], f["verdict"]) for f in report["self_test"]] == [("encode a clip", "problem")]


def test_an_absent_codec_is_a_note_and_no_h264_a_problem() -> None:
    assert doctor._codecs("codecs read", {"h264": "h264", "vvc": "no-such-decoder"}, "r").verdict == "note"
    assert doctor._codecs("codecs read", {"h264": "no-such-decoder"}, "r").verdict == "problem"


def test_a_small_shared_memory_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        total = free = 64 * 2**20

    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage)
    monkeypatch.setattr(doctor.Path, "is_dir", lambda _: True)
    finding = doctor._shared_memory()
    assert finding.verdict == "note"
    assert "--shm-size" in finding.advice


def test_a_step_that_diverges_is_said() -> None:
    with pytest.raises(RuntimeError, match="the loss is nan"):
        doctor._train(torch.full((2, 3, 4, 32, 32), np.nan), "cpu")
