"""What holds for every page: it nests, loads nothing, names every picture, keeps the order of headings."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """Reads a page strictly: whatever is open is closed, in order."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.wrong: list[str] = []
        self.of_tag: dict[str, list[str]] = {}
        self.feed(content)
        self.close()
        assert self.open == [], self.open
        assert self.wrong == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if len(dict(attrs)) != len(attrs):
            self.wrong.append(f"an attribute twice: {tag} {attrs}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"</{tag}> closes {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.of_tag.setdefault(self.open[-1], []).append(data)
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def headings(self) -> list[int]:
        return [int(tag[1]) for tag, _ in self.elements if re.fullmatch("h[1-6]", tag)]


def check(content: bytes) -> Page:
    """Read a page and check what holds for every one."""
    page = Page(content.decode("utf-8"))
    assert len(content) < 10_000_000
    _loads_nothing(page)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes.get("alt") for attributes in page.all("img"))
    pictures = [a for _, a in page.elements if a.get("role") == "img"]
    assert all(a.get("aria-label") for a in pictures)
    assert all(a.get("role") == "img" or a.get("aria-hidden") == "true" for a in page.all("svg"))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    for tag in ("main", "nav", "header", "footer"):
        assert len(page.all(tag)) == 1
    links = {str(a["href"])[1:] for a in page.all("a")}
    assert links <= set(ids), links - set(ids)
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    assert all(str(a["aria-labelledby"]) in ids for a in page.all("section"))
    assert page.all("html")[0].get("lang") == "en"
    return page


def _loads_nothing(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "audio", "video", "source")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "srcset", "action", "poster", "data", "xlink:href"):
                assert str(value).startswith(("#", "data:")), (tag, name, value)
            if name == "style":
                assert "url(" not in str(value)
    style = "".join(page.of_tag["style"])
    assert "@import" not in style
    assert all(address.startswith("data:image/jpeg;base64,") for address in re.findall(r"url\((.*?)\)", style))
    assert len(page.all("script")) == 1
