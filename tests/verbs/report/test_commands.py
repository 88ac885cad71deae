"""The commands of a page, read back by the command line's own parser, ask for what was asked."""

import ast
import importlib
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from reelvec.cli.app import app
from reelvec.cli.words import split_words
from reelvec.evals import class_maps, detection, diagnose, diagnose_masks, evaluate, health, localisation, propagation
from reelvec.evals.pair_similarity import pair_similarity
from reelvec.verbs.battery import battery
from reelvec.verbs.report.commands import measuring_commands
from reelvec.verbs.report.settings import written
from reelvec.verbs.report.story import RunStory

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))
from conftest import SUITE_SETTINGS
from judged_data import write_all, write_jhmdb


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("asked")
    write_all(root)
    return root


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    """A run without results; its encoder is that of another folder."""
    return Path(shutil.copytree(folder / "runs/a/encoder", tmp_path / "my run" / "encoder")).parent


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """What the functions behind the commands are called with; they do nothing."""
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    places = ((n, "reelvec.evals") for n in ("evaluate", "diagnose", "diagnose_masks", "health", "pair_similarity"))
    for name, module in (*places, ("battery", "reelvec.verbs.battery")):
        real = getattr(importlib.import_module(module), name)

        def stand_in(*given: Any, name: str = name, **named: Any) -> dict[str, Any]:
            named.pop("on_progress")
            calls.append((name, given, named))
            return {}

        stand_in.__signature__ = importlib.import_module("inspect").signature(real)  # type: ignore[attr-defined]
        monkeypatch.setattr(f"{module}.{name}", stand_in)
    monkeypatch.setattr("reelvec.cli.output.show", lambda *_: None)
    return calls


