"""`reelvec prepare`: videos encoded anew for training speed, in a folder that keeps their tree."""

import glob
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from reelvec.core import ReelvecError
from reelvec.core.machine import usable_cores
from reelvec.data.file_processes import Lost, in_processes
from reelvec.data.flow_files import flow_edges_file, stands_for
from reelvec.data.index import Index, OnProgress, index
from reelvec.data.preparing import (
    FlowEdgeSettings,
    Outcome,
    PrepareSettings,
    Task,
    prepare_file,
    prepared_size,
)
from reelvec.data.sources import Source, list_files
from reelvec.verbs.prepared_folder import Record, claim, remove_unfinished, targets_in

OnMessage = Callable[[str], None]
"""called with a sentence for the person who waits"""

_VERSION = 1
_GO_ON = "the same command goes on from there"


def prepare(
    videos: Source,
    out: str | os.PathLike[str],
    *,
    short_side: int = 128,
    gop: int = 12,
    quality: int = 20,
    audio: Literal["keep", "drop"] = "keep",
    flow: Literal["none", "edges"] = "none",
    flow_source: Literal["dis", "codec"] = "dis",
    flow_formula: Literal["a", "b"] = "a",
    flow_clamp: float = 10.0,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
    on_message: OnMessage | None = None,
) -> dict[str, Any]:
    """Encode videos anew as small H.264 files that decode fast, check each against its source, and index them.

    Every file is written under another name and renamed when it has been read back. The same call again prepares what is
    missing and what changed. `out` then holds the tree of the videos, `index.parquet` for `pretrain`, `prepared.jsonl` with a
    line for each source, `sources.parquet` and `prepare.json`.

    Args:
        videos: all that `index` takes: a folder, a pattern, a CSV, a list of paths, or an index file.
        out: a folder that is absent, empty, or was made by this verb with the same settings.
        short_side: pixels, even; smaller videos keep their size.
        gop: frames from one key frame to the next.
        quality: x264's crf, 1 to 51; smaller is better and larger.
        audio: "keep" encodes sound as AAC; "drop" leaves it out.
        flow: "edges" also keeps a file of flow edges beside each video, one byte a pixel and frame, computed from
            `flow_source` by `flow_formula` and `flow_clamp` as `core.StreamNeed` has them. It can be asked for later.
        workers: processes; 0 works in this one. Default: one a core.
        on_progress: called after each file with (done, total, path), once while reading the sources and once while preparing.
        on_message: called with a sentence before the work begins.

    Returns:
        {"videos", "prepared_now", "there_before", "hours", "seconds", "seconds_of_video_per_second", "gigabytes_before",
        "gigabytes_after", "gigabytes_of_flow", "index", "remarks": [{"path", "reason"}], "left_out": [{"path", "reason"}]}

    Raises:
        ReelvecError: the source is absent or empty; `out` holds other things; no disk space; not one video could be prepared.
    """
    settings, edges = _checked(short_side, gop, quality, audio, flow, flow_source, flow_formula, flow_clamp)
    out = Path(os.path.abspath(os.path.expanduser(out)))
    given = Index.load(videos) if isinstance(videos, str | os.PathLike) and os.fspath(videos).endswith(".parquet") else None
    listed: list[str] = given.table.column("path").to_pylist() if given else list_files(videos)
    files = _outside(listed, out)
    root = _root(videos, files)
    claim(out, {"version": _VERSION, "sources_below": root, **settings.model_dump()})
    remove_unfinished(out)
    if given and not (out / "sources.parquet").exists():
        given.save(out / "sources.parquet")
    sources = index(files, out / "sources.parquet", workers=workers, on_progress=on_progress)
    plan = _Plan(out, sources, dict(zip(files, targets_in(out, files, root), strict=True)), settings, edges)
    if on_message:
        on_message(plan.in_words())
    plan.refuse_without_space()
    began = time.perf_counter()
    try:
        _work(plan, min(usable_cores(), len(plan.todo)) if workers is None else workers, on_progress)
    finally:
        remove_unfinished(out)  # of processes that were ended, or died
    seconds = time.perf_counter() - began
    plan.record.save()
    return _result(plan, index(plan.finished(), out / "index.parquet", workers=workers), seconds)


