"""Starting processes from a library, inside a script that did not expect it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def main_module_unseen(unless: bool = False) -> Iterator[None]:
    """Keep a new process from running the user's script again, so that a script needs no `if __name__ == "__main__":`.

    Not where what is handed over was defined in that script: then the process needs it, and the script the guard.
    """
    main = sys.modules["__main__"]
    if not unless:
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
