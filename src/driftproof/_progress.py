"""A progress bar with the time left, on stderr."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress(RichProgress):
    """A progress bar for one task. It is shown while its ``with`` block runs.

    Args:
        total: Number of steps of the task.
        shown: Whether the bar is shown. None shows it if stderr is a terminal.
        what: Text before the first step.
        done: Number of steps that were finished before.
    """

    def __init__(self, total: int, shown: bool | None = None, what: str = "evaluating", done: int = 0) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True, emoji=False),
            disable=not (sys.stderr.isatty() if shown is None else shown),
        )
        self._only_task = self.add_task(what, total=total, completed=done)

    def step(self, done: str) -> None:
        """Count one step and show the text ``done``."""
        self.update(self._only_task, advance=1, description=done)
