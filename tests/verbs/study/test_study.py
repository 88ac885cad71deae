"""A whole study in miniature, as a user would run it; what is finished is used again; the page holds what the files hold."""

import json
from pathlib import Path

import cv2
import pytest
import yaml

from reelvec.core import ReelvecError
from reelvec.data.shapes import make_shapes
from reelvec.engine.config import merge, parse_settings, read_yaml, validate
from reelvec.methods import METHODS
from reelvec.verbs.pretrain import pretrain, recipe_path
from reelvec.verbs.study import Arm, Budget, Claim, Study, find_study, list_studies, results_page, run_study
from reelvec.verbs.study.plan import BUDGETS
from reelvec.verbs.study.run import run_content

REPOSITORY = Path(__file__).parents[3]

MINIATURE = """
from reelvec.verbs.study import Arm, Budget, Claim, Study

def more(encoder, card, found, videos):
    assert (videos / "labels.csv").exists()
    return {"size": sum(float(p.abs().sum()) for p in encoder.parameters())}

TINY = Budget(8, 16, 16, ("batch=4", "settings.queue=8", "view.size=32", "short_side=36", "cache_gb=0"))
STUDY = Study(
    question="Does it run?", source="nobody",
    arms={"a": Arm("rho_moco"), "b": Arm("rho_moco", ("temperature=0.5",), share=0.5), "c": Arm("rho_moco", camera=1.0)},
    claims=(Claim("a over b", "a", "b", "motion linear"), Claim("smaller", "a", "untrained", "size", lower=True),
            Claim("itself again", "a", "untrained", "loss unseen"), Claim("told", "a", "chance", "loss unseen"),
            Claim("more so", "a", "b", "motion linear", beyond=("c", "b"))),
    chance={"loss unseen": 2.5},
    budgets={"cpu": TINY}, measure=more, pretext=("loss", "no_such_number"),
)
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "mini.py").write_text(MINIATURE)
    arguments = {"seeds": 3, "work": folder / "work", "out": folder / "out"}
    return folder, arguments, run_study(str(folder / "mini.py"), **arguments)


def test_every_arm_is_measured_with_every_seed(done):
    folder, _, result = done
    kept = json.loads((folder / "out" / "mini-cpu.json").read_text())
    assert kept["claims"] == result["claims"]
    assert {name: len(arm["numbers"]) for name, arm in kept["arms"].items()} == {"a": 3, "b": 3, "c": 3}
    assert {name: arm["steps"] for name, arm in kept["arms"].items()} == {"a": 2, "b": 1, "c": 2}
    for arm in kept["arms"].values():
        assert all(seconds > 0 for seconds in arm["training_seconds"])
        for seed in [*arm["numbers"], *arm["untrained"]]:
            assert set(seed) == {"motion knn", "motion linear", "scene knn", "scene linear", "size", "loss unseen"}
            assert all(0 <= value <= 1 for key, value in seed.items() if key.endswith((" knn", " linear")))
    first, second, third, fourth, fifth = kept["claims"]
    ours = [seed["motion linear"] for seed in kept["arms"]["a"]["numbers"]]
    assert first["ours"] == ours
    assert second["theirs"] == [seed["size"] for seed in kept["arms"]["a"]["untrained"]]
    assert len(set(second["theirs"])) == 3  # other first weights with each seed
    assert second["ours"] != second["theirs"]
    assert third["ours"] == [seed["loss unseen"] for seed in kept["arms"]["a"]["numbers"]]
    assert fourth["theirs"] == [2.5] * 3
    a, b, c = ([seed["motion linear"] for seed in kept["arms"][name]["numbers"]] for name in "abc")
    assert fifth["ours"] == [x - y for x, y in zip(a, b, strict=True)]
    assert fifth["theirs"] == [x - y for x, y in zip(c, b, strict=True)]
    sets = {path.name for path in (folder / "work" / "sets").iterdir() if path.is_dir()}
    assert sets == {f"shapes{moves}-gop12-16-16-seed{1000 + n}" for moves in ("", "-camera") for n in range(3)}
    assert cv2.imread(str(folder / "out" / "mini-cpu.png")).std() > 5


def test_a_table_of_real_videos_has_labels_of_motion_and_of_scene(done, tmp_path):
    folder, arguments, _ = done
    shapes = next((folder / "work" / "sets").glob("shapes-gop12-*-seed1000"))
    rows = [line.split(",") for line in (shapes / "labels.csv").read_text().splitlines()]
    place = {name: rows[0].index(name) for name in ("path", "split", "motion", "scene")}
    table = tmp_path / "mine.csv"
    lines = [
        [str(shapes / row[place["path"]]), *(row[place[name]] for name in ("split", "motion", "scene"))] for row in rows[1:]
    ]
    table.write_text("\n".join(["path,split,motion,scene", *map(",".join, lines)]))
    result = run_study(str(folder / "mini.py"), **{**arguments, "data": table, "work": tmp_path / "work", "out": tmp_path})
    assert json.loads((tmp_path / "mini-mine-cpu.json").read_text())["data"] == "mine"
    # what needs the truth of a generated set is left out
    assert [claim["words"] for claim in result["claims"]] == ["a over b", "itself again", "told", "more so"]
    assert set(result["arms"]["a"]["numbers"][0]) == {"motion knn", "motion linear", "scene knn", "scene linear", "loss unseen"}
    for words, says in (("path,split,class", "motion and scene"), ("path,motion", "train and test")):
        names = words.split(",")
        bad = tmp_path / "bad.csv"
        at = [("path", "split", "motion", "scene").index(name.replace("class", "motion")) for name in names]
        lines = [[line.split(",")[i] for i in at] for line in table.read_text().splitlines()[1:]]
        bad.write_text("\n".join([words, *(",".join(line) for line in lines)]))
        with pytest.raises(ReelvecError, match=says):
            run_study(str(folder / "mini.py"), **{**arguments, "data": bad, "work": tmp_path / "work"})


def test_finished_runs_are_used_again(done):
    folder, arguments, result = done
    before = {path: path.stat().st_mtime_ns for path in (folder / "work" / "runs").rglob("*") if path.is_file()}
    again = run_study(str(folder / "mini.py"), **arguments)
    assert again["arms"] == result["arms"]
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "work" / "runs").rglob("*") if path.is_file()}


def test_other_settings_make_other_runs(done):
    folder, arguments, result = done
    runs = set((folder / "work" / "runs").iterdir())
    (folder / "mini.py").write_text(MINIATURE.replace("temperature=0.5", "temperature=0.6"))
    other = run_study(str(folder / "mini.py"), **{**arguments, "out": folder / "other"})
    (folder / "mini.py").write_text(MINIATURE)
    new = [path for path in (folder / "work" / "runs").iterdir() if path not in runs and path.suffix != ".yaml"]
    assert len(new) == 3  # those of the arm that has changed, one a seed
    assert other["arms"]["a"]["numbers"] == result["arms"]["a"]["numbers"]
    assert other["arms"]["b"]["numbers"] != result["arms"]["b"]["numbers"]


def test_a_study_is_repeated_on_seeds_of_its_own_and_stands_beside_the_first(done):
    folder, arguments, result = done
    first = (folder / "out" / "mini-cpu.json").read_bytes()
    with pytest.raises(ReelvecError, match="1000 to 1002"):
        run_study(str(folder / "mini.py"), **arguments, first_seed=1002)
    again = run_study(str(folder / "mini.py"), **arguments, first_seed=1003)
    assert (folder / "out" / "mini-cpu.json").read_bytes() == first
    assert Path(again["file"]).name == "mini-from1003-cpu.json"
    assert again["data"].endswith(" videos, seeds 1003 to 1005")
    assert again["command"].endswith(" first_seed=1003")
    firsts = [run["size"] for run in (*result["arms"]["a"]["untrained"], *again["arms"]["a"]["untrained"])]
    assert len(set(firsts)) == 6  # other first weights with each seed
    assert "## mini, generated, still camera, moving camera" in results_page(folder / "out")


def test_settings_given_go_to_every_arm_and_stop_where_an_arm_has_its_own():
    spent = Budget(8, settings=("batch=4",))
    for arm, clips in ((Arm("rho_moco"), 3), (Arm("rho_moco", ("clips=1",)), 1)):
        content = run_content("any", arm, spent, ["clips=3", "fit=square"])
        assert (content["settings"]["clips"], content["settings"]["fit"], content["batch"]) == (clips, "square", 4)


def test_an_arm_that_cannot_be_trained_is_said_before_anything_starts(tmp_path):
    for wrong, says in (
        ("rho_mocco", "an arm of the method"),
        ('rho_moco", ("tempreture=1",)), "c": Arm("rho_moco', "tempreture"),
    ):
        (tmp_path / "wrong.py").write_text(MINIATURE.replace('"a": Arm("rho_moco', f'"a": Arm("{wrong}'))
        with pytest.raises(ReelvecError, match=says):
            run_study(str(tmp_path / "wrong.py"), work=tmp_path / "work")
    (tmp_path / "wrong.py").write_text("from nowhere import nothing")
    with pytest.raises(ReelvecError, match="ModuleNotFoundError"):
        find_study(str(tmp_path / "wrong.py"))
    assert not (tmp_path / "work").exists()


def test_page_is_made_of_the_results_alone(done):
    folder, _, result = done
    page = results_page(folder / "out")
    assert "Does it run?" in page
    assert f"{100 * result['claims'][0]['difference']:+.1f}" in page
    assert f"{result['claims'][1]['difference']:+.2f}" in page
    assert page == results_page(folder / "out")


def test_the_projects_page_is_made_of_its_results():
    assert (REPOSITORY / "docs/studies.md").read_text(encoding="utf-8") == results_page(REPOSITORY / "studies/results"), (
        "run: reelvec study --page docs/studies.md"
    )


@pytest.mark.parametrize("name", list_studies())
def test_studies_of_the_project_can_be_read(name):
    study = find_study(name)
    assert set(study.budgets) >= {"cpu", "gpu"}
    assert all(arm.method in METHODS for arm in study.arms.values())
    assert study.claims
    for arm in study.arms.values():  # settings that exist and are valid, in a recipe that exists
        kind = METHODS[arm.method].Config
        for budget in study.budgets.values():
            content = merge(
                read_yaml(recipe_path(f"{arm.method}-cpu")), parse_settings([*budget.settings, *arm.settings]), kind
            )
            validate(kind, content["settings"], name)


def test_every_method_has_a_study_of_its_own_claim():
    """As the one that a claim is about, not as what another is compared with."""
    studies = [find_study(name) for name in list_studies() if name != "methods"]
    studied = {study.arms[claim.arm].method for study in studies for claim in study.claims}
    beside = {arm.method for study in studies for arm in study.arms.values()}
    # SwAV's claim is one that another is compared with: the large-scale study ranks four methods
    assert (studied, beside) == (set(METHODS) - {"rho_simclr", "rho_swav"}, set(METHODS))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_budget_for_a_gpu_starts_with_every_method(method, tmp_path):
    """On a CPU: batches of 128, bfloat16 and videos held decoded; its speed and its numbers on a GPU are another matter."""
    make_shapes(tmp_path / "set", videos=(160, 8), seed=5, truth=False, workers=2)
    content = run_content("methods", Arm(method), BUDGETS["gpu"])
    assert content["steps"] == 2000
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**content, "steps": 2}))
    summary = pretrain(tmp_path / "set/train", method, recipe=tmp_path / "recipe.yaml", out=tmp_path / "run")
    assert summary["steps"] == 2


def test_what_cannot_be_run_is_said(tmp_path):
    with pytest.raises(ReelvecError, match="the studies"):
        run_study("nope")
    with pytest.raises(ReelvecError, match="budgets cpu"):
        run_study("modist_motion", budget="week")
    with pytest.raises(ReelvecError, match="too few"):
        run_study("modist_motion", seeds=1)
    with pytest.raises(ReelvecError, match="tuned on"):
        run_study("modist_motion", first_seed=100)
    with pytest.raises(ReelvecError, match="train/"):
        run_study("modist_motion", data=tmp_path, work=tmp_path / "work")
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(ReelvecError, match="no STUDY"):
        find_study(str(tmp_path / "empty.py"))
    with pytest.raises(ValueError, match="not there"):
        Study("?", "!", {"a": Arm("rho_moco")}, (Claim("?", "a", "b", "motion knn"),))
    with pytest.raises(ValueError, match="chance that is not given"):
        Study("?", "!", {"a": Arm("rho_moco")}, (Claim("?", "a", "chance", "motion knn"),))
