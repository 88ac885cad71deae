"""The suite on a small generated set: parts, what is left out and why, what is kept."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from reelvec.backbones import build_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.data import index as index_module
from reelvec.data.shapes import make_shapes
from reelvec.engine import extract as extract_module
from reelvec.evals.heads.finetune import TRANSFORMER
from reelvec.verbs.battery import SUITES, battery
from reelvec.verbs.import_encoder import import_encoder
from tests.judged_data import write_all


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("set") / "shapes", videos=(32, 16), seed=3, size=32, frames=12)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    needs = Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=1),), clips=1, short_side=32)
    card = EncoderCard(
        name="visual", architecture="set when saved", channels=3, needs=needs, size=32, mean=(0.4,) * 3, std=(0.25,) * 3,
        method="none", step=3,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_encoder(tmp_path / "run" / "encoder", "visual", build_encoder("tiny"), card)
    return tmp_path / "run"


SMALL = {"lowshot": {"draws": 2, "shares": (), "per_class": (1,)}, "fewshot": {"episodes": 10}}


def test_parts_are_done_once_and_what_is_left_out_is_said(run: Path, shapes: Path) -> None:
    got = battery(run, shapes / "labels.csv", label_column="motion", settings=SMALL, clips=1)
    assert [part["name"] for part in got["parts"]] == ["evaluate", "diagnose", "health", "diagnose_masks", "class_maps"]
    assert {one["name"] for one in got["left_out"]} == {"localisation", "propagation", "detection", "pair_similarity"}
    assert all("add --" in one["reason"] for one in got["left_out"])
    table = json.loads(Path(got["parts"][0]["file"]).read_text())["tables"][0]
    assert {"knn", "linear", "R@1", "lowshot 1 a class"} <= set(table["columns"])
    assert json.loads(Path(got["file"]).read_text()) == got

    again = battery(run, shapes / "labels.csv", label_column="motion", settings=SMALL, clips=1)
    assert all(part["kept"] for part in again["parts"])
    Path(again["parts"][2]["file"]).unlink()
    third = battery(run, shapes / "labels.csv", label_column="motion", settings=SMALL, clips=1)
    assert [part["kept"] for part in third["parts"]] == [True, True, False, True, True]
    other = battery(run, shapes / "labels.csv", label_column="motion", settings={**SMALL, "knn": {"k": 3}}, clips=1)
    assert [part["kept"] for part in other["parts"]] == [False, True, True, True, True]


def test_a_part_that_cannot_be_does_not_stop_the_others(run: Path, tmp_path: Path, shapes: Path) -> None:
    (tmp_path / "no masks").mkdir()
    got = battery(run, shapes / "labels.csv", masks=tmp_path / "no masks", label_column="motion", settings=SMALL, clips=1)
    reasons = {one["name"]: one["reason"] for one in got["left_out"]}
    assert "no masks" in reasons["propagation"]
    assert len(got["parts"]) == 5


def test_a_video_is_probed_once_for_all_parts(run: Path, tmp_path: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, out = shapes / "own.csv", tmp_path / "new" / "suite.json"
    labels.write_bytes((shapes / "labels.csv").read_bytes())  # by this name no generated set: no parts that need masks
    probe_files = index_module.probe_files
    probed: list[str] = []

    def counted(paths: list[str], *rest: Any) -> Iterator[Any]:
        probed.extend(paths)
        return probe_files(paths, *rest)

    def kept(k: int = 20) -> dict[str, bool]:
        settings = {**SMALL, "knn": {"k": k}}
        parts = battery(run, labels, label_column="motion", settings=settings, clips=1, out=out)["parts"]
        return {part["name"]: part["kept"] for part in parts}

    monkeypatch.setattr(index_module, "probe_files", counted)
    reasons = {
        one["name"]: one["reason"] for one in battery(run, labels, label_column="motion", clips=1, settings=SMALL)["left_out"]
    }
    assert "reelvec shapes" in reasons["diagnose_masks"]
    assert "reelvec shapes" in reasons["class_maps"]
    probed.clear()
    assert kept() == {"evaluate": False, "diagnose": False, "health": False}
    assert len(probed) == len(set(probed)) == 48
    next((run / "evals").glob("health-*.json")).unlink()
    assert kept() == {"evaluate": True, "diagnose": True, "health": False}
    assert len(probed) == 48
    (out.parent / "own-suite.index.parquet").write_bytes(b"of another version")
    assert kept(k=3) == {"evaluate": False, "diagnose": True, "health": True}
    assert len(probed) == 96


def test_a_video_is_decoded_once_for_all_frozen_features(
    run: Path, tmp_path: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One decoding for evaluate and diagnose, another for health, which looks at the halves of videos."""
    labels = shapes / "of-my-own.csv"  # by this name no generated set: no parts that need masks
    labels.write_bytes((shapes / "labels.csv").read_bytes())
    request = extract_module._JobPlan.request
    decoded: list[int] = []

    def counted(plan: Any, number: int, attempt: int) -> Any:
        asked = request(plan, number, attempt)
        decoded.extend([] if asked is None else [asked.row])
        return asked

    def decodings(**knn: int) -> int:
        decoded.clear()
        battery(run, labels, label_column="motion", settings={**SMALL, "knn": knn}, clips=1)
        return len(decoded)

    monkeypatch.setattr(extract_module._JobPlan, "request", counted)
    assert decodings() == 2 * 48
    assert max(decoded.count(row) for row in range(48)) == 2
    assert decodings(k=3) == 0  # other settings of a task: features are kept
    next((run / "evals").glob("*-motion-step*.json")).unlink()
    assert decodings(k=3) == 0