def typed_again(run: Path, asked: list[Any]) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Give each command of the page to the command line; return the calls that come of it."""
    for line in measuring_commands(RunStory(run)):
        program, *words = shlex.split(line.replace("\\\n", " "))
        assert program == "reelvec", line
        typer.main.get_command(app).main(words, standalone_mode=False)
    return asked


def test_settings_of_tasks_are_those_that_were_asked(run: Path, folder: Path, asked: list[Any]) -> None:
    settings = {"knn": {"k": 3, "temperature": 1e-05}, "fewshot": {"ways": 3, "shots": (1,), "episodes": 10}}
    evaluate(run, folder / "shapes/labels.csv", label_column="motion,scene", tasks=("knn", "fewshot"), settings=settings,
             clips=1, seed=4, encoders=("visual",))  # fmt: skip
    [(name, (path, labels), given)] = typed_again(run, asked)
    assert (name, path, labels) == ("evaluate", str(run), str(folder / "shapes/labels.csv"))
    assert given.pop("settings") == {
        "knn": {"k": 3, "temperature": 1e-05},
        "fewshot": {"ways": 3, "shots": [1], "episodes": 10},
    }
    assert given == {
        "label_column": "motion,scene", "tasks": ("knn", "fewshot"), "clips": 1, "seed": 4, "encoders": ("visual",),
    }  # fmt: skip


def test_an_evaluation_of_class_folders_without_baselines(run: Path, tmp_path: Path, folder: Path, asked: list[Any]) -> None:
    for number, video in enumerate(sorted((folder / "shapes/train").glob("*.mp4"))[:8]):
        place = tmp_path / "classes" / "ab"[number % 2] / video.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(video)
    evaluate(run, tmp_path / "classes", tasks=("knn",), baselines=False)
    [(_, _, given)] = typed_again(run, asked)
    assert given == {"tasks": ("knn",), "baselines": False}


def test_diagnoses(run: Path, folder: Path, asked: list[Any]) -> None:
    diagnose(run, folder / "shapes/labels.csv", label_column="motion", clips=1, seed=2, baselines=False)
    diagnose_masks(run, folder / "shapes", label_column="scene", fill="frame", seed=1)
    calls = {name: (given, named) for name, given, named in typed_again(run, asked)}
    assert calls["diagnose"][1] == {"label_column": "motion", "clips": 1, "seed": 2, "baselines": False}
    given, named = calls["diagnose_masks"]
    assert given == (str(run), str(folder / "shapes"))
    assert named == {"masks": str(folder / "shapes/truth"), "label_column": "scene", "fill": "frame", "seed": 1}


def test_health(run: Path, folder: Path, asked: list[Any]) -> None:
    health(run, folder / "shapes/train", clips=1)
    [(name, given, named)] = typed_again(run, asked)
    assert (name, given[0]) == ("health", str(run))
    assert given[1] in (str(folder / "shapes/train"), [str(folder / "shapes/train")])
    assert named == {"clips": 1}


def test_frames_with_masks_and_boxes(run: Path, folder: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("reelvec.evals.dense.detection")
    monkeypatch.setattr(module, "_LEAST_STEPS", 5)
    monkeypatch.setattr(module, "_RESAMPLES", 5)
    of_frames: dict[str, Any] = {"clips": "repeated", "map_stride": 8, "seed": 2}
    propagation(run, folder / "davis", preset=("crw", "rvm"), size=48, **of_frames)
    localisation(run, folder / "davis", baselines=False)
    detection(run, folder / "boxes.csv", seed=3)
    masks, boxes = (one[2] for one in sorted(typed_again(run, asked), key=lambda one: one[2]["masks"] is None))
    assert (masks["masks"], masks["boxes"]) == (str(folder / "davis"), None)
    assert masks["settings"]["propagation"] == {"preset": ["crw", "rvm"], "size": 48, "sequences": "walks", **of_frames}
    assert masks["settings"]["localisation"] == {"size": 240, "sequences": "walks", "baselines": False}
    assert (boxes["boxes"], boxes["settings"]) == (str(folder / "boxes.csv"), {"detection": {"seed": 3}})


@pytest.mark.parametrize("size", [None, 64, (48, 80)])
@pytest.mark.parametrize("data", ["davis", "jhmdb"])
def test_sizes_of_frames(run: Path, folder: Path, tmp_path: Path, asked: list[Any], size: Any, data: str) -> None:
    """The size is read out of the protocol's words: what it becomes must make the same frames."""
    if data == "jhmdb":
        write_jhmdb(tmp_path / data)
    made = propagation(run, (tmp_path if data == "jhmdb" else folder) / data, size=size, map_stride=16, baselines=False)
    [(_, _, given)] = typed_again(run, asked)
    again = given["settings"]["propagation"]["size"]
    again = tuple(again) if isinstance(again, list) else again
    repeated = propagation(run, made["data"], size=again, map_stride=16, baselines=False)
    assert repeated["protocol"] == made["protocol"]


@pytest.fixture
def pairs(folder: Path, tmp_path: Path) -> Path:
    """A table of pairs of videos in three folds."""
    videos = sorted((folder / "shapes/train").glob("*.mp4"))[:6]
    pairs = [f"{a},{b},{int(i % 2)},{i % 3}" for i, (a, b) in enumerate((a, b) for a in videos for b in videos if a < b)]
    (tmp_path / "pairs.csv").write_text("\n".join(["first,second,same,fold", *pairs]))
    return tmp_path / "pairs.csv"


def test_pairs(run: Path, pairs: Path, asked: list[Any]) -> None:
    pair_similarity(run, pairs, clips=1, baselines=False)
    [(name, given, named)] = typed_again(run, asked)
    assert (name, given) == ("pair_similarity", (str(run),))
    assert named == {
        "pairs": str(pairs), "clips": 1, "encoders": ("visual",), "baselines": False,
    }  # fmt: skip


def test_a_suite_on_pairs_alone(run: Path, pairs: Path, asked: list[Any]) -> None:
    battery(run, suite="quick", pairs=pairs, clips=1, seed=2)
    [(name, (_, labels), named)] = typed_again(run, asked)
    assert (name, labels, named["pairs"], named["clips"], named["seed"]) == ("battery", None, str(pairs), 1, 2)


