"""The house rules that a machine can check: who imports whom, what files are called, what must not stand in them."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "reelvec"
MODULES = sorted(PACKAGE.rglob("*.py"))

FLOOR = {
    "cli": 5,
    "verbs": 4,
    "methods": 3,
    "evals": 3,
    "embeddings": 3,
    "engine": 2,
    "data": 1,
    "views": 1,
    "backbones": 1,
    "parts": 1,
    "core": 0,
}
"""a room imports rooms of lower floors; rooms of one floor are independent of one another"""

DRAWERS = {"util", "utils", "helper", "helpers", "misc", "common", "manager", "managers"}
"""names that say nothing about what is inside"""


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str, module: str, is_package: bool) -> Iterator[str]:
    """Every module of reelvec that a source names in an import, also inside functions and by `import_module("...")`."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "reelvec")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                base = ".".join([*above[: len(above) - node.level + 1], *([base] if base else [])])
            if base.split(".")[0] == "reelvec":
                yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            for argument in node.args:
                if isinstance(argument, ast.Constant) and str(argument.value).startswith("reelvec."):
                    yield str(argument.value)


def wrong_imports(source: str, module: str, is_package: bool = False) -> list[str]:
    """What a module imports and must not; an empty list is a good answer."""
    here = module.split(".")
    if len(here) == 1 or here[1] == "__main__":
        return []  # the two doors of the house
    wrong = []
    for name in imported(source, module, is_package):
        there = name.split(".")
        if name in ("reelvec", "reelvec.__version__"):
            continue  # where the package lies, which version it is
        room, mine = there[1] if len(there) > 1 else "", here[1]
        if room not in FLOOR or (room != mine and FLOOR[room] >= FLOOR[mine]):
            wrong.append(name)
        elif room == mine == "methods" and len(here) > 2 and not there[2].startswith("_"):
            wrong.append(name)  # a method imports no other; a piece inside the room carries an underscore
    return wrong


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_imports_run_downwards(file: Path) -> None:
    module = module_name(file)
    assert wrong_imports(file.read_text(), module, file.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from reelvec.parts.queue import Queue", "reelvec.views.crop"),
        ("import reelvec.engine.loop", "reelvec.core.batch"),
        ("from ..evals import knn", "reelvec.embeddings.search"),
        ("def f():\n    from reelvec.methods.cvrl import Cvrl", "reelvec.methods.modist"),
        ("from .cvrl import Cvrl", "reelvec.methods.modist"),
        ("from importlib import import_module\nimport_module('reelvec.verbs.demo')", "reelvec.engine.loop"),
        ("from reelvec import pretrain", "reelvec.engine.loop"),
        ("from reelvec.drawer import x", "reelvec.cli.app"),
    ],
)
def test_a_wrong_import_is_seen(source: str, module: str) -> None:
    assert wrong_imports(source, module)


def test_a_right_import_is_not_refused() -> None:
    source = "import torch, reelvec\nfrom reelvec.core import Batch\nfrom reelvec import __version__\nfrom . import _inside"
    assert wrong_imports(source, "reelvec.methods.modist") == []


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_every_module_can_be_imported(file: Path) -> None:
    importlib.import_module(module_name(file))


@pytest.mark.parametrize("module", ["reelvec", "reelvec.cli", "reelvec.cli.app"])
def test_what_answers_help_is_light(module: str) -> None:
    heavy = "{'torch', 'torchvision', 'numpy', 'av', 'cv2', 'pyarrow', 'pydantic', 'yaml'}"
    program = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_a_file_has_one_subject_and_a_name_for_it(file: Path) -> None:
    assert file.stem.strip("_") not in DRAWERS
    assert len(file.read_text().splitlines()) <= 400


def texts() -> list[Path]:
    """Every text of the project that is written by hand."""
    rooms = ("src", "tests", "recipes", "docs", "decisions", "changes", "studies", "benchmarks", ".ci")
    suffixes = {".py", ".md", ".yaml", ".toml", ".txt", ".json", ""}
    inside = [file for room in rooms for file in (REPOSITORY / room).rglob("*") if "__pycache__" not in file.parts]
    top = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "pyproject.toml")]
    return [file for file in [*inside, *top] if file.is_file() and file.suffix in suffixes]


def test_no_path_of_a_machine_stands_in_the_project() -> None:
    machine_path = re.compile(r"(?:^|[^.\w])/(?:work|farm|root|tmp|home)/")
    found = [
        f"{file.relative_to(REPOSITORY)}: {line.strip()}"
        for file in texts()
        for line in file.read_text().splitlines()
        if machine_path.search(line)
    ]
    assert found == []


def test_every_method_comes_with_all_that_belongs_to_it() -> None:
    from reelvec.methods import METHODS

    missing = []
    for name in METHODS:
        wanted = [f"recipes/{name}-{setting}.yaml" for setting in ("paper", "gpu", "cpu")]
        wanted += [f"src/reelvec/methods/{name}.py", f"tests/methods/test_{name}.py", f"docs/methods/{name}.md"]
        missing += [path for path in wanted if not (REPOSITORY / path).exists()]
    assert missing == []
