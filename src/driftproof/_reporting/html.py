"""Templates → HTML pages that load nothing from outside and can be mailed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from driftproof._errors import DriftproofError

# Marks a page that driftproof wrote.
GENERATOR = '<meta name="generator" content="driftproof">'


PALETTE = (
    ("#f3f8fc", "#1d2329"),
    ("#dcebf7", "#1d2329"),
    ("#bfdaef", "#1d2329"),
    ("#98c2e2", "#1d2329"),
    ("#6ba5d2", "#10161b"),
    ("#2a6ea6", "#ffffff"),
    ("#17497a", "#ffffff"),
    ("#0a2645", "#ffffff"),
)
"""Background and text colour of each class of loss in a heat map, from small to large. Lightness alone orders them."""


_CODES = {"%": "%25", "&": "%26", "'": "%26apos;", '"': "'", "#": "%23", "<": "%3C", ">": "%3E"}
"""Letters of an SVG → what stands for them in a URI that stands between double quotes; in this order."""


def check_written_here(path: Path, mark: str = GENERATOR) -> None:
    """Raise DriftproofError if a file exists and has no ``mark`` near its beginning: it is a user's own file."""
    if path.is_file() and mark.encode() not in path.read_bytes()[:2000]:
        raise DriftproofError(f"{path} was not written by driftproof; choose another --out, or move it away")


def fill_template(name: str, **content: Any) -> str:
    """Return a template of this package filled with its content; every value is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(generator=GENERATOR, palette=PALETTE, **content)


def data_uri(svg: bytes) -> str:
    """Return a picture as a data URI for an attribute between double quotes, a quarter smaller than as base64.

    Nothing in it needs to be escaped: templates insert it with the filter ``safe``.

    >>> data_uri(b'<svg id="a"/>')
    "data:image/svg+xml,%3Csvg id='a'/%3E"
    """
    # The document type contains an address. Browsers do not load it, but the page promises to have no addresses.
    plain = re.sub(r"<!DOCTYPE.*?>\s*|<!--.*?-->", "", svg.decode(), flags=re.DOTALL)
    for letters, code in _CODES.items():
        plain = plain.replace(letters, code)
    return "data:image/svg+xml," + re.sub(r"\s*\n\s*", " ", plain).strip()
