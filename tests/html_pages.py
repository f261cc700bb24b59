"""Reading the pages of `hqgan.report` as a browser would, strictly: what it must be, and its cells.

`check` fails for a page that is not well-formed, not accessible in what can be seen without a
browser, or not self-contained.
"""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "img", "br", "wbr", "hr", "input", "link"}
URLS = ("src", "href", "srcset", "data", "poster", "action", "xlink:href")


@dataclass
class Page(HTMLParser):
    """What was found: elements in order, texts of cells and headings, and what is wrong."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)  # of tables, row headers among them
    headings: list[tuple[int, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        HTMLParser.__init__(self)
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.wrong.append(f"<{tag}> has an attribute twice: {names}")
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td" or (tag == "th" and dict(attrs).get("scope") == "row"):
            self.cells.append("")
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append((int(tag[1]), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"</{tag}> closes {self.open[-1:]}")
        elif tag in self.open:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.cells and self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data if self.in_row() else ""
        if self.headings and self.open and self.open[-1] == f"h{self.headings[-1][0]}":
            level, text = self.headings[-1]
            self.headings[-1] = level, text + data

    def in_row(self) -> bool:
        """Whether a cell is one of the body."""
        return "thead" not in self.open


def read(html: str) -> Page:
    """Parse a page or a part of one."""
    page = Page()
    page.feed(html)
    page.close()
    return page


def cells(html: str) -> list[str]:
    """The texts of all cells of all tables' bodies, in order."""
    return read(html).cells


def check(html: str) -> Page:
    """Assert that a page is whole, accessible and alone; returns what was read."""
    page = read(html)
    wrong = [*page.wrong, *[f"<{tag}> is never closed" for tag in page.open]]
    wrong += list(of_names(page))
    wrong += list(of_pictures_and_tables(page))
    wrong += list(of_the_outside(html, page))
    wrong += list(of_structure(page))
    assert not wrong, wrong
    return page


def of_names(page: Page):
    """Ids are unique, and what refers to one finds it."""
    ids = [a["id"] for _, a in page.elements if "id" in a]
    if len(ids) != len(set(ids)):
        yield f"ids occur twice: {sorted({i for i in ids if ids.count(i) > 1})}"
    for _, attributes in page.elements:
        for name in ("href", "aria-labelledby"):
            target = attributes.get(name) or ""
            inside = name != "href" or target.startswith("#")
            if target and inside and target.removeprefix("#") not in ids:
                yield f"{name} {target} is nowhere"


def of_pictures_and_tables(page: Page):
    """Every picture says what it shows, every table what it is; what scrolls can be focused."""
    for tag, a in page.elements:
        if tag == "img" and not a.get("alt"):
            yield f"an image without alt: {a}"
        if tag == "svg" and not (a.get("role") == "img" and a.get("aria-label")):
            yield "an svg without a label"
        if tag == "th" and a.get("scope") not in ("col", "row"):
            yield "a th without scope"
        wide = "wide" in (a.get("class") or "").split()
        if wide and not ((a.get("tabindex"), a.get("role")) == ("0", "region") and a["aria-label"]):
            yield "a wide part that a keyboard cannot scroll"
    tags = [tag for tag, _ in page.elements]
    if tags.count("table") != tags.count("caption"):
        yield "a table without caption"


def of_the_outside(html: str, page: Page):
    """Nothing is fetched, nothing runs."""
    for tag, a in page.elements:
        for name in URLS:
            value = a.get(name)
            if value and not value.startswith(("#", "data:image/png;base64,")):
                yield f"<{tag} {name}={value[:60]}>"
        if any(name.startswith("on") for name in a):
            yield f"<{tag}> runs a script: {a}"
    for word in ("<script", "@import", "<link", "<iframe"):
        if word in html:
            yield f"{word} in the page"
    style = html.partition("<style>")[2].partition("</style>")[0]
    if "url(" in style:
        yield "the style sheet fetches something"


def of_structure(page: Page):
    """Language, landmarks, one title; headings go down a step at a time."""
    tags = [tag for tag, _ in page.elements]
    if dict(page.elements).get("html", {}).get("lang") != "en":
        yield "no language"
    for tag in ("header", "main", "footer", "title", "h1"):
        if tags.count(tag) != 1:
            yield f"{tags.count(tag)} <{tag}>"
    levels = [level for level, _ in page.headings]
    for before, after in pairwise(levels):
        if after > before + 1:
            yield f"h{after} below h{before}"
