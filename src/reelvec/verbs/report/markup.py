"""HTML as text that is safe by default: whatever is not markup already is escaped, wherever it came from."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_VOID = {"meta", "br", "wbr", "img"}
_LONGEST = 160
"""letters of a name that is shown; a file may have one of thousands"""


class Html(str):
    """Markup. Only `tag`, `join` and `raw` make it."""

    __slots__ = ()


def raw(markup: str) -> Html:
    """Take text as markup: for what stands in this package, never for what comes from files."""
    return Html(markup)


def escape(content: Any) -> Html:
    """Return markup as it is, nothing for None, several things joined, and everything else escaped."""
    if isinstance(content, Html):
        return content
    if content is None:
        return Html("")
    if isinstance(content, list | tuple):
        return join(content)
    return Html(html.escape(str(content)))


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Put parts one after the other."""
    return Html(html.escape(between).join(escape(part) for part in parts))


def tag(name: str, /, *content: Any, **attributes: Any) -> Html:
    """Write an element. `class_` and `for_` lose their underscore, others become dashes; None and False are left out."""
    words = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        plain = key.rstrip("_").replace("_", "-")
        words.append(f" {plain}" if value is True else f' {plain}="{html.escape(str(value))}"')
    inside = "" if name in _VOID else f"{join(content)}</{name}>"
    return Html(f"<{name}{''.join(words)}>{inside}")


def short(name: str, longest: int = _LONGEST) -> str:
    """Return a name with its middle replaced by dots if it is longer than a line."""
    half = longest // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half + 1 :]}"


def number(value: Any) -> str:
    """Write a number with as many digits as one reads; other things as words."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.2e}"
    return f"{value:,.4g}".replace(",", " ") if abs(value) < 1000 else f"{value:,.0f}".replace(",", " ")


def percent(share: float) -> str:
    """Write a share as percent, one digit after the point."""
    return f"{100 * share:.1f}"


def clock(seconds: float) -> str:
    """Write a time as 9 s, 12 min or 2 h 07 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


@dataclass(frozen=True)
class Section:
    """A landmark of the page: its place in addresses, its heading and what it holds."""

    anchor: str
    title: str
    content: tuple[Any, ...]

    @property
    def html(self) -> Html:
        """The section as markup."""
        heading = tag("h2", self.title, id=f"{self.anchor}-title")
        return tag("section", heading, *self.content, id=self.anchor, aria_labelledby=f"{self.anchor}-title")


def section(anchor: str, title: str, *content: Any) -> Section:
    """Make a section of what it holds."""
    return Section(anchor, title, content)


def details(summary: Any, *content: Any, opened: bool = False) -> Html:
    """Write what is folded away until somebody asks."""
    return tag("details", tag("summary", summary), *content, open=opened)


def warning(*content: Any) -> Html:
    """Write what must not be overlooked."""
    return tag("div", tag("strong", "Look at this. "), *content, class_="warning", role="note")


def hint(*content: Any) -> Html:
    """Write what is missing and how to get it."""
    return tag("p", *content, class_="hint")


def facts(rows: Mapping[str, Any]) -> Html:
    """Write names and values, a line each; what is None is left out."""
    pairs = [(tag("dt", name), tag("dd", value)) for name, value in rows.items() if value is not None]
    return tag("dl", *pairs, class_="facts")


def table(
    caption: Any,
    columns: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    class_: str | None = None,
    row_class: Sequence[str | None] | None = None,
    corner: Any = "",
) -> Html:
    """Write a table that scrolls by itself where the page is narrow. The first cell of a row is its heading.

    `columns` are the headings of the other cells; `row_class` gives a class for each row.
    """
    head = tag(
        "tr", tag("th", corner, scope="col") if corner else tag("td"), *(tag("th", name, scope="col") for name in columns)
    )
    body = []
    for i, (first, *others) in enumerate(rows):
        cells = [cell if _is_cell(cell) else tag("td", cell) for cell in others]
        body.append(tag("tr", tag("th", first, scope="row"), *cells, class_=row_class[i] if row_class else None))
    named = tag("caption", tag("span", caption))
    whole = tag("table", named, tag("thead", head), tag("tbody", *body), class_=class_)
    return tag("div", whole, class_="scroll")


def _is_cell(content: Any) -> bool:
    return isinstance(content, Html) and content.startswith("<td")
