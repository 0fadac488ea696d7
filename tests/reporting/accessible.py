"""The rules of accessible pages that need no browser: headings, tables, scroll boxes, pictures, links, contrast."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

VOID = frozenset({"meta", "link", "img", "br"})
LARGEST_STEP = 1  # a heading is at most one level below the heading before it
CONTRAST = 4.5  # WCAG 2 AA, for text of normal size


class Element:
    """A tag with its attributes, its ancestors and its text."""

    def __init__(self, tag: str, attributes: dict[str, str], path: tuple[Element, ...]) -> None:
        self.tag, self.attributes, self.path, self.text = tag, attributes, path, ""

    def inside(self, tag: str = "", name: str = "") -> Element | None:
        """Return the nearest ancestor with a tag or a class."""
        found = (e for e in reversed(self.path) if e.tag == tag or name in e.attributes.get("class", "").split())
        return next(found, None)


class Elements(HTMLParser):
    """All elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.all: list[Element] = []
        self.open: list[Element] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append(Element(tag, {name: value or "" for name, value in attrs}, tuple(self.open)))
        if tag not in VOID:
            self.open.append(self.all[-1])

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()  # that what opens closes is another test

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def of(self, *tags: str) -> list[Element]:
        """Return the elements with one of the tags."""
        return [element for element in self.all if element.tag in tags]


def faults(html: str, folder: Path | None = None) -> list[str]:
    """Return what is wrong with a page, in words; links to files are looked up in its folder if it is given."""
    page = Elements(html)
    found = [*_headings(page), *_tables(page), *_boxes(page), *_links(page, folder)]
    found += [f"a picture without words: {e.attributes.get('src', '')[:40]}" for e in page.of("img") if not _alt(e)]
    found += [f"{tag}: wanted one" for tag in ("main", "title") if len(page.of(tag)) != 1]
    if not page.of("html")[0].attributes.get("lang"):
        found.append("the page has no language")
    return found


def _alt(image: Element) -> str:
    return image.attributes.get("alt", "").strip()


def _headings(page: Elements) -> list[str]:
    levels = [int(e.tag[1]) for e in page.of("h1", "h2", "h3", "h4", "h5", "h6")]
    steps = [(a, b) for a, b in pairwise(levels) if b > a + LARGEST_STEP]
    faults = [f"a heading of level {b} follows one of level {a}" for a, b in steps]
    return faults + (
        [] if levels.count(1) == 1 and levels[0] == 1 else [f"headings begin {levels[:3]}, not with one h1"]
    )


def _tables(page: Elements) -> list[str]:
    captions = {id(e.inside("table")) for e in page.of("caption") if e.text.strip()}
    found = [f"a table without caption: {e.text.split()[:4]}" for e in page.of("table") if id(e) not in captions]
    for head in page.of("th"):
        if head.attributes.get("scope") not in ("col", "row", "rowgroup"):
            found.append(f"a heading of a table without scope: {head.text!r}")
        if not head.text.strip():
            found.append("an empty heading of a table")
    headed = {id(row) for head in page.of("th") if (row := head.inside("tr")) is not None}
    return found + [f"a row without heading: {e.text!r}" for e in page.of("tr") if id(e) not in headed]


def _boxes(page: Elements) -> list[str]:
    boxes = [e for e in page.all if "scroll" in e.attributes.get("class", "").split()]
    wanted = {"tabindex": "0", "role": "region"}
    found = [
        f"a box that no keyboard can scroll: {box.attributes}"
        for box in boxes
        if any(box.attributes.get(name) != value for name, value in wanted.items())
        or not box.attributes.get("aria-label")
    ]
    labels = Counter(box.attributes.get("aria-label") for box in boxes)
    found += [f"two boxes are called {label!r}" for label, count in labels.items() if count > 1]
    return found + [f"a table in no box: {e.text.split()[:4]}" for e in page.of("table") if not e.inside(name="scroll")]


def _links(page: Elements, folder: Path | None) -> list[str]:
    ids = Counter(e.attributes["id"] for e in page.all if "id" in e.attributes)
    found = [f"two elements have the id {name}" for name, count in ids.items() if count > 1]
    for link in page.of("a"):
        to = link.attributes.get("href", "")
        if not link.text.strip():
            found.append(f"a link without words: {to}")
        if to.startswith("#"):
            found += [] if to[1:] in ids else [f"a link to nowhere: {to}"]
        elif ":" not in to and folder is not None and not (folder / to).is_file():
            found.append(f"a link to no file: {to}")
    return found


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours such as ``#1d2329`` (WCAG 2).

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return round((light + 0.05) / (dark + 0.05), 2)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def colours(html: str) -> dict[str, str]:
    """Return the named colours of a page's style."""
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", html))
