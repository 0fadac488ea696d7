"""What the command line prints: lines and tables, without emoji or colours in the names and paths of users."""

from __future__ import annotations

import json

from rich.console import Console, RenderableType
from rich.text import Text


def print_line(text: str, *, head: str = "", style: str = "bold", stderr: bool = False, quiet: bool = False) -> None:
    """Print a line that only the terminal breaks, so that a path in it can be copied.

    Args:
        text: The line.
        head: Start of the line, printed in ``style``.
        style: A style of rich.
        stderr: Whether to print on stderr.
        quiet: Whether to print nothing.
    """
    console = Console(emoji=False, highlight=False, soft_wrap=True, stderr=stderr, quiet=quiet)
    console.print(Text.assemble((head, style), text))


def print_table(table: RenderableType, *, quiet: bool = False) -> None:
    """Print a table or a text that is broken at the width of the terminal; print nothing if ``quiet``."""
    Console(emoji=False, highlight=False, quiet=quiet).print(table)


def print_json(content: object) -> None:
    """Print plain values as JSON on stdout."""
    print(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
