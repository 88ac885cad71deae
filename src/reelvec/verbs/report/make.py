"""`reelvec report`: reads a run folder, looks at its videos and writes one page."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from reelvec.core import ReelvecError, write_whole
from reelvec.verbs.report.activations import VIDEOS, activations_block, explained
from reelvec.verbs.report.battery import battery_section, headlines, is_diagnosis, newest_first
from reelvec.verbs.report.commands import commands_section
from reelvec.verbs.report.compared_runs import sections_of_runs
from reelvec.verbs.report.comparison import comparison_sections, comparison_summary, read_comparison
from reelvec.verbs.report.embedding_map import map_block
from reelvec.verbs.report.gallery import Gallery, gallery_of, gallery_of_videos, spread
from reelvec.verbs.report.markup import Html, Section, details, hint, join, number, section, short, tag, warning
from reelvec.verbs.report.mistakes import confusion_block, worst_block
from reelvec.verbs.report.neighbours import Pair, leak_words, near_pairs, pairs_block, sheets
from reelvec.verbs.report.page import page
from reelvec.verbs.report.pictures import MIDDLE_SECONDS, WHOLE_SECONDS, Pictures
from reelvec.verbs.report.story import RunStory
from reelvec.verbs.report.training import VERDICT_CLASS, training_sections

MOST_BYTES = 10_000_000
"""of the page"""

_MOST_GALLERIES = 2
_MOST_ENCODERS = 3

OnProgress = Callable[[int, int, str], None]


def report(
    run: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    videos: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Write a run as one HTML page that opens offline, and return {"run", "file", "bytes", "sections", "missing"}.

    Args:
        run: a run folder, an encoder folder, or the JSON file of a comparison (`reelvec compare ... out=FILE.json`).
        out: the page; None: report.html in the run folder, or beside the comparison with its name.
        videos: a folder, a glob or a CSV of videos, without labels, that are embedded and shown beside what was evaluated.
        on_progress: called with (done, of how many or 0, what is being looked at).

    Videos are read from where the evaluation found them; what is gone is said on the page. "missing" says what the page could
    not show, and how to get it. Raises ReelvecError where `run` is no run, or `out` cannot be written.
    """
    comparison = read_comparison(Path(run)) if Path(run).is_file() else None
    default = Path(run).with_suffix(".html") if comparison else Path(run) / "report.html"
    file = Path(out) if out is not None else default
    if file.suffix.lower() not in (".html", ".htm"):
        raise ReelvecError(f"write the report to {file}", "a page of HTML", f"use out={file.with_suffix('.html')}")
    if comparison:
        pictures = Pictures(on_progress)
        boards, again = comparison_sections(comparison, Path(run))
        sections = [*boards, *sections_of_runs(comparison, Path(run), pictures), *again]
        content = page(f"Comparison: {Path(run).stem}", comparison_summary(comparison), sections, pictures, MOST_BYTES)
        return _written(run, file, content, sections, [])
    story = RunStory(Path(run))
    pictures = Pictures(on_progress)
    galleries = _galleries(story, videos, on_progress)
    pairs = {id(gallery): _pairs(gallery, pictures) for gallery in galleries}
    sections = [
        *training_sections(story, galleries),
        battery_section(story),
        *_sections_of_videos(story, galleries, pairs, pictures),
        commands_section(story),
    ]
    leaks = [pair for found in pairs.values() for pair in found if pair.is_same and pair.across]
    content = page(_title(story), _summary(story, leaks), sections, pictures, MOST_BYTES)
    return _written(run, file, content, sections, [words for gallery in galleries for words in gallery.missing])


def _written(
    run: str | os.PathLike[str], file: Path, content: bytes, sections: list[Section], missing: list[str]
) -> dict[str, Any]:
    """Write the page and say what it holds."""
    write_whole(file, lambda part: part.write_bytes(content))
    return {
        "run": str(run),
        "file": str(file),
        "bytes": len(content),
        "sections": [one.title for one in sections],
        "missing": missing,
    }


def _title(story: RunStory) -> str:
    method = (story.config or {}).get("method") or next((card.method for card in story.cards.values()), "encoder")
    name = story.path.resolve().name
    return name if name == method else f"{name}: {method}"


def _summary(story: RunStory, leaks: list[Pair]) -> Html:
    """Say the most important things first: is it healthy, what does it know, is there a leak."""
    parts: list[Any] = []
    if story.verdict is not None:
        word, advice = story.verdict
        parts.append(tag("li", "Health: ", tag("strong", word, class_=f"verdict {VERDICT_CLASS[word]}"), f", {advice}."))
    if story.config is not None:
        done, asked = story.steps_done, story.steps_asked
        parts.append(tag("li", f"Trained for {number(done)}{f' of {number(asked)}' if asked else ''} steps."))
    parts += [tag("li", words) for words in headlines(story)]
    if not story.measured:
        parts.append(tag("li", "Nothing was measured on labels yet."))
    return join([warning(leak_words(leaks)) if leaks else None, tag("ul", *parts)])


