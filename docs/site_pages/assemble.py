"""All pages of the site, written into one folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from site_pages import atlas, command_line, notebooks, reference
from site_pages.places import CODE, TOP, follow, place

PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")


def written_pages() -> list[str]:
    """Return the paths in the checkout of all pages that people wrote."""
    files = [*(TOP / "docs").rglob("*.md"), *(TOP / "experiments").glob("**/README.md")]
    return [*PAGES, *sorted(path.relative_to(TOP).as_posix() for path in files if "out" not in path.parts)]


def write_pages(folder: Path) -> None:
    """Write all pages and what they link into a folder, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    _write(folder, _made_pages())
    shutil.copytree(TOP / "docs" / "assets", folder / "assets")
    linked: set[str] = set()
    for path in written_pages():
        text = (TOP / path).read_text(encoding="utf-8")
        _write(folder, {place(path): follow(text, path, linked.add).encode()})
    for path in sorted(linked):
        _copy(folder, path)


def _made_pages() -> dict[str, bytes]:
    """Return what is made: path on the site → content."""
    return {**atlas.pages(), **reference.pages(), **command_line.pages(), **notebooks.pages()}


def _write(folder: Path, pages: dict[str, bytes]) -> None:
    for path, content in pages.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _copy(folder: Path, path: str) -> None:
    """Copy a file that a page links, unless it is a page itself."""
    here, there = TOP / path, place(path)
    if (folder / there).exists() or here.is_dir():
        return
    content = here.read_bytes()
    if language := CODE.get(here.suffix, ""):
        content = f"# {path}\n\n```{language}\n{content.decode()}\n```\n".encode()
    _write(folder, {there: content})