def _checked(
    short_side: int, gop: int, quality: int, audio: Any, flow: str, source: Any, formula: Any, clamp: float
) -> tuple[PrepareSettings, FlowEdgeSettings | None]:
    if flow not in ("none", "edges"):
        raise ReelvecError(f"prepare with flow={flow}", "no such flow", "use flow=edges, or flow=none")
    try:
        edges = FlowEdgeSettings(source=source, formula=formula, clamp=clamp)
        settings = PrepareSettings(short_side=short_side, gop=gop, quality=quality, audio=audio)
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(["flow"] * (error.title == FlowEdgeSettings.__name__) + [str(part) for part in first["loc"]])
        reason = first["msg"][0].lower() + first["msg"][1:]
        raise ReelvecError(f"prepare with {name}={first['input']}", reason, f"give {name} another value") from None
    return settings, edges if flow == "edges" else None


def _outside(files: list[str], out: Path) -> list[str]:
    """Leave out what lies in the folder that is to be written: it was prepared earlier, or would be overwritten."""
    inside = os.path.join(os.path.realpath(out), "")
    outside = [file for file in files if not os.path.realpath(file).startswith(inside)]
    if not outside:
        raise ReelvecError(f"prepare videos into {out}", "all of them lie in that folder", "choose another folder")
    return outside


def _root(videos: Source, files: list[str]) -> str:
    """Return the folder below which the tree of the sources is kept.

    It is the folder named, or that before a pattern's first * ? or [, so that it stays when files are added; else the
    deepest that holds all.
    """
    deepest = os.path.commonpath([os.path.dirname(file) for file in files])
    if isinstance(videos, str | os.PathLike):
        named = os.path.abspath(os.path.expanduser(videos))
        while glob.has_magic(named):
            named = os.path.dirname(named)
        if os.path.isdir(named) and os.path.commonpath([named, deepest]) == named:
            return named
    return deepest


@dataclass(frozen=True)
class _Wanted:
    """A usable source and what is still missing of it."""

    row: int
    source: str
    target: str
    has_video: bool
    has_edges: bool


class _Plan:
    """What is to be done, what is done, and what cannot be."""

    def __init__(
        self, out: Path, sources: Index, targets: dict[str, str], settings: PrepareSettings, edges: FlowEdgeSettings | None
    ) -> None:
        self.out, self.sources, self.settings, self.edges = out, sources, settings, edges
        self.record = Record(out / "prepared.jsonl")
        for path, status, reason in sources.bad():
            self.record.note(path, status="left_out", reason=f"{status.replace('_', ' ')}: {reason}")
        plain = {name: sources.table.column(name).to_pylist() for name in ("path", "size_bytes", "modified_ns")}
        self.facts = [
            {"source_bytes": size, "source_modified_ns": modified}
            for size, modified in zip(plain["size_bytes"], plain["modified_ns"], strict=True)
        ]
        self.wanted = [self._wanted(int(i), plain["path"][i], targets[plain["path"][i]]) for i in sources.usable()]
        self.todo = [wanted for wanted in self.wanted if not (wanted.has_video and wanted.has_edges)]

    def _wanted(self, row: int, source: str, target: str) -> _Wanted:
        entry = self.record.entries.get(source, {})
        same = entry.items() >= {"status": "ok", "prepared": self._inside(target), **self.facts[row]}.items()
        has_video = same and os.path.isfile(target) and os.stat(target).st_size == entry["prepared_bytes"]
        has_edges = self.edges is None or (has_video and stands_for(self.edges_file(target), target))
        return _Wanted(row, source, target, has_video, has_edges)

    def _inside(self, target: str) -> str:
        return os.path.relpath(target, self.out)

    def edges_file(self, target: str) -> str:
        assert self.edges is not None
        return flow_edges_file(target, self.edges.source, self.edges.formula, self.edges.clamp)

    def tasks(self) -> Iterator[Task]:
        """Give the tasks of all that is missing; the times of frames are fetched for one file at a time."""
        for wanted in self.todo:
            yield Task(self.sources.probed(wanted.row), wanted.target, self.settings, wanted.has_video, self.edges)

    def note(self, task: Task, outcome: Outcome) -> None:
        """Record what came of a task."""
        source = task.row["path"]
        if outcome.reason:
            self.record.note(source, status="left_out", reason=outcome.reason)
        else:
            self.record.note(
                source, status="ok", reason=self.record.entries[source]["reason"] if task.has_video else outcome.remark,
                flow_reason=outcome.flow_remark, prepared=self._inside(task.target),
                prepared_bytes=os.stat(task.target).st_size,
                source_bytes=task.row["size_bytes"], source_modified_ns=task.row["modified_ns"],
            )  # fmt: skip

    def finished(self) -> list[str]:
        """Return the prepared files of all sources; ReelvecError where there is none."""
        done = [wanted.target for wanted in self.wanted if self.record.entries[wanted.source]["status"] == "ok"]
        if not done:
            some = "; ".join(f"{Path(bad['path']).name}: {bad['reason']}" for bad in self.left_out()[:3])
            raise ReelvecError(
                f"prepare {len(self.sources)} files",
                f"not one could be prepared ({some})",
                f"the reasons stand in {self.record.path}",
            )
        return done

    def left_out(self) -> list[dict[str, str]]:
        """Return the sources that were not prepared, and why."""
        return [{"path": entry["source"], "reason": entry["reason"]} for entry in self._entries("left_out")]

    def remarks(self) -> list[dict[str, str]]:
        """Return what is to be said of prepared files."""
        said = ((entry["source"], entry["reason"], entry["flow_reason"]) for entry in self._entries("ok"))
        return [{"path": source, "reason": "; ".join(filter(None, words))} for source, *words in said if any(words)]

    def _entries(self, status: str) -> list[dict[str, Any]]:
        entries = (self.record.entries[path] for path in self.sources.table.column("path").to_pylist())
        return [entry for entry in entries if entry["status"] == status]

    def seconds_of(self, wanted: list[_Wanted]) -> float:
        """Return the time that sources last."""
        lasting = self.sources.table.column("duration_seconds").to_pylist()
        return sum(lasting[one.row] for one in wanted)

    def edge_bytes(self) -> int:
        """Return how large the files of flow edges that are missing will be, exactly."""
        sizes = [self.sources.table.column(name).to_pylist() for name in ("width", "height", "frames")]
        total = 0
        for one in self.todo:
            if not one.has_edges:
                width, height, frames = (column[one.row] for column in sizes)
                across, down = prepared_size(width, height, self.settings.short_side)
                total += across * down * frames
        return total

    def in_words(self) -> str:
        """Say what is going to be done."""
        there, bad = len(self.wanted) - len(self.todo), len(self.sources) - len(self.wanted)
        return (
            f"{len(self.todo)} videos to prepare, {self.seconds_of(self.todo) / 3600:.2f} hours of them"
            + (f"; {there} are there already" if there else "")
            + (f"; {bad} files are left out as broken" if bad else "")
            + (f"; their flow edges will take {self.edge_bytes() / 1e9:.3g} GB" if self.edge_bytes() else "")
        )

    def refuse_without_space(self) -> None:
        """Refuse flow edges that would not fit. How large the videos become, nobody knows before."""
        needed, free = self.edge_bytes(), shutil.disk_usage(self.out).free
        if needed > free:
            raise ReelvecError(
                f"keep flow edges beside {len(self.todo)} videos",
                f"they take {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free at {self.out}",
                "use a smaller short_side, leave flow=edges out (training then computes them), or choose another disk",
            )


