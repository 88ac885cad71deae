"""The page around the sections: head, contents, style and script, all in one file that asks nobody for anything."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from reelvec import __version__
from reelvec.verbs.report.embedding_map import marks_defined
from reelvec.verbs.report.markup import Html, Section, raw, tag
from reelvec.verbs.report.pictures import Pictures

_HERE = Path(__file__).parent


def page(title: str, summary: Html, sections: Sequence[Section], pictures: Pictures, most_bytes: int) -> bytes:
    """Put a page together in UTF-8; `pictures` hold the strips that the sections refer to, and get what room is left."""
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        marks_defined(),
        _header(title, summary),
        _contents(sections),
        tag("main", *(section.html for section in sections), id="content", tabindex=-1),
        tag(
            "footer", tag("p", f"Written by reelvec {__version__} on {datetime.now():%Y-%m-%d %H:%M}. This page loads nothing.")
        ),
        tag("script", raw(script)),
    )
    meta = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · reelvec report"),
    ]

    def whole(rules: str) -> bytes:
        head = tag("head", *meta, tag("style", raw(f"{style}\n{rules}")))
        return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n".encode("utf-8", "replace")

    return whole(pictures.css(most_bytes - len(whole(""))))


def _policy(script: str) -> str:
    """Forbid everything but what stands in the page: even markup that slipped in could load and run nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _header(title: str, summary: Html) -> Html:
    buttons = tag(
        "div",
        tag("button", "Play all", type="button", id="play", aria_pressed="false"),
        tag("button", "Theme: as the system", type="button", id="theme"),
        class_="buttons scripted",
    )
    return tag("header", tag("div", tag("h1", title), buttons, class_="top"), summary)


def _contents(sections: Sequence[Section]) -> Html:
    links = [tag("li", tag("a", section.title, href=f"#{section.anchor}")) for section in sections]
    return tag("nav", tag("ol", *links), aria_label="Contents")
