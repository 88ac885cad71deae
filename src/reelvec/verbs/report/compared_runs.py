"""The runs behind a comparison: what each was trained on, curves on one axis, verdicts, and what each finds near one query."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from reelvec.core import ReelvecError
from reelvec.evals.results import answers_file, read_result
from reelvec.verbs.report.arguments import kind_of
from reelvec.verbs.report.battery import newest_first
from reelvec.verbs.report.curves import curves_of_runs
from reelvec.verbs.report.gallery import Gallery, gallery_of, spread
from reelvec.verbs.report.markup import Html, Section, hint, join, number, section, short, table, tag
from reelvec.verbs.report.neighbours import NEIGHBOURS, nearest_of, sheet
from reelvec.verbs.report.pictures import Pictures, plain_name
from reelvec.verbs.report.story import Json, RunStory
from reelvec.verbs.report.training import HEALTH, PACE, VERDICT_CLASS, videos_in_words

QUERIES = 4
MOST_RUNS = 8
"""runs that have a line and a colour of their own"""


def result_files(content: Json, file: Path) -> dict[str, Path]:
    """Return a result of each run of a comparison, where it lies: as it was named, or counted from the comparison.

    It is the first one on labels, of which features are kept; the first of all where there is none.
    """
    found = {}
    for run, of_labels in content["runs"].items():
        places = [Path(named) if Path(named).is_file() else file.parent / named for named in of_labels.values()]
        found[run] = next((place for place in places if answers_file(place).is_file()), places[0])
    return found


def stories_of(files: Mapping[str, Path]) -> dict[str, RunStory]:
    """Return the run folders that are still there, by the names of the comparison."""
    found = {}
    for run, file in list(files.items())[:MOST_RUNS]:
        try:
            found[run] = RunStory(file.parent.parent)
        except ReelvecError:
            continue
    return found


def sections_of_runs(content: Json, file: Path, pictures: Pictures) -> list[Section]:
    """Return the sections on the runs of a comparison; what is gone is said."""
    files = result_files(content, file)
    stories = stories_of(files)
    gone = [run for run in files if run not in stories]
    why = f"Not shown, as their folders are not there or there are more than {MOST_RUNS} runs: {', '.join(gone)}."
    missing = hint(why) if gone else None
    return [
        section("runs", "What was trained on what", missing, _trained(stories)),
        section("verdicts", "Health, and motion or scene", _verdicts(stories)),
        section("curves", "Curves", *_curves(stories)),
        section("neighbours", "What each finds nearest", *_sheets(files, pictures)),
    ]


def _trained(stories: Mapping[str, RunStory]) -> Html:
    facts = {run: _facts(story) for run, story in stories.items()}
    names = list(dict.fromkeys(name for of_run in facts.values() for name in of_run))
    rows = [(name, *(tag("td", facts[run].get(name, "")) for run in facts)) for name in names]
    return table("Runs side by side", [short(run, 40) for run in facts], rows, class_="wrapped")


def _facts(story: RunStory) -> dict[str, Any]:
    """Return what a run was trained on, by name; for an encoder that was not trained here, what its card says."""
    config = story.config or {}
    optimiser = config.get("optimiser", {})
    seen = [
        f"{name}: {card.architecture}, {need.frames} {need.stream.replace('_', ' ')} frames {need.stride} apart, {card.size} px"
        for name, card in story.cards.items()
        for need in card.needs.streams
    ]
    asked = story.steps_asked
    known = {"name", "lr"} <= set(optimiser)
    method = config.get("method") or next((card.method for card in story.cards.values()), None)
    found = {
        "method": method,
        "videos": videos_in_words(story) if config else "not trained here",
        "steps": f"{number(story.steps_done)}{f' of {number(asked)}' if asked else ''}" if config else None,
        "batch": config.get("batch"),
        "optimiser": f"{optimiser['name']}, learning rate {number(optimiser['lr'])}" if known else None,
        "precision": config.get("precision"),
        "seed": config.get("seed"),
        "encoders": join(seen, "; "),
    }
    return {name: value for name, value in found.items() if value is not None}


def _verdicts(stories: Mapping[str, RunStory]) -> Html:
    rows = []
    for run, story in stories.items():
        trained: Any = tag("span", "not looked at", class_="dim")
        if story.verdict is not None:
            word, advice = story.verdict
            trained = [tag("strong", word, class_=f"verdict {VERDICT_CLASS[word]}"), f", {advice}"]
        rows.append((short(run, 60), tag("td", trained), *(tag("td", _or_none(said)) for said in _said(story))))
    columns = ["while training", "features without labels", "motion or scene, object or background"]
    return table("Verdicts of each run, from its evals folder", columns, rows, class_="wrapped", corner="run")


def _or_none(said: list[Html]) -> Html:
    return join(said) if said else tag("span", "not measured", class_="dim")


def _said(story: RunStory) -> tuple[list[Html], list[Html]]:
    """Return the verdicts of the newest result of `health`, and of every diagnosis."""
    of_health: list[Html] = []
    of_motion: list[Html] = []
    for one in newest_first(story.measured):
        kind = kind_of(one.content)
        try:
            if kind == "health" and not of_health:
                of_health = [
                    tag("p", tag("strong", f"{row['name']}: "), row["verdict"])
                    for row in one.content["rows"]
                    if not row["name"].startswith("untrained")
                ]
            elif kind in ("diagnose", "diagnose_masks"):
                of_motion += list(_diagnosed(one.content))
        except (KeyError, TypeError):  # a result of another version
            continue
    return of_health, of_motion


def _diagnosed(content: Json) -> Iterator[Html]:
    for one in content["tables"]:
        for row in one["rows"]:
            if not row["name"].startswith("untrained"):
                asked = f"{short(one['label_column'], 40)}, {one['measure']}, {row['name']}: "
                yield tag("p", asked, tag("strong", row["verdict"]["word"]), f". {row['verdict']['text']}")


def _curves(stories: Mapping[str, RunStory]) -> list[Html]:
    series = {run: found for run, story in stories.items() if (found := story.series())}
    if not series:
        return [hint("None of these runs has a log.")]
    names = list(dict.fromkeys(name for found in series.values() for name in found))
    explained = {f"health.{name}": words for name, words in HEALTH.items()}
    charts = []
    for name in sorted(names, key=lambda name: (name != "loss", name.startswith("health."), name in PACE)):
        words, meaning, level = explained.get(name, (*PACE.get(name, ("learning rate" if name == "lr" else name, "")), None))
        lines = {run: found[name] for run, found in series.items() if name in found}
        charts.append(curves_of_runs(words, lines, list(stories), explained=meaning, level=level))
    how = "Point at a curve, or move along it with the arrow keys, to read its values. Losses of two methods are not alike."
    return [tag("p", how, class_="dim"), tag("div", *charts, class_="curves")]


def _sheets(files: Mapping[str, Path], pictures: Pictures) -> list[Html]:
    """Show for the same queries what each run finds nearest, by its first encoder."""
    galleries: dict[str, Gallery] = {}
    for run, file in list(files.items())[:MOST_RUNS]:
        try:
            gallery = gallery_of(read_result(file))
        except ReelvecError:
            continue
        if gallery.vectors and any(gallery.is_test(path) for path in gallery.paths):
            galleries[run] = gallery
    if not galleries:
        return [hint("Features of these videos are not kept: measure the runs again, and compare them again.")]
    shared = set.intersection(*({p for p in one.paths if one.is_test(p)} for one in galleries.values()))
    parts: list[Html] = []
    for path in spread(sorted(shared), QUERIES):
        parts.append(tag("h3", f"Query {plain_name(path)}"))
        for run, gallery in galleries.items():
            query = gallery.paths.index(path)
            others = torch.tensor([not gallery.is_test(one) for one in gallery.paths])
            encoder = next(iter(gallery.vectors))
            found = nearest_of(gallery.vectors[encoder], query, others, NEIGHBOURS)
            parts.append(sheet(gallery, query, found, pictures, by=f"{short(run, 40)}, {encoder}"))
    how = (
        "The same test videos, spread evenly over the list, asked of each run: its five nearest training videos by cosine, by "
        "the encoder that is named. Rows play when you point at them, tap them or reach them with the tab key."
    )
    return [tag("p", how, class_="dim"), tag("div", *parts, class_="sheets")]