def _work(plan: _Plan, workers: int, on_progress: OnProgress | None) -> None:
    done, total = len(plan.wanted) - len(plan.todo), len(plan.wanted)
    outcomes = (
        in_processes(prepare_file, plan.tasks(), workers) if workers else ((task, prepare_file(task)) for task in plan.tasks())
    )
    with closing(outcomes):
        for task, answer in outcomes:
            outcome = Outcome(reason=answer.reason) if isinstance(answer, Lost) else answer
            if outcome.nowhere_to_write:
                raise ReelvecError(
                    f"write prepared videos into {plan.out}",
                    f"the system says: {outcome.nowhere_to_write}",
                    f"free some space, or choose another folder; what is finished is kept, and {_GO_ON}",
                )
            plan.note(task, outcome)
            done += 1
            if on_progress:
                on_progress(done, total, task.row["path"])


def _result(plan: _Plan, prepared: Index, seconds: float) -> dict[str, Any]:
    made = [one for one in plan.todo if plan.record.entries[one.source]["status"] == "ok"]
    sizes = {one.source: plan.facts[one.row]["source_bytes"] for one in plan.wanted}
    ok = [one for one in plan.wanted if plan.record.entries[one.source]["status"] == "ok"]
    flow = [os.stat(file).st_size for one in ok if plan.edges and os.path.exists(file := plan.edges_file(one.target))]
    return {
        "videos": len(ok),
        "prepared_now": len(made),
        "there_before": len(plan.wanted) - len(plan.todo),
        "hours": plan.seconds_of(ok) / 3600,
        "seconds": round(seconds, 1),
        "seconds_of_video_per_second": plan.seconds_of(made) / seconds if made else 0.0,
        "gigabytes_before": sum(sizes[one.source] for one in ok) / 1e9,
        "gigabytes_after": sum(prepared.table.column("size_bytes").to_pylist()) / 1e9,
        "gigabytes_of_flow": sum(flow) / 1e9,
        "index": str(plan.out / "index.parquet"),
        "remarks": plan.remarks(),
        "left_out": plan.left_out(),
    }