def test_parts_are_done_again_where_their_files_have_changed(
    run: Path, tmp_path: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of boxes stands for its videos, and what a detector found counts too."""
    videos = [shutil.copy(path, tmp_path / path.name) for path in sorted((shapes / "train").rglob("*.mp4"))[:4]]
    lines = [f"{path},0.1,0,0,0.5,0.5,{'ab'[i % 2]},{['train', 'test'][i // 2]}" for i, path in enumerate(videos)]
    (tmp_path / "boxes.csv").write_text("\n".join(["path,seconds,x1,y1,x2,y2,label,split", *lines]))
    (tmp_path / "found.csv").write_text("anything")
    done: list[str] = []

    def stand_in(run: Path, boxes: Path, **more: Any) -> dict[str, str]:
        done.append(str(boxes))
        (tmp_path / "result.json").touch()
        return {"file": str(tmp_path / "result.json")}

    monkeypatch.setattr("reelvec.verbs.battery.detection", stand_in)

    def again() -> int:
        done.clear()
        settings = {"detection": {"detected": str(tmp_path / "found.csv")}}
        battery(run, boxes=tmp_path / "boxes.csv", settings=settings, out=tmp_path / "suite.json")
        return len(done)

    assert [again(), again()] == [1, 0]
    with open(videos[3], "ab") as file:
        file.write(b"more")
    assert [again(), again()] == [1, 0]
    (tmp_path / "found.csv").write_text("anything else")
    assert [again(), again()] == [1, 0]


def test_settings_of_parts_take_their_types(run: Path, shapes: Path) -> None:
    settings = {**SMALL, "diagnose": {"encoders": "visual", "baselines": False}, "class_maps": {"label_column": "scene"}}
    got = battery(run, shapes / "labels.csv", label_column="motion", settings=settings, clips=1)
    files = {part["name"]: part["file"] for part in got["parts"]}
    assert json.loads(Path(files["diagnose"]).read_text())["asked"]["encoders"] == ["visual"]
    assert "-scene-" in files["class_maps"]


@pytest.mark.parametrize(
    ("part", "setting", "words"),
    [
        ("propagation", {"sise": 120}, r"did you mean propagation\.size="),
        ("health", {"videos": "a"}, "settings beside, clips"),
        ("localisation", {"size": "small"}, r"set localisation\.size=small\n.*valid integer"),
        ("diagnose", {"knn": {"k": 10}}, "set diagnose.knn="),
        ("knn", {"kk": 10}, "kk: no such setting"),
    ],
)
def test_settings_that_a_part_does_not_take(run: Path, tmp_path: Path, part: str, setting: dict, words: str) -> None:
    with pytest.raises(ReelvecError, match=words):
        battery(run, masks=tmp_path, settings={part: setting})


def test_nothing_to_measure_and_unknown_words_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ReelvecError, match="add --labels FILE, --masks FOLDER, --boxes FILE or --pairs FILE"):
        battery(run)
    with pytest.raises(ReelvecError, match="suites quick, full"):
        battery(run, masks=tmp_path, suite="all")
    with pytest.raises(ReelvecError, match=r"set knnn\."):
        battery(run, masks=tmp_path, settings={"knnn": {"k": 3}})
    with pytest.raises(ReelvecError, match="nothing could be measured"):
        battery(run, masks=tmp_path / "nowhere")


def test_the_full_suite_holds_the_quick_one() -> None:
    assert set(SUITES["quick"]) < set(SUITES["full"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["videomae", "vjepa2"])
def test_small_transformers_run_through_all_of_it(name: str, shapes: Path, tmp_path: Path) -> None:
    """Random weights: what counts is that every part takes a network of tokens."""
    import transformers

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    if name == "videomae":
        shape = {"image_size": 32, "num_frames": 4, "intermediate_size": 64}
        model = transformers.VideoMAEModel(transformers.VideoMAEConfig(**sizes, **shape))
    else:
        shape = {"crop_size": 32, "frames_per_clip": 4, "pred_num_hidden_layers": 1}
        model = transformers.VJEPA2Model(transformers.VJEPA2Config(**sizes, **shape))
    model.save_pretrained(tmp_path / name)
    import_encoder(name, tmp_path / "encoder", tmp_path / name, stride=1)
    short = {"epochs": 2, "least_steps": 4}
    settings = {
        **SMALL,
        "finetune": {"transformer": {**TRANSFORMER.model_dump(), **short}, "crops": 1},
        "attentive": {"epochs": 2},
    }
    write_all(tmp_path / "judged")
    videos = sorted((shapes / "train").glob("*.mp4"))[:6]
    pairs = [f"{a},{b},{i % 2},{i % 3}" for i, (a, b) in enumerate((a, b) for a in videos for b in videos if a < b)]
    (tmp_path / "pairs.csv").write_text("\n".join(["first,second,same,fold", *pairs]))
    got = battery(
        tmp_path / "encoder", shapes / "labels.csv", suite="full", label_column="motion", clips=1, pairs=tmp_path / "pairs.csv",
        masks=tmp_path / "judged/davis", boxes=tmp_path / "judged/boxes.csv",
        settings={**settings, "propagation": {"size": [32, 32], "preset": ["crw"]}, "localisation": {"size": [32, 32]}},
    )  # fmt: skip
    assert [part["name"] for part in got["parts"]] == [
        "evaluate", "diagnose", "health", "diagnose_masks", "class_maps", "localisation", "propagation", "detection",
        "pair_similarity",
    ], got["left_out"]  # fmt: skip
    table = json.loads(Path(got["parts"][0]["file"]).read_text())["tables"][0]
    assert {"knn", "linear", "finetune", "attentive", "linear coclr"} <= set(table["columns"])
    for row in table["rows"][:2]:
        assert all(0 <= value <= 1 for value in row["values"].values())


def test_a_head_that_fails_is_left_out_and_the_rest_is_kept(run: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SUITES, "quick", ("knn", "linear_sgd", "attentive"))
    settings = {
        "attentive": {"epochs": 1, "memory_gb": 0, "disk_gb": 0},
        "linear_sgd": {"recipes": ("severe",)},
    }
    for _ in range(2):  # the second time it is kept, and still said
        got = battery(run, shapes / "labels.csv", label_column="motion", settings=settings, clips=1)
        reasons = {one["name"]: one["reason"] for one in got["left_out"]}
        assert "allowed: 0 GB of memory" in reasons["attentive of visual, motion"]
        table = json.loads(Path(got["parts"][0]["file"]).read_text())["tables"][0]
        assert {"knn", "linear severe"} <= set(table["rows"][0]["values"])
        assert "attentive" not in table["rows"][0]["values"]
