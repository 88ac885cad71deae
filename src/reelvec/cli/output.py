"""What goes where: results to stdout, as a table or as JSON and nothing else; all talk beside it to stderr."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import PurePath
from typing import Any

from rich.console import Console, RenderableType


def talk() -> Console:
    """Return the console for all that is not the result."""
    return Console(stderr=True, highlight=False)


@contextmanager
def only_results_on_stdout(as_json: bool) -> Iterator[None]:
    """While a command with --json works, send whatever a library prints to stderr."""
    if not as_json:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def show(content: Any, table: Callable[[Any], RenderableType], as_json: bool) -> None:
    """Print a command's result: as JSON alone, or drawn by `table`."""
    if as_json:
        print(json.dumps(plain(content), indent=2, allow_nan=False))
    else:
        Console(highlight=False).print(table(content))


def plain(content: Any) -> Any:
    """Turn arrays, paths and tuples into what JSON knows; a number that is not finite becomes null."""
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, str | bool | int) or content is None:
        return content
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, PurePath):
        return str(content)
    if hasattr(content, "tolist"):  # NumPy's and torch's arrays and scalars
        return plain(content.tolist())
    if isinstance(content, Sequence | set | frozenset):
        return [plain(value) for value in content]
    return str(content)
