"""Where a file of the checkout stands on the site, and links between pages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

TOP = Path(__file__).parents[2]

# Code that a page links becomes a page; pictures, tables and all else are copied as they are.
CODE = {".py": "python", ".sh": "bash", ".toml": "toml", ".cff": "yaml", ".txt": "text"}

_FENCE = re.compile(r"^(```.*?^```[^\n]*$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")


def place(path: str) -> str:
    """Return the path on the site of a file or folder of the checkout, both relative and with ``/``.

    Raises:
        ValueError: The checkout has no such file, or a folder that has no page.

    >>> place("README.md"), place("docs/records.md"), place("experiments/devices"), place("device_presets")
    ('index.md', 'records.md', 'experiments/devices.md', 'devices/index.md')
    >>> place("device_presets/ideal.toml"), place("tests/kinds.py")
    ('devices/ideal.md', 'files/tests/kinds.py.md')
    """
    here = TOP / path
    if path == "device_presets":
        return "devices/index.md"
    if here.is_dir():
        path, here = f"{path}/README.md".removeprefix("./"), here / "README.md"
    if not here.is_file():
        raise ValueError(f"{path}: there is no such file, or the folder has no README.md")
    known = {"README.md": "index.md", "experiments/README.md": "experiments/index.md"}
    known |= {name: name.lower() for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
    if path in known:
        return known[path]
    parts = PurePosixPath(path).parts
    if parts[0] == "device_presets":
        return f"devices/{here.stem}.md"
    if parts[0] == "docs":
        return "/".join([*parts[1:-1], "index.md" if parts[-1] == "README.md" else parts[-1]])
    if parts[0] == "experiments" and parts[-1] == "README.md" and len(parts) == 3:
        return f"experiments/{parts[1]}.md"
    return f"files/{path}.md" if here.suffix in CODE else f"files/{path}"


def follow(text: str, path: str, seen: Callable[[str], None]) -> str:
    """Return the text of a page with its links changed from the checkout to the site.

    Args:
        text: Markdown.
        path: The page's path in the checkout.
        seen: Called with the path in the checkout of every file that is linked.

    Raises:
        ValueError: A link leads to no file of the checkout.
    """
    home = PurePosixPath(place(path)).parent

    def changed(match: re.Match[str]) -> str:
        target, hash_, anchor = match[1].partition("#")
        if "://" in target or target.startswith("mailto:") or not target:
            return match[1]
        inside = os.path.relpath((TOP / path).parent / target, TOP)
        try:
            there = place(inside)
        except ValueError as error:
            raise ValueError(f"{path}: link {match[1]}: {error}") from None
        seen(inside)
        return os.path.relpath(there, home) + hash_ + anchor

    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(changed, part) for part in parts)
