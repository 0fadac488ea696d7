"""Where the command line prints: no emoji and no colours by guess in a user's names and paths."""

from __future__ import annotations

from rich.console import Console


def tables() -> Console:
    """Return a console for tables, as wide as the terminal."""
    return Console(emoji=False, highlight=False)


def lines() -> Console:
    """Return a console for lines that must not be broken, such as paths."""
    return Console(emoji=False, highlight=False, soft_wrap=True)


def errors() -> Console:
    """Return a console for messages on stderr."""
    return Console(emoji=False, highlight=False, soft_wrap=True, stderr=True)
