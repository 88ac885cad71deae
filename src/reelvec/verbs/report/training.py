"""What was trained on what: facts, health in words, curves, settings."""

import os
from collections.abc import Sequence
from typing import Any

import torch

from reelvec.core import EncoderCard, ReelvecError
from reelvec.engine.config import RunConfig, validate
from reelvec.engine.flops import size_of
from reelvec.verbs.pretrain import build_method
from reelvec.verbs.report.curves import Line, curve
from reelvec.verbs.report.gallery import Gallery
from reelvec.verbs.report.markup import (
    Html,
    Section,
    clock,
    details,
    facts,
    hint,
    join,
    number,
    section,
    short,
    table,
    tag,
    warning,
)
from reelvec.verbs.report.settings import Settings, compare_settings
from reelvec.verbs.report.story import RunStory

HEALTH = {
    "feature_std": (
        "feature spread",
        "1: features are well spread; 0: all videos are one point.",
        Line(0.15, "below: collapsed"),
    ),
    "effective_rank": (
        "effective rank",
        "Directions that the features use (RankMe); more is better.",
        Line(2, "below: collapsed"),
    ),
    "mean_cosine": (
        "mean cosine",
        "Of different videos; near 1 all look alike to the network.",
        Line(0.95, "above: collapsed"),
    ),
    "alignment": ("alignment", "Squared distance of two views of one video; 0: the network sees no difference.", None),
    "uniformity": ("uniformity", "0: all one point; about -4: spread out evenly.", None),
}
"""numbers of the health checks: name, meaning, and the level at which `engine.health.judge` calls a run collapsed"""

VERDICT_CLASS = {"healthy": "good", "starting": "dim", "shrinking": "warn", "collapsed": "bad"}
PACE = {
    "clips_per_second": ("clips per second", "How fast the run went, over the last 50 steps."),
    "waiting_share": ("waiting for data", "Share of the time in which the network waited for clips."),
}
_MOST_FILES = 40


def training_sections(story: RunStory, galleries: Sequence[Gallery] = ()) -> list[Section]:
    """Return the sections on training; for an encoder that was not trained here, one that says so.

    `galleries` are the videos that it was measured on, for what is said of test videos that it was trained on.
    """
    if story.config is None:
        words = "This folder holds an encoder and no run: it was not trained here, so there are no curves."
        return [section("training", "What this is", tag("p", words), _encoders(story))]
    settings = compare_settings(story.config)
    return [
        section(
            "training",
            "What was trained on what",
            _facts(story),
            _encoders(story),
            _broken_files(story),
            *_seen_before(story, galleries),
        ),
        section("health", "Is it working?", _health(story)),
        section("curves", "Curves", *_curves(story)),
        section("settings", "Settings", *_settings(story.config, settings)),
    ]


def _facts(story: RunStory) -> Html:
    config, environment = story.config or {}, story.environment
    done, asked = story.steps_done, story.steps_asked
    optimiser = config.get("optimiser", {})
    versions = environment.get("versions", {})
    gpus = environment.get("gpus") or []
    machine = join([", ".join(map(str, gpus)) or "no GPU", f"{environment.get('processors')} processor cores",
                    environment.get("platform")], "; ")  # fmt: skip
    seconds = training_seconds(story)
    unfinished = asked is not None and done < asked
    return facts(
        {
            "method": config.get("method"),
            "videos": videos_in_words(story),
            "steps": f"{number(done)}{f' of {number(asked)}: the run is not finished' if unfinished else ''}, "
            f"{config.get('batch')} videos each",
            "optimiser": f"{optimiser['name']}, learning rate {number(optimiser['lr'])}, seed {config.get('seed')}, "
            f"{config.get('precision')}"
            if {"name", "lr"} <= set(optimiser)
            else None,
            "time": f"about {clock(seconds)}, from the logged pace; stops and evaluations not counted" if seconds else None,
            "machine": machine if environment else None,
            "versions": ", ".join(f"{name} {version}" for name, version in versions.items())
            + f", Python {environment.get('python')}"
            if versions
            else None,
            "run folder": tag("code", short(str(story.path.resolve()), 240)),
        }
    )