def test_what_has_no_command_is_a_call(run: Path, folder: Path) -> None:
    class_maps(run, folder / "shapes", label_column="scene", seed=1)
    calls = {}
    for line in measuring_commands(RunStory(run)):
        program, flag, code = shlex.split(line.replace("\\\n", " "))
        assert (program, flag) == ("python", "-c")
        source, call = ast.parse(code).body
        module = importlib.import_module(source.module)  # type: ignore[attr-defined]
        given = [ast.literal_eval(one) for one in call.value.args]  # type: ignore[attr-defined]
        named = {one.arg: ast.literal_eval(one.value) for one in call.value.keywords}  # type: ignore[attr-defined]
        calls[getattr(module, source.names[0].name)] = (given, named)  # type: ignore[attr-defined]
    assert calls[class_maps] == ([str(run), str(folder / "shapes")], {"label_column": "scene", "seed": 1})


def test_a_suite_is_one_command(judged: Path, asked: list[Any]) -> None:
    run = judged / "runs/a"
    (named,) = [named for name, _, named in typed_again(run, asked) if name == "battery" and "label_column" in named]
    found = named.pop("settings")
    assert named == {
        "suite": "quick", "masks": str(judged / "davis"), "boxes": str(judged / "boxes.csv"), "label_column": "motion",
        "clips": 1, "pairs": None,
    }  # fmt: skip
    for task in ("lowshot", "fewshot", "knn", "class_maps"):
        assert found[task] == SUITE_SETTINGS[task]
    assert found["propagation"] == {"preset": "dul", "size": 48, "sequences": "walks"}
    assert found["localisation"] == {"size": 48, "sequences": "walks"}


@pytest.mark.parametrize("value", [1e-05, 3, "1", "true", "", "square", [0.4, 0.9], ["a"], None, True, {}, "a: b"])
def test_values_are_read_again_as_they_were(value: Any) -> None:
    from reelvec.engine.config import parse_settings

    assert parse_settings([f"x={written(value)}"]) == {"x": value}
    assert split_words([f"x={written(value)}"])[0] == []


def test_a_suite_with_masks_of_ones_own(run: Path, folder: Path, tmp_path: Path, asked: list[Any]) -> None:
    """Labels outside the generated set: its truth counts as masks of one's own, for both parts that take some."""
    own = tmp_path / "own.csv"
    lines = (folder / "shapes/labels.csv").read_text().splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    own.write_text(
        "\n".join(["video,place,split", *(f"{folder / 'shapes' / r['path']},{r['scene']},{r['split']}" for r in rows)])
    )
    masks = tmp_path / "masks"
    masks.mkdir()
    for row in rows:
        if row["split"] == "test":
            (masks / f"{Path(row['path']).stem}.npz").symlink_to((folder / "shapes/truth" / row["path"]).with_suffix(".npz"))
    settings = {part: {"masks": masks} for part in ("diagnose_masks", "class_maps")}
    made = battery(
        run, own, suite="quick", label_column="place", path_column="video", clips=1, settings=SUITE_SETTINGS | settings
    )
    assert {"diagnose_masks", "class_maps"} <= {part["name"] for part in made["parts"]}, made["left_out"]
    [(name, _, named)] = typed_again(run, asked)
    assert (name, named["label_column"], named["path_column"]) == ("battery", "place", "video")
    for part in settings:
        assert named["settings"][part]["masks"] == str(masks)
        assert not {"path_column", "label_column"} & set(named["settings"][part])


def test_a_suite_on_labels_and_pairs(run: Path, folder: Path, pairs: Path, asked: list[Any]) -> None:
    settings = {**SUITE_SETTINGS, "pair_similarity": {"clips": 2, "videos": folder}}
    labels = folder / "shapes/labels.csv"
    battery(run, labels, suite="quick", pairs=pairs, label_column="scene", clips=1, settings=settings)
    [(name, _, named)] = typed_again(run, asked)
    assert (name, named["pairs"], named["clips"]) == ("battery", str(pairs), 1)
    assert named["settings"]["pair_similarity"] == {"clips": 2, "videos": str(folder)}
    assert "masks" not in named["settings"].get("diagnose_masks", {})
