"""Notebooks → pages, and the code of a notebook for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from site_pages.places import TOP

FOLDER = TOP / "docs" / "notebooks"


def pages() -> dict[str, bytes]:
    """Return a page for each notebook, and the notebook itself: path on the site → content."""
    made: dict[str, bytes] = {}
    for path in sorted(FOLDER.glob("*.ipynb")):
        made[f"notebooks/{path.stem}.md"] = page(path).encode()
        made[f"notebooks/{path.name}"] = path.read_bytes()
    return made


def cells(path: Path) -> list[tuple[str, str]]:
    """Return (kind, text) of a notebook's cells; the kind is ``markdown`` or ``code``."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return [(cell["cell_type"], "".join(cell["source"])) for cell in content["cells"]]


def page(path: Path) -> str:
    """Return a notebook as Markdown."""
    parts = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells(path)]
    title, rest = parts[0], parts[1:]
    note = f"This page is a notebook: [{path.name}]({path.name})."
    return "\n\n".join([title, note, *rest]) + "\n"
