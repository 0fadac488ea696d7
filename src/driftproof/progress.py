"""A progress bar with the time left, on stderr."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """Counts what is finished; shows nothing where nobody looks (no terminal), unless asked to.

    Args:
        total: how much there is to do.
        shown: True, False, or None: when stderr is a terminal.
        what: shown before the first step.
        done: how much is done already.
    """

    def __init__(self, total: int, shown: bool | None = None, what: str = "evaluating", done: int = 0) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True, emoji=False),
            disable=not (sys.stderr.isatty() if shown is None else shown),
        )
        self._task = self._bar.add_task(what, total=total, completed=done)

    def __enter__(self) -> Progress:
        """Show the bar."""
        self._bar.start()
        return self

    def step(self, done: str) -> None:
        """Count one; ``done`` says which."""
        self._bar.update(self._task, advance=1, description=done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()