def _galleries(story: RunStory, videos: str | os.PathLike[str] | None, on_progress: OnProgress | None) -> list[Gallery]:
    """Gather videos of the newest result of each set of labels, two at most, and of `videos`."""
    newest: dict[str, Gallery] = {}
    for one in newest_first(story.measured):
        if one.result is None or is_diagnosis(one.result) or len(newest) == _MOST_GALLERIES:
            continue
        labels = str(one.result["labels"])
        if labels not in newest:
            newest[labels] = gallery_of(one.result)
    extra = [] if videos is None else [gallery_of_videos(story, videos, on_progress)]
    return [*newest.values(), *extra]


def _pairs(gallery: Gallery, pictures: Pictures) -> list[Pair]:
    """Look for duplicates by the first encoder."""
    encoder = next(iter(gallery.vectors), None)
    return near_pairs(gallery, encoder, pictures) if encoder is not None and len(gallery.paths) > 1 else []


def _sections_of_videos(
    story: RunStory, galleries: list[Gallery], pairs: dict[int, list[Pair]], pictures: Pictures
) -> list[Section]:
    shown = [gallery for gallery in galleries if len(gallery.paths) > 1 and gallery.vectors]
    missing = list(dict.fromkeys(words for gallery in galleries for words in gallery.missing))
    notes = [hint(words) for words in missing]
    if not shown and not any(gallery.answers for gallery in galleries):
        how = "give the report some, without labels: " if not galleries else "or give the report videos without labels: "
        command = tag("code", f"reelvec report {story.path} videos=FOLDER")
        notes.append(hint("Neighbours, map and duplicates need features of videos: measure on labelled ones, ", how, command))
        return [section("videos", "Videos", *notes), _activations(story, galleries, pictures)]
    parts: list[Section] = []
    if shown:
        how = (
            "Each row is a query on the left and its five nearest by cosine. Queries are test videos, spread evenly over the "
            "list, neighbours are training videos; where nothing is labelled, all videos are both. Rows play when you point at "
            f"them, tap them or reach them with the tab key; of a video longer than {WHOLE_SECONDS:.0f} seconds the middle "
            f"{MIDDLE_SECONDS:.0f} are shown."
        )
        blocks = [_by_encoder(g, partial(sheets, g, pictures)) for g in shown]
        parts.append(section("neighbours", "Nearest neighbours", tag("p", how, class_="dim"), *notes, *blocks))
        blocks = [_titled(g, pairs_block(g, pairs[id(g)], pictures)) for g in shown]
        near = (
            "The nearest pairs of different files, by the first encoder; where eight small grey frames of both agree, they "
            "show the same."
        )
        parts.append(section("duplicates", "Duplicates and leaks", tag("p", near, class_="dim"), *blocks))
    answered = [gallery for gallery in galleries if gallery.answers]
    if answered:
        parts.append(section("errors", "Errors", *(_errors(gallery, pictures) for gallery in answered)))
    if shown:
        blocks = [_by_encoder(g, partial(map_block, g, pictures)) for g in shown]
        parts.append(section("map", "Map of the embeddings", *blocks))
    return [*parts, _activations(story, galleries, pictures)]


def _titled(gallery: Gallery, *content: Any) -> Html:
    return join([tag("h3", short(gallery.name, 80)), *content])


def _by_encoder(gallery: Gallery, block: Callable[[str], Html]) -> Html:
    """Show a block for each encoder, the first one open."""
    names = list(gallery.vectors)[:_MOST_ENCODERS]
    if len(names) == 1:
        return _titled(gallery, block(names[0]))
    return _titled(gallery, *(details(f"encoder {name}", block(name), opened=i == 0) for i, name in enumerate(names)))


def _errors(gallery: Gallery, pictures: Pictures) -> Html:
    """Show errors for each label column; by the encoder that has the most right, the others folded away."""
    parts: list[Any] = []
    for column, measure in list(gallery.asked.items())[:3]:
        known = [encoder for (name, encoder) in gallery.answers if name == column][:_MOST_ENCODERS]
        known.sort(key=lambda e: -sum(a.named == a.label for a in gallery.answers[column, e]))
        parts.append(tag("h4", f"{short(column, 60)}, by {measure}"))
        for i, encoder in enumerate(known):
            blocks = [worst_block(gallery, column, encoder, pictures), confusion_block(gallery, column, encoder)]
            parts.append(details(f"encoder {encoder}", *blocks, opened=i == 0))
    return _titled(gallery, *parts)


def _activations(story: RunStory, galleries: list[Gallery], pictures: Pictures) -> Section:
    paths = _some_videos(story, galleries)
    if not story.cards or not paths:
        why = "no encoder is saved yet" if not story.cards else "no videos are known"
        return section("activations", "Activation maps", hint(f"Nothing to show: {why}."))
    blocks = [
        details(f"encoder {name}", activations_block(story, name, paths, pictures), opened=i == 0)
        for i, name in enumerate(list(story.cards)[:_MOST_ENCODERS])
    ]
    return section("activations", "Activation maps", explained(), *blocks)


def _some_videos(story: RunStory, galleries: list[Gallery]) -> list[str]:
    """Pick test videos, else any evaluated ones, else training videos, spread evenly."""
    for gallery in galleries:
        paths = [path for path in gallery.paths if gallery.is_test(path)] or gallery.paths
        if paths:
            return spread(paths, VIDEOS)
    if story.index is None:
        return []
    return [story.index.row(int(row)).path for row in spread(story.index.usable().tolist(), VIDEOS)]
