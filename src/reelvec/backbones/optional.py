"""Packages that reelvec can do without until somebody asks for what they hold."""

from importlib import import_module
from typing import Any

from reelvec.core.errors import ReelvecError


def optional_package(name: str, asked: str, extra: str) -> Any:
    """Import a package that comes with an extra of reelvec; ReelvecError where it is not installed or does not load."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ReelvecError(asked, f"no package {name} that loads ({error})", f"pip install 'reelvec[{extra}]'") from error
