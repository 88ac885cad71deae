"""What a study is: arms that differ in one thing, and claims about pairs of them. Written down before anything is run."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reelvec.core import Encoder, EncoderCard, ReelvecError
from reelvec.core.shipped import shipped_folder
from reelvec.data.index import Index

UNTRAINED = "untrained"
"""in place of an arm in a claim: the network of the claim's own arm with fresh weights"""

CHANCE = "chance"
"""in place of an arm in a claim: what guessing reaches, which the study's `chance` says for that measure"""

COLUMNS = ("motion knn", "motion linear", "scene knn", "scene linear")
"""what is always measured on generated videos; shares of test videos, and shown as percent"""


@dataclass(frozen=True)
class Arm:
    """One way to train: a method, and where it leaves the method's CPU recipe."""

    method: str
    settings: tuple[str, ...] = ()
    """key=value words, as on the command line"""
    encoder: str = "visual"
    """which of the method's encoders is judged"""
    share: float = 1.0
    """of the budget: 0.5 makes up for a step of twice the cost"""
    camera: float | None = None
    """speed of the camera of its generated videos; None: as the study says"""


@dataclass(frozen=True)
class Claim:
    """One arm has more of something than another, or than its own network untrained."""

    words: str
    arm: str
    than: str
    """another arm, UNTRAINED, or CHANCE"""
    measure: str
    """a column of the result: "motion linear", "scene knn", or one that `measure` or `pretext` of the study gives"""
    lower: bool = False
    """the claim is that the measure goes down"""
    beyond: tuple[str, str] | None = None
    """two more arms: the claim is that `arm` is ahead of `than` by more than the first of these is of the second"""


@dataclass(frozen=True)
class Budget:
    """How much every arm may spend."""

    samples: int
    """videos drawn for training: steps are these over the arm's batch"""
    train_videos: int = 512
    test_videos: int = 256
    settings: tuple[str, ...] = ()
    """laid over the recipe of every arm, before the arm's own"""


BUDGETS = {
    "cpu": Budget(4800),
    "gpu": Budget(256_000, 4096, 1024, ("batch=128", "precision=bf16", "cache_on=device", "cache_gb=32")),
}
"""The default budgets: minutes on two cores, minutes on one data-centre GPU that holds the videos decoded. The second was not
yet run on a GPU."""


@dataclass(frozen=True)
class Study:
    """A question, the arms that answer it, and what was claimed."""

    question: str
    source: str
    """where the claim was published"""
    arms: dict[str, Arm]
    claims: tuple[Claim, ...]
    note: str = ""
    """what one has to know to read the result; stands under the question"""
    camera: float = 0.0
    """speed of the camera of the generated videos: 0 stands, 1 is a camera held by hand (`reelvec shapes --camera`)"""
    gop: int = 12
    """frames from one key frame of the generated videos to the next"""
    pretext: tuple[str, ...] = ()
    """numbers of the methods' steps, such as "order_accuracy", to take on test videos too; a claim calls that
    "order accuracy unseen", see `unseen`"""
    chance: Mapping[str, float] = field(default_factory=dict)
    """what guessing reaches, of the measures that claims compare with CHANCE"""
    budgets: Mapping[str, Budget] = field(default_factory=lambda: BUDGETS)
    measure: Callable[[Encoder, EncoderCard, Index, Path], dict[str, float]] | None = None
    """(encoder, its card, index of all videos, folder of the generated set) -> numbers by other names than COLUMNS"""

    def __post_init__(self) -> None:
        named = {name for claim in self.claims for name in (claim.arm, claim.than, *(claim.beyond or ()))}
        unknown = named - {*self.arms, UNTRAINED, CHANCE}
        if unknown:
            raise ValueError(f"claims about arms that are not there: {', '.join(sorted(unknown))}")
        measures = {claim.measure for claim in self.claims} - {*COLUMNS, *map(unseen, self.pretext)}
        if measures and self.measure is None:
            raise ValueError(f"claims about what is not measured: {', '.join(sorted(measures))}")
        guessed = {claim.measure for claim in self.claims if claim.than == CHANCE} - set(self.chance)
        if guessed:
            raise ValueError(f"claims beside a chance that is not given: {', '.join(sorted(guessed))}")


def unseen(name: str) -> str:
    """Name the column of a method's own number, taken on test videos."""
    return f"{name.replace('_', ' ')} unseen"


def list_studies() -> dict[str, Path]:
    """Return the files of all studies by name."""
    return {path.stem: path for path in sorted(shipped_folder("studies").glob("*.py"))}


def study_file(name: str) -> Path:
    """Return the file of a study that is named, or given by its path; ReelvecError where there is none."""
    known = list_studies()
    path = Path(name) if name.endswith(".py") else known.get(name)
    if path is None or not path.is_file():
        raise ReelvecError(f"run the study '{name}'", f"the studies {', '.join(known)}", "name one of these, or a .py file")
    return path


def find_study(name: str) -> Study:
    """Load a study by its name, or by the path of a file that defines `STUDY`.

    Raises ReelvecError where there is no such study.
    """
    path = study_file(name)
    spec = importlib.util.spec_from_file_location(f"reelvec_study_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ReelvecError(f"run the study in {path}", f"{type(error).__name__}: {error}", "correct the file") from error
    if not isinstance(getattr(module, "STUDY", None), Study):
        raise ReelvecError(f"run the study in {path}", "no STUDY in it", "define STUDY = Study(...) at its top level")
    return module.STUDY
