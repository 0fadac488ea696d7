"""Where the command line prints: no emoji and no colours by guess in a user's names and paths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
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


@contextmanager
def stoppable() -> Iterator[None]:
    """Tell a user who stops a run that nothing is lost; exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        errors().print("stopped; finished cells are kept, and the same command goes on from there")
        raise typer.Exit(130) from None
