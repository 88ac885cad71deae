import pytest

from reelvec.core import machine


def test_a_containers_share_of_cores_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(machine, "first_line", lambda _: "250000 100000")
    assert machine.usable_cores() == 3
    monkeypatch.setattr(machine, "first_line", lambda _: "max 100000")
    assert machine.usable_cores() == 16
