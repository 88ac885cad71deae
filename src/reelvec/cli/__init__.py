"""The command line. It stays light: torch and its like are imported inside the commands that need them."""

import os
import sys


def main() -> None:
    """Run `reelvec`. What a person can mend is one message and exit code 2, never a traceback."""
    from reelvec.cli.app import app

    try:
        app(prog_name="reelvec")
    except SystemExit as leaving:
        if leaving.code == 130:  # typer turns Ctrl-C into this
            _say("stopped by you; what was saved stays, and the same command goes on from there")
        raise
    except Exception as error:
        message = _for_people(error)
        if message is None or os.environ.get("REELVEC_TRACEBACK"):
            raise
        _say(f"error: {message}")
        sys.exit(2)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _for_people(error: Exception) -> str | None:
    """Word an error for the person at the keyboard; None for a fault of the program, which keeps its traceback."""
    from reelvec.core import ReelvecError  # heavy, and here only once something went wrong

    if isinstance(error, ReelvecError):
        return str(error)
    command = " ".join(["reelvec", *sys.argv[1:]])
    if isinstance(error, OSError):
        there = f"the system says: {error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        return str(ReelvecError(command, there, "look at that path; REELVEC_TRACEBACK=1 shows where in the program"))
    if type(error).__name__ == "OutOfMemoryError":  # torch's own, by name: torch need not be imported to compare
        there = str(error).splitlines()[0]
        return str(ReelvecError(command, there, "a smaller batch=, precision=bf16, or a smaller encoder="))
    return None
