"""Networks of timm and transformers: features as these libraries give them, every token in its place, nothing fetched."""

import json
import os
import re
import socket
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import video

import reelvec
from reelvec.backbones import build_encoder
from reelvec.backbones.feeding import TORCHVISION, pixels_to_unit
from reelvec.backbones.outside import fitted_arguments, known_feeding
from reelvec.core import ReelvecError

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
OF_CHECKPOINTS = {
    "videomae": {
        **SIZES, "image_size": 32, "num_frames": 4, "intermediate_size": 64, "use_mean_pooling": False,
        "decoder_hidden_size": 32, "decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1,
        "decoder_intermediate_size": 64,
    },
    "vjepa2": {
        **SIZES, "crop_size": 32, "frames_per_clip": 4, "pred_hidden_size": 12, "pred_num_attention_heads": 1,
        "pred_num_hidden_layers": 1, "num_labels": 3,
    },
}  # fmt: skip
KINDS = {
    "videomae": ("VideoMAEConfig", "VideoMAEForPreTraining", "VideoMAEModel"),
    "vjepa2": ("VJEPA2Config", "VJEPA2ForVideoClassification", "VJEPA2Model"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A checkpoint of each kind as the hub has it: VideoMAE with its decoder, V-JEPA 2 with predictor and classifier."""
    import transformers

    made = {}
    for name, (config, whole, _) in KINDS.items():
        made[name] = tmp_path_factory.mktemp(name)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            network = getattr(transformers, whole)(getattr(transformers, config)(**OF_CHECKPOINTS[name]))
            for parameter in network.parameters():  # fresh biases are all zero, and positions alike: nothing to compare
                torch.nn.init.normal_(parameter, std=0.2)
        network.save_pretrained(made[name])
    return made


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def clips(frames=4, size=32, channels=3):
    return torch.randn(2, channels, frames, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("no_network")
def test_a_checkpoint_gives_what_transformers_gives_each_token_in_its_place(folders, name):
    import transformers

    clip = clips(frames=6 if name == "vjepa2" else 4)
    with torch.no_grad():
        found = build_encoder(name, 3, weights=str(folders[name])).eval()(clip)
        theirs = getattr(transformers, KINDS[name][2]).from_pretrained(folders[name]).eval()(clip.transpose(1, 2))
    times = clip.shape[2] // 2
    assert found.shape == (2, 32, times, 2, 2)
    for t in range(times):
        for y in range(2):
            for x in range(2):
                token = theirs.last_hidden_state[:, (t * 2 + y) * 2 + x]
                torch.testing.assert_close(found[:, :, t, y, x], token)
    assert found.flatten(2).std(2).mean() > 0.1  # places differ: an exchange of them would have shown


@pytest.mark.parametrize("name", KINDS)
def test_what_changes_in_one_tube_changes_in_its_place_alone(name):
    """Without layers that mix, time is time, rows are rows and columns are columns."""
    size, frames = ("image_size", {"num_frames": 8}) if name == "videomae" else ("crop_size", {})
    config = {**SIZES, "num_hidden_layers": 0, size: 48, **frames}
    encoder = build_encoder(name, 3, config=config).eval()
    clip = clips(frames=8, size=48)
    for t, y, x in ((0, 2, 1), (3, 0, 2), (2, 1, 0)):
        other = clip.clone()
        other[:, :, 2 * t : 2 * t + 2, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16] += 1
        with torch.no_grad():
            changed = (encoder(other) - encoder(clip)).abs().amax((0, 1)) > 1e-6
        assert changed.nonzero().tolist() == [[t, y, x]]


@pytest.mark.parametrize("name", KINDS)
def test_layers_are_what_stands_after_each_block(folders, name):
    body = build_encoder(name, 3, weights=str(folders[name])).eval().body
    network = body.network
    blocks = network.layer if name == "vjepa2" else network.encoder.layer
    with torch.no_grad():
        slow, tokens = [], network.embeddings(clips().transpose(1, 2), *([] if name == "vjepa2" else [None]))
        for block in blocks:
            tokens = block(tokens, None)[0] if name == "vjepa2" else block(tokens)
            slow.append(network.layernorm(tokens).transpose(1, 2).unflatten(2, (2, 2, 2)))
        torch.testing.assert_close(body.maps_of_layers(clips(), [1, 0, -2]), [slow[1], slow[0], slow[0]])
        torch.testing.assert_close(body.maps_of_layers(clips(), [-1]), [body(clips())])
    assert (slow[0] - slow[1]).abs().max() > 0.01
    assert not [block for block in blocks if block._forward_hooks]
    with pytest.raises(ReelvecError, match=r"tokens of layer 2, -3 of .*(?s:.)*0 to 1"):
        body.maps_of_layers(clips(), [0, 2, -3])


@pytest.mark.parametrize("name", KINDS)
def test_arguments_hold_the_whole_network(folders, name, monkeypatch):
    first = build_encoder(name, 3, weights=str(folders[name])).eval()
    arguments = json.loads(json.dumps(first.arguments))  # as a card has them
    again = build_encoder(first.architecture, 3, **arguments).eval()
    again.load_state_dict(first.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again(clips()), first(clips()))
    assert not [key for key in first.state_dict() if "decoder" in key or "predictor" in key or "classifier" in key]


@pytest.mark.parametrize("name", KINDS)
def test_other_channels_take_the_mean_over_colours(folders, name):
    three, one = (build_encoder(name, channels, weights=str(folders[name])).eval() for channels in (3, 1))
    grey = clips(channels=1)
    with torch.no_grad():
        torch.testing.assert_close(one(grey), three(grey.expand(-1, 3, -1, -1, -1)), atol=1e-4, rtol=1e-4)


def test_full_sizes_are_those_that_are_known():
    """ViT-B and ViT-L: 86 M and 304 M weights, without decoder and predictor."""
    with torch.device("meta"):
        count = {name: sum(p.numel() for p in build_encoder(name).parameters()) for name in KINDS}
    assert count == {"videomae": 86_225_664, "vjepa2": 303_885_312}


@pytest.mark.parametrize("name", KINDS)
def test_clips_of_another_size_or_length_are_refused(folders, name):
    encoder = build_encoder(name, 3, weights=str(folders[name]))
    for frames, size in ((4, 48), (3, 32)):
        with pytest.raises(ReelvecError, match=f"clips of {frames} frames of {size}x{size}"):
            encoder(clips(frames, size))


def copy(folder, target):
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def edit(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


LAYER = "videomae.encoder.layer.1.output.dense.weight"
BAD = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json there"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
    "no settings": (lambda f: (f / "config.json").write_text("[1]"), "holds no settings"),
    "another kind": (lambda f: (f / "config.json").write_text('{"model_type": "vit"}'), "of the model type 'vit'"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no file named model.safetensors"),
    "cut short": (lambda f: os.truncate(f / "model.safetensors", 3000), "transformers says"),
    "one missing": (lambda f: edit(f, lambda w: w.pop(LAYER)), "1 missing: encoder.layer.1.output.dense.weight"),
    "another shape": (lambda f: edit(f, lambda w: w.update({LAYER: torch.ones(32, 5)})), r"1 of another shape: .*\(32, 5\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_folder_that_lacks_something_is_told(folders, tmp_path, what, capfd):
    folder = copy(folders["videomae"], tmp_path / "copy")
    spoil, message = BAD[what]
    spoil(folder)
    with pytest.raises(ReelvecError, match=message):
        build_encoder("videomae", 3, weights=str(folder))
    assert capfd.readouterr() == ("", "")  # transformers itself keeps quiet


def test_a_file_or_nothing_in_place_of_a_folder_is_told(folders, tmp_path):
    with pytest.raises(ReelvecError, match="a file, which does not say"):
        build_encoder("videomae", 3, weights=str(folders["videomae"] / "model.safetensors"))
    with pytest.raises(ReelvecError, match="no such folder"):
        build_encoder("vjepa2", 3, weights=str(tmp_path / "absent"))


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_tensors_are_read_and_pickled_code_is_not_run(folders, tmp_path):
    folder = copy(folders["videomae"], tmp_path / "copy")
    (folder / "model.safetensors").unlink()
    torch.save(load_file(folders["videomae"] / "model.safetensors"), folder / "pytorch_model.bin")
    sources = (folder, folders["videomae"])
    of_pickle, of_safetensors = (build_encoder("videomae", 3, weights=str(source)).state_dict() for source in sources)
    assert all(torch.equal(value, of_safetensors[key]) for key, value in of_pickle.items())
    torch.save({"a": _Touch(str(tmp_path / "was run"))}, folder / "pytorch_model.bin")
    with pytest.raises(ReelvecError, match="more than tensors"):
        build_encoder("videomae", 3, weights=str(folder))
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden": 3}, "the settings image_size"),
        ({"hidden_size": 33}, "33"),
        ({"image_size": 40}, "tubes of 2 frames of 16x16"),
        ({"num_frames": "many"}, "a config that does not fit"),
        ({"image_size": [32, 64]}, "reelvec shows squares"),
    ],
)
def test_configs_that_do_not_fit_are_told(config, message):
    with pytest.raises(ReelvecError, match=message):
        build_encoder("videomae", 3, config=config)


def write_preprocessor(folder, name="preprocessor_config.json", **content):
    (folder / name).write_text(json.dumps(content))
    return str(folder)


def test_the_preprocessor_of_the_folder_says_how_clips_are_shown(folders, tmp_path):
    folder = copy(folders["vjepa2"], tmp_path / "copy")
    plain = known_feeding("vjepa2", str(folder), {})
    assert (plain.size, plain.frames, plain.stride, plain.frames_per_second) == (32, 4, 4, None)
    assert (plain.mean, plain.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    said = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.5, 0.5], "crop_size": {"height": 32, "width": 32}}
    fed = known_feeding("vjepa2", write_preprocessor(folder, **said, num_frames=8, fps=4), {})
    assert (fed.frames, fed.stride, fed.frames_per_second) == (8, 1, 4)
    assert (fed.mean, fed.std) == ((0.5,) * 3, (0.25, 0.5, 0.5))
    said["crop_size"] = 48
    with pytest.raises(ReelvecError, match="a network for 32 pixels and a preprocessor config of 48"):
        known_feeding("vjepa2", write_preprocessor(folder, **said), {})
    assert known_feeding("vjepa2", write_preprocessor(folder, **said), {}, size=48).mean == (0.5,) * 3
    (folder / "preprocessor_config.json").unlink()
    nested = {"video_processor": {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}}
    assert known_feeding("vjepa2", write_preprocessor(folder, "processor_config.json", **nested), {}).mean == (0.1, 0.2, 0.3)
    with pytest.raises(ReelvecError, match="configs that cannot be understood"):
        known_feeding("vjepa2", write_preprocessor(folder, image_mean="grey"), {})


@pytest.mark.parametrize(
    "said",
    [
        {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]},
        {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "rescale_factor": 1 / 127.5},
        {"image_mean": [100.0, 110.0, 120.0], "image_std": [50.0, 60.0, 70.0], "do_rescale": False},
        {"do_normalize": False},
    ],
)
def test_pixels_are_normalised_as_transformers_does(folders, tmp_path, said):
    from transformers import VideoMAEVideoProcessor

    folder = copy(folders["videomae"], tmp_path / "copy")
    fed = known_feeding("videomae", write_preprocessor(folder, crop_size=32, **said), {})
    frames = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    processor = VideoMAEVideoProcessor(**said, size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    theirs = processor([frames], return_tensors="pt")["pixel_values"][0]
    mean, std = (torch.tensor(values)[:, None, None] for values in (fed.mean, fed.std))
    torch.testing.assert_close((frames / 255 - mean) / std, theirs, atol=1e-3, rtol=1e-4)


def test_factors_and_deviations_have_to_be_above_zero():
    for std, factor in (((0.0, 1.0, 1.0), 1 / 255), ((1.0,) * 3, 0.0)):
        with pytest.raises(ReelvecError, match="give mean= and std="):
            pixels_to_unit((0.0,) * 3, std, factor)


def test_fresh_networks_are_shown_what_their_config_is_for():
    fed = known_feeding("videomae", None, {"config": {"image_size": 96}})
    assert (fed.size, fed.frames, fed.stride) == (96, 16, 4)
    assert known_feeding("vjepa2", None, {}).frames == 16  # 64 in its config; probed on 16
    arguments = fitted_arguments("videomae", None, {"config": {"hidden_size": 192}}, 112, 8)
    assert arguments == {"config": {"hidden_size": 192, "image_size": 112, "num_frames": 8}}
    assert fitted_arguments("mvit_v2_s", None, {}, 64, 8) == {"size": 64, "frames": 8}
    assert fitted_arguments("r3d_18", None, {}, 64, 8) == {}
    assert known_feeding("slow_r50", None, {}).size is None


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_clips_are_those_of_its_own_weights(name):
    weights = {
        "r3d_18": "R3D_18", "mc3_18": "MC3_18", "r2plus1d_18": "R2Plus1D_18", "s3d": "S3D", "mvit_v2_s": "MViT_V2_S",
        "swin3d_t": "Swin3D_T",
    }  # fmt: skip
    theirs, fed = getattr(video, f"{weights[name]}_Weights").DEFAULT, TORCHVISION[name]
    preset, told = theirs.transforms(), theirs.meta["_docs"]
    assert preset.crop_size == [fed.size, fed.size]
    assert (tuple(preset.mean), tuple(preset.std)) == (fed.mean, fed.std)
    assert f"frame_rate={fed.frames_per_second:g}" in told
    assert f"clip_len={fed.frames}" in told
    assert fed.stride == 1


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_image_networks_see_frames_one_by_one(name):
    import timm

    size = {} if name == "resnet18" else {"size": 64}
    encoder = build_encoder(f"timm:{name}", 3, **size).eval()
    clip = clips(3, 64)
    with torch.no_grad():
        found = encoder(clip)
        theirs = timm.create_model(name, pretrained=False, num_classes=0, **({"img_size": 64} if size else {})).eval()
        theirs.load_state_dict(encoder.body.network.state_dict())
        for t in range(3):
            picture = theirs.forward_features(clip[:, :, t])
            for y in range(found.shape[3]):
                for x in range(found.shape[4]):
                    place = {
                        "resnet18": lambda p=picture, y=y, x=x: p[:, :, y, x],
                        "vit_tiny_patch16_224": lambda p=picture, y=y, x=x: p[:, 1 + y * 4 + x],  # after the class token
                        "swin_tiny_patch4_window7_224": lambda p=picture, y=y, x=x: p[:, y, x],
                    }[name]()
                    torch.testing.assert_close(found[:, :, t, y, x], place, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(encoder(clip[:, :, [2, 0, 1]]), found[:, :, [2, 0, 1]], atol=1e-5, rtol=1e-4)
    assert found.shape[1] == encoder.dim


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_image_weights_with_their_classifier(tmp_path, suffix):
    import timm

    whole = timm.create_model("resnet18", pretrained=False, num_classes=7).eval()
    file = tmp_path / f"model.{suffix}"
    torch.save(whole.state_dict(), file) if suffix == "pth" else save_file(whole.state_dict(), file)
    (tmp_path / "config.json").write_text(
        json.dumps(
            {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.1] * 3, "std": [0.2] * 3, "input_size": [3, 96, 96]}}
        )
    )
    picture = clips(1, 64)
    with torch.no_grad():
        for source in (file, *([tmp_path] if suffix == "safetensors" else [])):
            found = build_encoder("timm:resnet18", 3, weights=str(source)).eval()(picture)
            torch.testing.assert_close(found[:, :, 0], whole.forward_features(picture[:, :, 0]))
    fed = known_feeding("timm:resnet18", str(tmp_path), {})
    assert (fed.size, fed.mean, fed.std) == (96, (0.1,) * 3, (0.2,) * 3)
    assert known_feeding("timm:resnet18", str(file), {}).mean == (0.485, 0.456, 0.406)
    with pytest.raises(ReelvecError, match=r"config\.json of resnet18"):
        known_feeding("timm:resnet34", str(tmp_path), {})
    with pytest.raises(ReelvecError, match="missing"):
        build_encoder("timm:resnet34", 3, weights=str(file))


def test_positions_of_image_weights_are_fitted_to_another_size(tmp_path):
    import timm

    whole = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=7)
    save_file(whole.state_dict(), tmp_path / "vit.safetensors")
    encoder = build_encoder("timm:vit_tiny_patch16_224", 3, weights=str(tmp_path / "vit.safetensors"), size=64)
    whole.set_input_size(img_size=64)
    assert torch.equal(encoder.body.network.pos_embed, whole.pos_embed)
    assert encoder.arguments == {"size": 64}
    with pytest.raises(ReelvecError, match="built for 64x64"):
        encoder(clips(1, 48))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("timm:resnet", {}, "name one: timm:resnet"),
        ("timm:resnet18.of_mine", {}, "leave out .of_mine"),
        ("timm:resnet18", {"size": 64}, "for frames of any size"),
        ("r3d_18:x", {}, "timm:NAME"),
        ("timm:coat_tiny", {}, "no map of places"),
    ],
)
def test_image_networks_that_do_not_exist_or_fit(name, arguments, message):
    with pytest.raises(ReelvecError, match=message):
        build_encoder(name, 3, **arguments).eval()(clips(1, 224))


@pytest.mark.parametrize("name", ["videomae", "vjepa2", "timm:resnet18"])
def test_without_the_extra_it_is_said_how_to_get_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm" if name.startswith("timm") else "transformers", None)
    for ask in (build_encoder, lambda name: known_feeding(name, None, {})):
        with pytest.raises(ReelvecError, match=r"pip install 'reelvec\[hf\]'"):
            ask(name)


def test_heavy_packages_wait_until_they_are_asked_for():
    package = Path(reelvec.__file__).parent
    at_once = re.compile(r"^(?:import|from) (?:timm|transformers)\b", re.MULTILINE)
    assert [file.name for file in package.rglob("*.py") if at_once.search(file.read_text())] == []
