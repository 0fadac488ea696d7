"""The option group of a run itself: where its options come from, and what it prints meanwhile."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from driftproof._cli.panels import OUTPUT
from driftproof._progress import no_progress


@dataclass(kw_only=True)
class RunOptions:
    """The run.

    Attributes:
        config (FILE.toml): File with options of this command: each key is a long option without its dashes (preset,
            times), and model is the network. Options of the command line count in place of those in the file. Every
            run writes such a file, run.toml, into its --out folder. Relative paths start at the working directory.
            study:NAME is a training that comes with driftproof, such as study:dense-mnist. Default: no file.
        quiet: Print neither tables nor progress, only warnings and errors.
    """

    panel: ClassVar[str] = OUTPUT
    config: Path | None = None
    quiet: bool = False

    def progress(self) -> AbstractContextManager[None]:
        """Return a ``with`` block in which progress is shown, or not if --quiet."""
        return no_progress() if self.quiet else nullcontext()
