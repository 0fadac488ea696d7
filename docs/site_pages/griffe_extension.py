"""An extension of griffe, with which mkdocstrings reads the docstrings."""

from __future__ import annotations

from typing import Any

import griffe

from site_pages.docstrings import as_markdown


class Docstrings(griffe.Extension):  # type: ignore[misc]  # griffe may be missing
    """Changes every docstring to Markdown before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object that was read."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
