"""Docstrings as Markdown: Sphinx's references become code, and doctests become blocks of code."""

from __future__ import annotations

import re

_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):`~?([\w.]+)`")
# from a prompt to the next empty line
_DOCTEST = re.compile(r"^( *)>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)


def as_markdown(text: str) -> str:
    r"""Return a docstring as Markdown.

    >>> as_markdown("See :func:`driftproof.evaluate` and :meth:`step`.")
    'See `driftproof.evaluate` and `step`.'
    >>> as_markdown(">>> 1 + 1\n2\n\nEnd").splitlines()
    ['```pycon', '>>> 1 + 1', '2', '```', '', 'End']
    """
    return _DOCTEST.sub(_fenced, _ROLE.sub(r"`\1`", text))


def _fenced(match: re.Match[str]) -> str:
    return f"{match[1]}```pycon\n{match[0]}\n{match[1]}```"
