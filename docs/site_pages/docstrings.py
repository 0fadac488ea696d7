"""An extension of griffe, which reads the docstrings: Sphinx's references and doctests become Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):`~?([\w.]+)`")
# from a prompt to the next empty line
_DOCTEST = re.compile(r"^( *)>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)


def as_markdown(text: str) -> str:
    """Return a docstring whose references are code, and whose examples are blocks of code.

    >>> print(as_markdown("See :func:`driftproof.evaluate`.\\n\\n>>> 1 + 1\\n2\\n\\nEnd").replace("`", "'"))
    See 'driftproof.evaluate'.
    <BLANKLINE>
    '''pycon
    >>> 1 + 1
    2
    '''
    <BLANKLINE>
    End
    """
    return _DOCTEST.sub(_fenced, _ROLE.sub(r"`\1`", text))


def _fenced(match: re.Match[str]) -> str:
    return f"{match[1]}```pycon\n{match[0]}\n{match[1]}```"


class Docstrings(griffe.Extension):
    """Changes every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object that was read."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
