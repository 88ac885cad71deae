"""Same action or not by given folds: measures and SVM against slow versions, and the whole way from files."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
import torch

import reelvec
from reelvec.backbones import build_encoder, save_encoder
from reelvec.cli import main
from reelvec.core import EncoderCard, Needs, Stream, StreamNeed
from reelvec.evals.pair_files import Pairs
from reelvec.evals.pair_similarity import GivenPairs, fit_svm, measures
from reelvec.evals.similarity import accuracy_by_fold, area_by_fold, best_threshold

SKLEARN = "scikit-learn, of which the answers are taken"


def made(many: int = 120, folds: int = 4, dim: int = 6, noise: float = 1.0) -> tuple[torch.Tensor, Pairs]:
    """Features of five classes with noise, and random pairs in folds of unequal size."""
    rng = torch.Generator().manual_seed(0)
    classes = torch.randint(5, (40,), generator=rng)
    features = 2 * torch.eye(5, dim)[classes] + noise * torch.randn(40, dim, generator=rng)
    pairs = torch.stack([torch.randperm(40, generator=rng)[:2] for _ in range(many)])
    same = classes[pairs[:, 0]] == classes[pairs[:, 1]]
    fold = (torch.rand(many, generator=rng) ** 2 * folds).int().long()
    return features, Pairs([f"{i:02d}.mp4" for i in range(40)], pairs, same, fold, "made pairs", [])


def test_measures_are_their_formulas() -> None:
    features, given = made()
    found = measures(features, given.pairs)
    for (i, j), values in zip(given.pairs.tolist()[:20], found.tolist(), strict=False):
        x, y = (features[k].double().tolist() for k in (i, j))
        size_x, size_y = (math.sqrt(sum(v * v for v in of)) for of in (x, y))
        both = [(v / size_x, w / size_y) for v, w in zip(x, y, strict=True)]
        slow = [
            sum(v * w for v, w in zip(x, y, strict=True)),
            sum(v * w for v, w in both),
            sum(abs(v - w) for v, w in both),
            math.sqrt(sum((v - w) ** 2 for v, w in both)),
            sum((v - w) ** 2 / (abs(v) + abs(w)) for v, w in both),
            sum(math.sqrt(v * w) for v, w in both if v * w > 0),
            sum(min(abs(v), abs(w)) for v, w in both if v * w > 0),
        ]
        assert values == pytest.approx(slow, rel=1e-6)
    assert measures(torch.zeros(40, 6), given.pairs).abs().max() == 0


def test_the_svm_is_scikit_learns() -> None:
    svm = pytest.importorskip("sklearn.svm", reason=SKLEARN)
    features, given = made()
    x = measures(features, given.pairs)
    x = (x - x.mean(0)) / x.std(0)
    for c in (0.05, 1.0):
        weights = fit_svm(x, given.same, c)
        # its bias is one more weight, which is penalised: hardly, on a column of so large numbers
        theirs = svm.LinearSVC(C=c, dual=False, intercept_scaling=1e3, tol=1e-8, max_iter=10_000)
        theirs.fit(x.numpy(), given.same.numpy())
        said = torch.from_numpy(theirs.decision_function(x.numpy()))
        torch.testing.assert_close(x @ weights[:-1] + weights[-1], said, atol=2e-3, rtol=2e-3)


def test_folds_of_any_size_are_judged_by_the_others() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason=SKLEARN)
    features, given = made()
    cosine, same, fold = measures(features, given.pairs)[:, 1], given.same, given.fold
    found = GivenPairs(given).run(features[:0], features[:0, 0].long(), features, torch.zeros(40, dtype=torch.long))
    said = GivenPairs(given).said(features)
    right, area = [], []
    for number in range(4):
        mine = [i for i in range(len(fold)) if fold[i] == number]
        rest = [i for i in range(len(fold)) if fold[i] != number]
        threshold = best_threshold(cosine[rest], same[rest])
        right.append(sum((cosine[i].item() > threshold) == same[i].item() for i in mine) / len(mine))
        area.append(metrics.roc_auc_score(same[mine].numpy(), cosine[mine].numpy()))
    assert len({int((fold == number).sum()) for number in range(4)}) > 1
    assert accuracy_by_fold(cosine, same, fold).tolist() == pytest.approx(right)
    assert area_by_fold(cosine, same, fold).tolist() == pytest.approx(area)
    assert found.columns["similarity"].score.tolist() == pytest.approx(right)
    assert found.columns["similarity AUC"].score.tolist() == pytest.approx(area)
    assert found.details["similarity standard error"] == pytest.approx(stdev(right) / 2)
    slow = [((said[fold == n] > 0) == same[fold == n]).double().mean().item() for n in range(4)]
    assert found.columns["similarity SVM"].score.tolist() == pytest.approx(slow)


def test_no_label_of_a_fold_is_learnt_from() -> None:
    features, given = made()
    first = given.fold == 0
    turned = Pairs(given.paths, given.pairs, given.same ^ first, given.fold, given.title, [])
    torch.testing.assert_close(GivenPairs(turned).said(features)[first], GivenPairs(given).said(features)[first])
    assert not torch.allclose(GivenPairs(turned).said(features)[~first], GivenPairs(given).said(features)[~first])


def test_clear_features_are_told_apart_and_noise_is_not() -> None:
    def shares(features: torch.Tensor, given: Pairs) -> dict[str, float]:
        return GivenPairs(given).run(features[:0], features[:0, 0].long(), features, torch.zeros(40, dtype=torch.long)).shares

    clear = shares(*made(noise=0.1))
    assert min(clear.values()) > 0.98
    features, given = made(many=600)
    chance = GivenPairs(given).plan(torch.zeros(0, dtype=torch.long), torch.zeros(40, dtype=torch.long)).chance
    noise = shares(torch.randn(features.shape, generator=torch.Generator().manual_seed(1)), given)
    assert set(noise) == set(chance)
    for name, share in noise.items():
        assert share == pytest.approx(chance[name], abs=0.12)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    needs = Needs(streams=(StreamNeed(stream=Stream.RGB, frames=4, stride=1),), clips=1, short_side=24)
    card = EncoderCard(name="visual", architecture="set when saved", channels=3, needs=needs, size=16, mean=(0.45,) * 3,
                       std=(0.225,) * 3, method="none", step=3)  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_encoder(folder / "encoder", "visual", build_encoder("tiny"), card)
    return folder


@pytest.fixture
def pairs(make_video: Callable[..., Path], tmp_path: Path) -> Path:
    """Red and blue videos in three folds; one of them cannot be read."""
    for i in range(8):
        shade = np.array([(210, 40, 30), (30, 50, 200)][i % 2]) + 3 * i
        make_video(tmp_path / f"{i}.mp4", frames=6, size=(32, 24), picture=lambda _, s=shade: np.full((24, 32, 3), s, np.uint8))
    (tmp_path / "8.mp4").write_bytes(b"broken")
    pairs = [(i, j) for i in range(8) for j in range(i)] + [(8, 0)]
    lines = [f"{i}.mp4,{j}.mp4,{int(i % 2 == j % 2)},{number % 3}" for number, (i, j) in enumerate(pairs)]
    (tmp_path / "pairs.csv").write_text("\n".join(["first,second,same,fold", *lines]))
    return tmp_path / "pairs.csv"


def test_from_a_table_of_pairs_to_a_result(run: Path, pairs: Path) -> None:
    found = reelvec.pair_similarity(run, pairs)
    (table,) = found["tables"]
    rows = {row["name"]: row for row in table["rows"]}
    assert list(rows) == ["visual", "untrained visual", "raw pixels", "colour histogram", "chance"]
    assert table["columns"] == ["similarity", "similarity AUC", "similarity SVM", "similarity SVM AUC"]
    assert rows["raw pixels"]["values"]["similarity AUC"] > 0.95
    assert rows["raw pixels"]["values"]["similarity"] > 0.9
    assert [len(one["details"]["similarity standard error"]) for one in table["rows"][:2]] == [1, 3]
    assert any("1 of 29 pairs are left out" in note for note in found["notes"])
    assert any(note.startswith("visual: similarity ") and "standard error" in note for note in found["notes"])
    assert [Path(one["path"]).name for one in found["left_out"]] == ["8.mp4"]
    assert json.loads(Path(found["file"]).read_text())["tables"] == found["tables"]
    assert Path(found["file"]).name == "pairs-step000003.json"
    assert (Path(found["file"]).parent / found["answers"]).is_file()


def test_the_command_and_the_suite_judge_pairs(
    run: Path, pairs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["reelvec", "evaluate", str(run), "--pairs", str(pairs), *words])
        with pytest.raises(SystemExit) as leaving:
            main()
        assert not leaving.value.code
        return capsys.readouterr().out

    assert "similarity SVM" in told(f"videos={pairs.parent}", "clips=1", "encoders=visual")
    summary = json.loads(told("--suite", "quick", "clips=1", "--json"))
    assert [part["name"] for part in summary["parts"]] == ["pair_similarity"]
    assert {one["name"] for one in summary["left_out"]} > {"knn", "diagnose", "detection"}
    again = told("--suite", "quick", "clips=1")
    assert "similarity SVM" in again
    assert "left out: knn" in again
    monkeypatch.setattr("sys.argv", ["reelvec", "evaluate", str(run), "--pairs", str(pairs), "--group-column", "g"])
    with pytest.raises(SystemExit):
        main()
    assert "pairs alone, no labels" in capsys.readouterr().err
