"""A run's settings beside those of a recipe and of the method's paper: what is different, and how to ask for it again."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from reelvec.core import ReelvecError
from reelvec.core.shipped import shipped_folder
from reelvec.engine.config import RunConfig, read_yaml, validate
from reelvec.methods import METHODS

_LENGTH = ("steps", "epochs")
"""one of them says how long a run is; the other is empty"""


@dataclass(frozen=True)
class Settings:
    """Flat settings, as one writes them on the command line: "steps", "optimiser.lr", "view.size"."""

    run: dict[str, Any]
    paper: dict[str, Any]
    """the defaults of the code: for the method's own settings, its paper's"""
    recipe: dict[str, Any]
    recipe_name: str
    """of the recipe with the fewest differences; empty where the method has none"""

    @property
    def differing(self) -> list[str]:
        """Names of settings that are not the paper's, those that are not the recipe's either first."""
        names = [name for name in self.run if self.run[name] != self.paper.get(name)]
        return sorted(names, key=lambda name: (not self.is_own(name), list(self.run).index(name)))

    def is_own(self, name: str) -> bool:
        """Whether the run differs from its recipe here."""
        return self.run[name] != self.recipe.get(name)

    def words(self) -> list[str]:
        """Return key=value words that turn the recipe into this run."""
        names = [name for name in self.run if self.is_own(name) and not (name in _LENGTH and self.run[name] is None)]
        return [f"{name}={written(self.run[name])}" for name in names if name != "method"]


def compare_settings(config: Mapping[str, Any]) -> Settings | None:
    """Lay a run's settings beside its method's defaults and the nearest recipe; None for a method that is not known here."""
    method = str(config.get("method"))
    if method not in METHODS:
        return None
    try:
        run = _flat(config)
        paper = _flat({"method": method})
        recipes = {path.stem: _flat(read_yaml(path)) for path in sorted(shipped_folder("recipes").glob(f"{method}-*.yaml"))}
    except ReelvecError:
        return None  # settings of another version

    def distance(name: str) -> int:
        return sum(run[key] != recipes[name].get(key) for key in run)

    name = min(recipes, key=distance, default="")
    return Settings(run, paper, recipes.get(name, paper), name)


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """Write all defaults out and flatten; the method's settings lose their prefix where that is clear."""
    config = validate(RunConfig, dict(content), "a run")
    settings = validate(METHODS[config.method].Config, config.settings, "a run").model_dump(mode="json")
    flat = _flattened(config.model_dump(mode="json", exclude={"settings"}))
    return flat | {key if key.split(".")[0] not in flat else f"settings.{key}": v for key, v in _flattened(settings).items()}


def flat_settings(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return settings of tasks, however deep, as the dotted names and values of the command line."""
    return [(name, written(value)) for name, value in _flattened(content).items()]


def _flattened(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= _flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def written(value: Any) -> str:
    """Write a value on one line as YAML reads it again: "1" in quotes, 1e-05 with the point that YAML asks for."""
    line = yaml.safe_dump(value, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False)
    return str(line).removesuffix("\n").removesuffix("\n...")


def command_line(words: list[str]) -> str:
    """Quote words for a shell, and break the line where it is long."""
    lines, line = [], ""
    before = ""
    for given in words:
        word, value_of = shlex.quote(given), before.startswith("--") and "=" not in before
        before = given
        if line and len(line) + len(word) > 100 and not value_of:
            lines.append(line + " \\")
            line = "    " + word
        else:
            line = f"{line} {word}" if line else word
    return "\n".join([*lines, line])