def videos_in_words(story: RunStory) -> str | Html | None:
    """Say how many videos a run was trained on, and where they were; None where nobody knows."""
    source = story.environment.get("videos")
    if story.index is None:
        return f"from {source}" if source else None
    told = story.index.summary()
    codecs = ", ".join(f"{count} {codec}" for codec, count in told["codecs"].items())
    left_out = told["broken"] + told["not_video"]
    words = f"{number(told['ok'])} videos, {clock(3600 * told['hours'])} of film, {codecs}"
    words += f"; {left_out} more files left out as unreadable" if left_out else ""
    return join([words, tag("br"), tag("code", short(str(source), 240))]) if source else words


def _encoders(story: RunStory) -> Html:
    rows = []
    for name, card in story.cards.items():
        need = card.needs.streams[0]
        reads = f"{need.frames} {need.stream.replace('_', ' ')} frames, {need.stride} apart, {card.size} px"
        rows.append(
            (
                name,
                card.architecture,
                tag("td", reads, class_="tight"),
                *_size(card),
                number(card.step),
                tag("code", card.weights_sha256[:16], class_="hash"),
            )
        )
    if not rows:
        return hint("No encoder is saved yet: the same pretrain command goes on, and saves one.")
    columns = ["network", "reads", "million parameters", "GFLOPs a clip", "step", "weights (SHA-256, first 16 digits)"]
    return table("Encoders in this folder", columns, rows, corner="encoder")


def _size(card: EncoderCard) -> tuple[str, str]:
    try:
        parameters, flops = size_of(card)
    except ReelvecError:  # of another version, or made by hand
        return "", ""
    return f"{parameters / 1e6:.3g}", f"{flops / 1e9:.3g}"


def _seen_before(story: RunStory, galleries: Sequence[Gallery]) -> list[Html]:
    """Say for each set of labels how many of its test videos were among the videos of the pretraining."""
    if story.index is None:
        return []
    trained_on = {os.path.realpath(story.index.row(int(row)).path) for row in story.index.usable()}
    return [_seen_of(gallery, trained_on) for gallery in galleries if any(gallery.tested.values())]


def _seen_of(gallery: Gallery, trained_on: set[str]) -> Html:
    test = sorted(set().union(*gallery.tested.values()))
    seen = [path for path in test if os.path.realpath(path) in trained_on]
    name = short(gallery.name, 80)
    by_path = "Files are told by their paths: a copy under another name is not found this way."
    if not seen:
        words = f"None of the {number(len(test))} test videos of {name} is among the videos of the pretraining. {by_path}"
        return tag("p", words)
    many = f"{number(len(seen))} of {number(len(test))} test videos of {name} were among the videos of the pretraining"
    words = (
        f"{many}, where no labels were used. Numbers measured on them may be better than those of videos that the network has "
        f"never seen; to know these, keep test videos out of the pretraining. {by_path}"
    )
    listed = tag("ul", *(tag("li", tag("code", short(path, 240))) for path in seen[:_MOST_FILES]))
    more = f"; the first {_MOST_FILES}" if len(seen) > _MOST_FILES else ""
    return join([warning(words), details(f"Test videos that were trained on: {number(len(seen))}{more}", listed)])


def _broken_files(story: RunStory) -> Html | None:
    rows = [(short(str(row.get("path"))), "while training", row.get("reason")) for row in story.quarantine]
    if story.index is not None:
        rows += [(short(path), "before", reason) for path, _, reason in story.index.bad()]
    if not rows:
        return None
    many = f"{len(rows)} files were left out" + (f"; the first {_MOST_FILES}" if len(rows) > _MOST_FILES else "")
    return details(many, table("Files that were left out", ["found", "why"], rows[:_MOST_FILES], corner="file"))


