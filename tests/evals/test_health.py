import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.evals.health import MEANING, _pooled, health


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for i in range(9):
        shade = rng.integers(0, 255, (4, 4, 3))

        def picture(number: int, shade: np.ndarray = shade, i: int = i) -> np.ndarray:
            return np.roll(np.kron(shade, np.ones((8, 8, 1))).astype(np.uint8), number * (i % 3), axis=1)

        make_video(folder / f"{i}.mp4", frames=16, size=(32, 32), picture=picture)
    return folder


def saved(folder: Path, seed: int = 0, constant: bool = False) -> Path:
    needs = Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=1),), clips=1, short_side=32)
    card = EncoderCard(
        name="visual", architecture="set when saved", channels=3, needs=needs, size=32, mean=(0.4,) * 3, std=(0.25,) * 3,
        method="none", step=3,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = build_encoder("tiny")
    if constant:
        for weight in encoder.parameters():
            torch.nn.init.zeros_(weight)
    save_encoder(folder / "encoder", "visual", encoder, card)
    return folder


@pytest.fixture(scope="module")
def result(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("runs")
    return health(saved(folder / "a"), videos, beside=[str(saved(folder / "b", seed=7))])


def test_every_number_stands_beside_that_of_the_untrained_network(result: dict) -> None:
    assert [row["name"] for row in result["rows"]] == ["visual", "untrained visual"]
    for row in result["rows"]:
        assert list(row["values"]) == list(MEANING)
        assert 1 <= row["values"]["rank_me"] <= 9
        assert sum(row["spectrum"]) == pytest.approx(1)
        assert 0 < row["values"]["between_share"] <= 1
    assert result["videos"] == 9
    assert "untrained" in result["rows"][0]["verdict"]


def test_likeness_is_symmetric_and_one_with_itself(result: dict) -> None:
    assert result["alike"]["names"] == ["visual", "untrained visual", "b, visual"]
    for names, values in [(r["layers"]["names"], r["layers"]["cka"]) for r in result["rows"]] + [
        tuple(result["alike"].values())
    ]:
        matrix = np.array(values)
        assert matrix.shape == (len(names), len(names))
        assert np.allclose(np.diag(matrix), 1)
        assert np.allclose(matrix, matrix.T)
    # seed 0 is the seed of the untrained network: the same weights
    assert result["alike"]["cka"][0][1] == pytest.approx(1)
    assert result["alike"]["cka"][0][2] < 0.999
    assert result["rows"][0]["layers"]["names"][-1] == "features"
    assert len(result["rows"][0]["layers"]["names"]) == 9


def test_it_is_written_with_a_picture(result: dict) -> None:
    assert json.loads(Path(result["file"]).read_text()) == result
    assert Path(result["file"]).name == "health-step000003.json"
    assert Path(result["picture"]).stat().st_size > 5000


def test_a_constant_encoder_is_called_collapsed(videos: Path, tmp_path: Path) -> None:
    got = health(saved(tmp_path / "dead", constant=True), videos)
    assert got["rows"][0]["verdict"].startswith("collapsed")
    assert not got["rows"][1]["verdict"].startswith("collapsed")


def test_too_few_videos_are_refused(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(ReelvecError, match="give 8 or more"):
        health(saved(tmp_path / "a"), sorted(videos.iterdir())[:5])


def test_maps_frames_and_tokens_are_pooled_clip_by_clip() -> None:
    """Maps of clips, maps of the frames of clips and tokens with the same content give the same vectors."""
    maps = torch.randn(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    frames = maps.transpose(1, 2).flatten(0, 1)
    tokens = maps.flatten(2).transpose(1, 2)
    expected = maps.mean((2, 3, 4))
    for output in (maps, frames, tokens, expected):
        torch.testing.assert_close(_pooled(output, 2), expected)
