"""Encoders on disk: what is saved comes back whole, and what is not whole is refused with a reason."""

import json

import pytest
import torch

from reelvec.backbones import build_encoder, load_encoder, save_encoder, saved_encoders
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed, Times

CARD = EncoderCard(
    name="visual", architecture="tiny", channels=3, size=64, mean=(0.45,) * 3, std=(0.225,) * 3, method="modist", step=7,
    needs=Needs(streams=(StreamNeed(stream=Stream.RGB, frames=8, stride=2),), clips=1, times=Times(rule="spread")),
)  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    """A run folder with one encoder, and that encoder."""
    encoder = build_encoder("tiny", 3)
    encoder(torch.randn(4, 3, 4, 16, 16))  # moves the statistics of batch norm
    save_encoder(tmp_path / "encoder", "visual", encoder, CARD)
    return tmp_path, encoder.eval()


def test_an_encoder_comes_back_bit_for_bit(saved):
    run, encoder = saved
    clip = torch.randn(2, 3, 4, 16, 16)
    for path in (run, run / "encoder", str(run)):
        loaded, card = load_encoder(path)
        assert torch.equal(loaded(clip), encoder(clip))
        assert not loaded.training
        assert card.model_copy(update={"weights_sha256": ""}) == CARD
        assert len(card.weights_sha256) == 64


def test_arguments_come_back(tmp_path):
    encoder = build_encoder("slow_r50", 2, stem_kernel=3, stem_stride=1, temporal_kernels=(1, 1, 1, 3))
    card = save_encoder(tmp_path, "motion", encoder, CARD)
    assert (card.name, card.architecture, card.channels) == ("motion", "slow_r50", 2)
    loaded, read = load_encoder(tmp_path, "motion")
    assert read == card
    assert loaded.body.stem[0].weight.shape == (64, 2, 3, 7, 7)


def test_names_of_a_run_begin_with_visual(saved):
    run, encoder = saved
    save_encoder(run / "encoder", "motion", encoder, CARD)
    assert saved_encoders(run) == ["visual", "motion"]
    with pytest.raises(ReelvecError, match="visual, motion"):
        load_encoder(run, "audio")


def test_saving_again_replaces(saved):
    run, _ = saved
    other = build_encoder("tiny", 1)
    save_encoder(run / "encoder", "visual", other, CARD.model_copy(update={"step": 8}))
    loaded, card = load_encoder(run)
    assert (card.step, loaded.channels) == (8, 1)
    assert sorted(p.name for p in (run / "encoder").iterdir()) == ["visual.json", "visual.safetensors"]


def test_a_folder_without_an_encoder_is_told(tmp_path):
    with pytest.raises(ReelvecError, match="no such folder"):
        load_encoder(tmp_path / "absent")
    with pytest.raises(ReelvecError, match="no encoder yet"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_weights_cut_short_are_told(saved, keep):
    path = saved[0] / "encoder" / "visual.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ReelvecError, match="cut short or not the file"):
        load_encoder(saved[0])


def test_weights_of_another_encoder_are_told(saved, tmp_path):
    run, _ = saved
    save_encoder(run / "other", "visual", build_encoder("tiny", 3), CARD)
    (run / "other" / "visual.safetensors").replace(run / "encoder" / "visual.safetensors")
    with pytest.raises(ReelvecError, match="not the file that its card was written for"):
        load_encoder(run)


def test_absent_weights_are_told(saved):
    (saved[0] / "encoder" / "visual.safetensors").unlink()
    with pytest.raises(ReelvecError, match=r"no visual\.safetensors"):
        load_encoder(saved[0])


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"name": "visual"}', '{"a": '])
def test_a_broken_card_is_told(saved, content):
    (saved[0] / "encoder" / "visual.json").write_text(content)
    with pytest.raises(ReelvecError, match="not the card of an encoder"):
        load_encoder(saved[0])


def change_card(run, **values):
    path = run / "encoder" / "visual.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_card_of_another_architecture_is_told(saved):
    change_card(saved[0], architecture="mc3_18")
    with pytest.raises(ReelvecError, match="weights of another network"):
        load_encoder(saved[0])
    change_card(saved[0], architecture="future_net")
    with pytest.raises(ReelvecError, match="the backbone 'future_net'"):
        load_encoder(saved[0])
    change_card(saved[0], architecture="tiny", arguments={"depth": 3})
    with pytest.raises(ReelvecError, match="with depth"):
        load_encoder(saved[0])
