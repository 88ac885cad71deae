"""`reelvec import` as it is typed."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from reelvec.backbones import load_encoder
from reelvec.cli.importing import import_encoder
from reelvec.core import ReelvecError

app = typer.Typer()
app.command("import")(import_encoder)

TINY = ("tiny", "size=32", "frames=8", "stride=1", "mean=0.5,0.5,0.5", "std=0.25,0.25,0.25")


def test_fresh_weights_are_said_beside_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*TINY, "seed=3"])
    assert result.exit_code == 0, result.output
    assert "tiny" in result.stdout
    assert "fresh weights" in result.stderr
    encoder, card = load_encoder(tmp_path / "encoders" / "tiny")
    assert (encoder.architecture, card.mean, card.std) == ("tiny", (0.5,) * 3, (0.25,) * 3)


def test_json_is_all_that_stands_on_stdout(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*TINY, f"out={tmp_path / 'a'}", "--json"])
    summary = json.loads(result.stdout)
    assert (summary["out"], summary["map"]) == (str(tmp_path / "a"), [128, 2, 2, 2])
    assert summary["notes"]


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "0 paths given"), (["tiny", "r3d_18"], "2 paths given"), ([*TINY, "frame=2"], "did you mean frames"),
     ([*TINY, "fit=wide"], "fit=wide")],
)  # fmt: skip
def test_words_that_make_no_sense(words: list[str], message: str) -> None:
    with pytest.raises(ReelvecError, match=message):
        CliRunner().invoke(app, words, catch_exceptions=False)
