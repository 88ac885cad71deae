import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from reelvec.backbones import build_encoder, load_encoder, save_encoder
from reelvec.core import EncoderCard, Needs, ReelvecError, Stream, StreamNeed
from reelvec.data.index import Index
from reelvec.evals import evaluate
from reelvec.evals.features import untrained_encoder
from reelvec.evals.kept_features import kept_features
from reelvec.evals.results import read_result

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 210)}


def card(name: str, stream: Stream, channels: int) -> EncoderCard:
    return EncoderCard(
        name=name,
        architecture="set when saved",
        channels=channels,
        needs=Needs(streams=(StreamNeed(stream=stream, frames=4, stride=2),), clips=1, short_side=32),
        size=32,
        mean=(0.4,) * channels,
        std=(0.25,) * channels,
        method="none",
        step=7,
    )


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained visual and an untrained motion encoder."""
    folder = tmp_path_factory.mktemp("run")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        save_encoder(folder / "encoder", "visual", build_encoder("tiny"), card("visual", Stream.RGB, 3))
        motion = card("motion", Stream.FLOW_EDGES, 1)
        save_encoder(folder / "encoder", "motion", build_encoder("tiny_motion", channels=1), motion)
    return folder


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Class folders: 5 videos of each of three colours, with a bar that moves."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    for colour, rgb in COLOURS.items():
        for i in range(5):
            shade = np.clip(np.array(rgb) + rng.integers(-25, 25, 3), 0, 255)

            def picture(number: int, shade: np.ndarray = shade, i: int = i) -> np.ndarray:
                frame = np.empty((40, 48 + 8 * (i % 2), 3), np.uint8)
                frame[:] = shade
                frame[:, 2 * number : 2 * number + 6] = 240
                return frame

            make_video(folder / colour / f"{i}.mp4", frames=16, size=(48 + 8 * (i % 2), 40), picture=picture)
    return folder


@pytest.fixture(scope="session")
def result(run: Path, videos: Path) -> dict:
    return evaluate(run, videos)


def test_rows_and_columns(result: dict) -> None:
    (table,) = result["tables"]
    assert [row["name"] for row in table["rows"]] == [
        "visual",
        "motion",
        "both",
        "untrained visual",
        "untrained motion",
        "untrained both",
        "raw pixels",
        "colour histogram",
        "chance",
    ]
    assert [row["dim"] for row in table["rows"]] == [128, 64, 192, 128, 64, 192, 1216, 512, 0]
    assert table["columns"] == ["knn", "linear", "R@1", "R@5", "R@10", "R@20", "R@50"]
    assert table["train"] + table["test"] == 15
    assert 3 <= table["test"] <= 6
    assert table["classes"] == ["blue", "green", "red"]


def test_colours_are_found_by_colour(result: dict) -> None:
    rows = {row["name"]: row for row in result["tables"][0]["rows"]}
    assert rows["raw pixels"]["values"]["R@1"] == 1.0
    assert rows["chance"]["values"]["knn"] == pytest.approx(1 / 3, abs=0.2)
    for row in result["tables"][0]["rows"][:-1]:
        for column, value in row["values"].items():
            assert 0 <= row["low"][column] <= value <= row["high"][column] + 1e-9


def test_what_is_stored_is_what_is_returned(result: dict, run: Path, videos: Path) -> None:
    file = run / "evals" / f"{videos.name}-step000007.json"
    assert json.loads(file.read_text()) == result
    assert result["file"] == str(file)
    assert set(result["protocol"]) == {"split", "features", "untrained", "baselines", "interval", "knn", "linear", "retrieval"}
    assert "held out by seed 0" in result["protocol"]["split"]
    assert result["encoders"]["motion"]["architecture"] == "tiny_motion"
    network, _ = load_encoder(run, "motion")
    assert result["encoders"]["motion"]["parameters"] == sum(weights.numel() for weights in network.parameters())
    assert result["encoders"]["motion"]["gflops_per_clip"] > 0


def test_every_answer_is_kept_beside_the_table(result: dict) -> None:
    (table,) = result["tables"]
    lines = pq.read_table(Path(result["file"]).parent / result["answers"]).to_pylist()
    for row in table["rows"][:-1]:
        for column, value in row["values"].items():
            units = [line for line in lines if (line["row"], line["column"]) == (row["name"], column)]
            assert len(units) == table["test"]
            assert np.mean([line["score"] for line in units]) == pytest.approx(value)
            assert all(line["label"] == Path(line["unit"]).parent.name for line in units)
    named = [line for line in lines if line["row"] == "visual" and line["column"] == "linear"]
    assert all((line["named"] == line["label"]) == (line["score"] == 1) and 0 < line["sure"] <= 1 for line in named)


def test_features_are_kept_and_shared(result: dict, run: Path, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = kept_features(read_result(Path(result["file"])))
    assert set(kept.vectors) == {"visual", "motion"}
    assert kept.vectors["visual"].shape == (15, 128)
    assert [Path(path).parent.name for path in kept.paths] == ["blue"] * 5 + ["green"] * 5 + ["red"] * 5
    read_again: list[str] = []
    monkeypatch.setattr("reelvec.evals.kept_features.extract", lambda readers, *a, **k: read_again.append(readers))
    again = evaluate(run, videos, tasks=("retrieval",), out=run / "evals" / "again.json")
    assert not read_again
    assert again["tables"][0]["rows"][0]["values"]["R@1"] == result["tables"][0]["rows"][0]["values"]["R@1"]


def test_it_repeats(result: dict, run: Path, videos: Path, tmp_path: Path) -> None:
    torch.rand(3)  # the global generator stands elsewhere than before
    again = evaluate(run, videos, tasks=("knn", "retrieval"), out=tmp_path / "again.json")
    for old, new in zip(result["tables"][0]["rows"], again["tables"][0]["rows"], strict=True):
        assert new["values"].items() <= old["values"].items()


def test_baselines_can_be_left_out_and_nothing_else_changes(result: dict, run: Path, videos: Path, tmp_path: Path) -> None:
    alone = evaluate(run, videos, baselines=False, out=tmp_path / "alone.json")
    for table, full in zip(alone["tables"], result["tables"], strict=True):
        names = [row["name"] for row in table["rows"]]
        assert not [name for name in names if "untrained" in name or "raw" in name]
        assert table["rows"] == [row for row in full["rows"] if row["name"] in names]


def test_untrained_networks_are_functions_of_their_seed() -> None:
    made = card("visual", Stream.RGB, 3).model_copy(update={"architecture": "tiny"})
    state = torch.get_rng_state()
    first, again, other = (next(untrained_encoder(made, seed).parameters()) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_two_label_columns_with_a_split_and_a_broken_file(run: Path, videos: Path, tmp_path: Path) -> None:
    lines = ["file,colour,width,part"]
    for path in sorted(videos.rglob("*.mp4")):
        number = int(path.stem)
        lines.append(f"{path},{path.parent.name},{'wide' if number % 2 else 'narrow'},{'test' if number > 2 else 'train'}")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes((videos / "red" / "0.mp4").read_bytes()[:300])
    lines.append(f"{broken},red,wide,train")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    got = evaluate(
        run,
        tmp_path / "labels.csv",
        label_column="colour,width",
        split_column="part",
        encoders=("visual",),
        tasks=("knn",),
        out=tmp_path / "out.json",
        clips=2,
    )
    assert [table["label_column"] for table in got["tables"]] == ["colour", "width"]
    assert [(table["train"], table["test"]) for table in got["tables"]] == [(9, 6)] * 2
    assert [left["path"] for left in got["left_out"]] == [str(broken)]
    assert got["protocol"]["split"] == "as given"
    assert [row["name"] for row in got["tables"][0]["rows"]][:2] == ["visual", "untrained visual"]


def test_a_motion_encoder_alone(run: Path, videos: Path, tmp_path: Path) -> None:
    got = evaluate(run, videos, encoders=("motion",), tasks=("retrieval",), out=tmp_path / "out.json")
    assert got["tables"][0]["rows"][0]["name"] == "motion"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": ("knn", "fine")}, "tasks knn, linear, retrieval"),
        ({"tasks": ()}, "tasks knn, linear, retrieval"),
        ({"encoders": ("audio",)}, "visual, motion"),
        ({"clips": 0}, "clips=0"),
        ({"device": "gpu"}, "device=gpu"),
    ],
)
def test_bad_arguments(run: Path, videos: Path, arguments: dict, message: str) -> None:
    with pytest.raises(ReelvecError, match=message):
        evaluate(run, videos, **arguments)


def test_run_without_an_encoder(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(ReelvecError, match="no such folder"):
        evaluate(tmp_path / "absent", videos)
    with pytest.raises(ReelvecError, match="no encoder yet"):
        evaluate(tmp_path, videos)


def test_an_index_file_is_added_to_and_never_made_smaller(run: Path, videos: Path, tmp_path: Path) -> None:
    def measure(*colours: str) -> dict:
        for colour in colours:
            shutil.copytree(videos / colour, tmp_path / "_".join(colours) / colour)
        labels = tmp_path / "_".join(colours)
        return evaluate(run, labels, tasks=("knn",), out=tmp_path / "out.json", index_file=tmp_path / "all.parquet")

    measure("red", "green")
    assert len(Index.load(tmp_path / "all.parquet")) == 10
    result = measure("blue", "red")
    assert result["tables"][0]["classes"] == ["blue", "red"]
    assert result["tables"][0]["train"] + result["tables"][0]["test"] == 10
    assert len(Index.load(tmp_path / "all.parquet")) == 20


def test_a_part_that_is_broken_as_a_whole(run: Path, videos: Path, tmp_path: Path) -> None:
    for part, colour in (("train", "red"), ("train", "blue"), ("test", "red"), ("test", "blue")):
        target = tmp_path / part / colour / "1.mp4"
        target.parent.mkdir(parents=True)
        if part == "train":
            shutil.copy(videos / colour / "1.mp4", target)
        else:
            target.write_bytes(b"no video")
    with pytest.raises(ReelvecError, match=r"2 training and 0 test videos that can be read; 2 cannot"):
        evaluate(run, tmp_path)


def test_weights_that_are_not_finite(run: Path, videos: Path, tmp_path: Path) -> None:
    encoder = build_encoder("tiny")
    with torch.no_grad():
        next(encoder.parameters()).fill_(float("nan"))
    save_encoder(tmp_path / "encoder", "visual", encoder, card("visual", Stream.RGB, 3))
    with pytest.raises(ReelvecError, match="not finite"):
        evaluate(tmp_path, videos)


def test_what_a_measure_has_to_say_of_the_labels_is_in_the_notes(run: Path, videos: Path, tmp_path: Path) -> None:
    got = evaluate(run, videos, tasks=("fewshot",), encoders=("visual",), baselines=False, out=tmp_path / "out.json")
    assert any(note.startswith("class: fewshot: ") for note in got["notes"])


def test_a_head_that_fails_leaves_its_columns_empty(run: Path, videos: Path, tmp_path: Path) -> None:
    settings = {"attentive": {"epochs": 1, "memory_gb": 0, "disk_gb": 0}}
    more = {"settings": settings, "clips": 1, "encoders": ("visual",), "out": tmp_path / "out.json"}
    got = evaluate(run, videos, tasks=("knn", "attentive"), **more)
    (table,) = got["tables"]
    assert table["columns"] == ["knn", "attentive"]
    rows = {row["name"]: row["values"] for row in table["rows"]}
    assert "knn" in rows["visual"]
    assert not [name for name, values in rows.items() if "attentive" in values and name != "chance"]
    assert [(one["task"], one["row"]) for one in got["failed"]] == [("attentive", "visual"), ("attentive", "untrained visual")]
    assert any(note.startswith("class: no attentive of visual: keep ") for note in got["notes"])
    with pytest.raises(ReelvecError, match="allowed: 0 GB of memory"):
        evaluate(run, videos, tasks=("attentive",), **more)
