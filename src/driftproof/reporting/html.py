"""Templates → HTML that asks for nothing from outside and can be mailed."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

# Tells a page of ours from a user's own.
GENERATOR = '<meta name="generator" content="driftproof">'


def fill_template(name: str, **content: Any) -> str:
    """Return a template of this package with its content; every value is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(generator=GENERATOR, **content)


def data_uri(svg: bytes) -> str:
    """Return a picture as an address that holds it.

    >>> data_uri(b"<svg/>")
    'data:image/svg+xml;base64,PHN2Zy8+'
    """
    # The document type names an address; browsers do not follow it, but a page that asks for nothing has none.
    plain = re.sub(rb"<!DOCTYPE.*?>\s*", b"", svg, flags=re.DOTALL)
    return "data:image/svg+xml;base64," + base64.b64encode(plain).decode()
