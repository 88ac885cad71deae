"""The folder that `reelvec prepare` writes: what settings made it, how its files are called, what became of each source."""

import json
import os
from pathlib import Path
from typing import Any

from reelvec.core import ReelvecError, write_json, write_whole
from reelvec.data.preparing import writer_of_part


def claim(out: Path, content: dict[str, Any]) -> None:
    """Take a folder that is empty or was made with the same settings; ReelvecError where it is any other."""
    note, asked = out / "prepare.json", f"prepare videos into {out}"
    if out.exists() and not out.is_dir():
        raise ReelvecError(asked, "a file of that name", "name a folder")
    if not note.exists():
        there = [name for name in sorted(os.listdir(out)) if writer_of_part(name) is None] if out.exists() else []
        if there:
            some = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
            raise ReelvecError(asked, f"{len(there)} things that were not prepared here ({some})", "choose another folder")
        write_json(note, content)
        return
    try:
        before = json.loads(note.read_text())
        differences = [
            f"{key} is {before.get(key)}, asked for {content.get(key)}"
            for key in {**before, **content}
            if before.get(key) != content.get(key)
        ]
    except (OSError, ValueError, AttributeError):
        raise ReelvecError(asked, f"{note} cannot be read", "choose another folder") from None
    if not (out / "prepared.jsonl").exists():  # it came to nothing: the sources were not there, say
        write_json(note, content)
    elif differences:
        raise ReelvecError(asked, "; ".join(differences), "choose another folder, or the settings that made this one")


def targets_in(out: Path, files: list[str], root: str) -> list[str]:
    """Return a path in `out` for each file: its own below the root, and .mp4 after any other suffix; no two are the same."""
    names = [os.path.relpath(file, root) for file in files]
    taken = {name + ".mp4" for name in names if not name.lower().endswith(".mp4")}
    targets = []
    for name in names:
        if name.lower().endswith(".mp4"):
            while name in taken:  # x.avi.mp4 beside x.avi
                name += ".mp4"
            taken.add(name)
        else:
            name += ".mp4"
        targets.append(str(out / name))
    return targets


def remove_unfinished(out: Path) -> None:
    """Remove the unfinished files of processes that no longer live."""
    for folder, _, names in os.walk(out):
        for name in names:
            writer = writer_of_part(name)
            if writer is not None and not _lives(writer):
                Path(folder, name).unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives, and belongs to somebody else
        return True
    return True


class Record:
    """What became of each source: a line of JSON each in prepared.jsonl, written as files are finished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                    self.entries[entry["source"]] = entry
                except (ValueError, TypeError, KeyError):
                    continue  # half a line: this verb was killed
            self.save()

    def note(self, source: str, **facts: Any) -> None:
        """Add what became of a source, in place of what was known of it."""
        self.entries[source] = {"source": source, **facts}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(self.entries[source]) + "\n")

    def save(self) -> None:
        """Write a line for each source, by path."""
        lines = [json.dumps(self.entries[source]) + "\n" for source in sorted(self.entries)]
        write_whole(self.path, lambda part: part.write_text("".join(lines), encoding="utf-8"))
