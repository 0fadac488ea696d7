"""Hooks of mkdocs: the parts of the navigation that are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Replace each entry ``FOLDER/*`` of the navigation with the pages of this folder that stand nowhere else."""
    docs = Path(config["docs_dir"])
    if not docs.joinpath("index.md").is_file():
        raise SystemExit(f"{docs} has no pages: `make docs` writes them before it runs mkdocs")
    config["nav"] = expanded(config["nav"], docs, set(entries(config["nav"])))
    return config


def entries(nav: Any) -> list[str]:
    """Return the paths that a navigation names.

    >>> entries([{"Home": "index.md"}, {"Devices": ["devices/index.md", "devices/*"]}])
    ['index.md', 'devices/index.md', 'devices/*']
    """
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [path for part in parts for path in entries(part)]


def expanded(nav: list[Any], docs: Path, named: set[str]) -> list[Any]:
    """Return a navigation whose entries ``FOLDER/*`` are replaced by pages in the order of their names."""
    full: list[Any] = []
    for part in nav:
        if isinstance(part, dict):
            full.append(
                {
                    title: expanded(inner, docs, named) if isinstance(inner, list) else inner
                    for title, inner in part.items()
                }
            )
        elif part.endswith("/*"):
            found = sorted(docs.glob(f"{part}.md"))
            full += [path for page in found if (path := page.relative_to(docs).as_posix()) not in named]
        else:
            full.append(part)
    return full