def training_seconds(story: RunStory) -> float | None:
    """Estimate the time of the training from the pace in the log; None where nothing is logged."""
    clips = _clips_of_step(story)
    paces = [(row["step"], row["clips_per_second"]) for row in story.log if row.get("clips_per_second")]
    if clips is None or not paces:
        return None
    before, seconds = 0, 0.0
    for step, pace in paces:
        seconds += (step - before) * clips / pace
        before = step
    return seconds


def _clips_of_step(story: RunStory) -> int | None:
    """Return how many clips a step reads: what the method needs of each video says that."""
    try:
        config = validate(RunConfig, story.config or {}, str(story.folder.config))
        with torch.random.fork_rng(devices=[]):
            return config.batch * build_method(config).needs().clips
    except (ReelvecError, KeyError, RuntimeError, TypeError):
        return None  # a method or network of another version


def _health(story: RunStory) -> Html:
    if story.verdict is None:
        return hint("Nothing was looked at yet: health is checked ten times in a run.")
    word, advice = story.verdict
    now = story.health[-1]
    rows = [(HEALTH[name][0], number(value), HEALTH[name][1]) for name, value in now.values().items()]
    head = tag(
        "p", tag("strong", f"{word}", class_=f"verdict {VERDICT_CLASS[word]}"), f" at step {number(now.step)}: {advice}."
    )
    note = tag("p", "Measured on the projections of a fixed batch of training videos; no labels are needed.", class_="dim")
    broken = story.broken_numbers
    bad = warning(f"These logged numbers were not always finite: {', '.join(broken)}.") if broken else None
    return join([bad, head, table("Numbers behind the verdict", ["value", "meaning"], rows), note])


def _curves(story: RunStory) -> list[Html]:
    series = story.series()
    if not series:
        return [hint("Nothing is logged yet.")]
    own = [name for name in series if name not in ("lr", "loss", *PACE) and not name.startswith("health.")]
    groups: list[tuple[str, list[Html]]] = [
        ("Loss and learning rate", [curve(name, series[name]) for name in ("loss",) if name in series]
         + [curve(name, series[name], explained="Logged by the method.") for name in own]
         + [curve("learning rate", series[name]) for name in ("lr",) if name in series]),
        ("Health", [curve(words, series[f"health.{name}"], explained=meaning, level=level)
                    for name, (words, meaning, level) in HEALTH.items() if f"health.{name}" in series]),
        ("Pace", [curve(words, series[name], explained=meaning) for name, (words, meaning) in PACE.items() if name in series]),
    ]  # fmt: skip
    how = tag("p", "Point at a curve, or move along it with the arrow keys, to read its values.", class_="dim scripted")
    return [how, *(join([tag("h3", title), tag("div", *charts, class_="curves")]) for title, charts in groups if charts)]


def _settings(config: dict[str, Any], settings: Settings | None) -> list[Html]:
    if settings is None:
        known = facts({str(name): str(value) for name, value in config.items()})
        return [tag("p", "The method or its settings are not those of this version, so they stand here as they are."), known]
    rows = [
        (
            tag("code", name),
            tag("td", _value(settings.run[name]), class_="own" if settings.is_own(name) else None),
            _value(settings.recipe.get(name)),
            _value(settings.paper.get(name)),
        )
        for name in settings.differing
    ]
    own = [name for name in settings.run if settings.is_own(name)]
    nearest = f"The nearest recipe is {settings.recipe_name}. " if settings.recipe_name else "The method has no recipe here. "
    changed = join([tag("code", word) for word in settings.words()], ", ")
    differs = [nearest, "The run differs from it in ", changed, "."] if own else [nearest, "The run is that recipe, unchanged."]
    columns = ["this run", settings.recipe_name or "recipe", "paper, or default"]
    whole = table(f"The {len(rows)} of {len(settings.run)} settings that are not the paper's or the default", columns, rows)
    return [tag("p", *differs), details("All settings that are not the paper's", whole)]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(inner) for inner in value)
    return short(number(value) if not isinstance(value, str) else value, 80)
