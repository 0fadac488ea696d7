"""Progress on stderr: a bar with the time left on a terminal, lines at intervals elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from driftproof.times import format_time

LEAST_S, SHARE = 10.0, 0.05
"""A line comes at least so many seconds after the one before it, and this share of the time since the start."""
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


@contextmanager
def no_progress() -> Iterator[None]:
    """Show no progress inside the ``with`` block, unless it is asked for."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


class Progress(RichProgress):
    """The progress of one task: a bar while its ``with`` block runs, or lines where stderr is no terminal.

    Lines are for the logs of batch systems and for notebooks. A task of a few seconds writes none.

    Args:
        total: Number of steps of the task.
        shown: Whether a bar is shown. None shows a bar if stderr is a terminal, and writes lines if it is not.
        what: Text before the first step.
        done: Number of steps that were finished before.
        clock: Function that returns a time in s.
    """

    def __init__(
        self,
        total: int,
        shown: bool | None = None,
        what: str = "evaluating",
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        bar = sys.stderr.isatty() and not _hidden.get() if shown is None else shown
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True, emoji=False),
            disable=not bar,
        )
        self._only_task = self.add_task(what, total=total, completed=done)
        lines = shown is None and not bar and not _hidden.get()
        self._lines = _Lines(total, done, clock) if lines else None

    def step(self, done: str) -> None:
        """Count one step and show the text ``done``."""
        self.update(self._only_task, advance=1, description=done)
        if self._lines is not None:
            self._lines.step(done)


class _Lines:
    """Lines that say how far a task is, and about how long it still takes."""

    def __init__(self, total: int, done: int, clock: Callable[[], float]) -> None:
        self.total, self.before, self.done, self.clock = total, done, done, clock
        self.start = self.last = self.first = clock()

    def step(self, text: str) -> None:
        """Count a step; write a line if it is time."""
        self.done += 1
        now = self.clock()
        if self.done == self.before + 1:
            self.first = now
        passed, begun = now - self.start, self.last > self.start
        if now - self.last < max(LEAST_S, SHARE * passed) and not (begun and self.done == self.total):
            return
        self.last = now
        left, timed = "", self.done - self.before - 1
        if self.done < self.total:
            # the first step also takes what prepares all of them
            each_s, most = ((now - self.first) / timed, "") if timed else (passed, "at most ")
            left = f", {most}about {format_time(round(each_s * (self.total - self.done)))} left"
        print(
            f"{self.done:,} of {self.total:,} ({text}), {format_time(round(passed))} so far{left}",
            file=sys.stderr,
            flush=True,
        )
