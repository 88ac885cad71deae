"""The grammar that all commands share: paths first, then any setting as key=value."""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import permutations
from typing import Any

_SETTING = re.compile(r"[A-Za-z_][\w.]*=")


def split_words(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Tell paths from settings. A file with `name=` at its beginning is written `./name=...`."""
    paths: list[str] = []
    settings: list[str] = []
    for word in words:
        (settings if _SETTING.match(word) else paths).append(word)
    return paths, settings


def expect_paths(paths: Sequence[str], names: Sequence[str], command: str) -> None:
    """Refuse too few or too many paths; `names` are what the command wants, in order."""
    from reelvec.core import ReelvecError

    if len(paths) != len(names):
        raise ReelvecError(
            f"reelvec {command} {' '.join(names)}",
            f"{len(paths)} path{'' if len(paths) == 1 else 's'} given: {' '.join(paths) or 'none'}",
            f"give {' and '.join(names)}, then settings as key=value; reelvec {command} --help shows examples",
        )


def keyword_arguments(function: Callable[..., Any], settings: Iterable[str], taken: Iterable[str]) -> dict[str, Any]:
    """Turn key=value words into typed arguments of `function`; `taken` are those that the command itself fills."""
    from reelvec.core import ReelvecError

    open_to_all = {
        name: parameter.annotation
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in set(taken) and not name.startswith("on_")
    }
    arguments: dict[str, Any] = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        if key not in open_to_all:
            near = difflib.get_close_matches(key, open_to_all, n=1)
            raise ReelvecError(
                f"set {setting}",
                f"the settings {', '.join(sorted(open_to_all))}",
                f"did you mean {near[0]}=...?" if near else "leave it out, or use one of these",
            )
        arguments[key] = _typed(key, text, open_to_all[key])
    return arguments


def settings_of_recipes(function: Callable[..., Any], settings: Iterable[str]) -> tuple[list[str], list[str]]:
    """Tell key=value words that are arguments of `function` from those that go to recipes."""
    known = inspect.signature(function).parameters
    words = list(settings)
    own = [word for word in words if word.partition("=")[0] in known]
    return own, [word for word in words if word not in own]


def settings_of_tasks(settings: Iterable[str]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Tell words such as knn.k=10 from the others; return these as task -> key -> value, YAML or parted by commas.

    Raises ReelvecError where one word sets a value and another one something inside it.
    """
    from reelvec.core import ReelvecError
    from reelvec.engine.config import parse_settings

    words = list(settings)
    dotted = [word for word in words if "." in word.partition("=")[0]]
    given = parse_settings(dotted)
    for whole, inside in permutations(given, 2):
        if inside.startswith(f"{whole}."):
            raise ReelvecError(
                f"set {whole}=... and {inside}=...",
                f"{inside} lies inside {whole}, which the other word sets as a whole",
                "give one of the two",
            )
    of_tasks: dict[str, dict[str, Any]] = {}
    for key, value in given.items():
        *outer, last = key.split(".")
        inner: dict[str, Any] = of_tasks
        for part in outer:  # finetune.cnn.lr lies two deep
            inner = inner.setdefault(part, {})
        inner[last] = value.split(",") if isinstance(value, str) and "," in value else value
    return [word for word in words if word not in dotted], of_tasks


def _typed(key: str, text: str, annotation: Any) -> Any:
    """Read a value as YAML, as the bare word, or as a list parted by commas: the first that fits the annotation."""
    import yaml
    from pydantic import TypeAdapter, ValidationError

    from reelvec.core import ReelvecError

    try:
        as_yaml = yaml.safe_load(text)
    except yaml.YAMLError:
        as_yaml = text
    if annotation is inspect.Parameter.empty:
        return as_yaml
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    for value in (as_yaml, text, text.split(",")):
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
    raise ReelvecError(f"set {key}={text}", reason[0].lower() + reason[1:], f"give {key} another value")
