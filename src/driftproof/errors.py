"""What goes wrong, in one type: every message says what came, what was wanted and what to do."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from pathlib import Path


class DriftproofError(ValueError):
    """Something the user gave or asked for cannot work; the command line prints it and exits with 2."""


class DriftproofWarning(UserWarning):
    """Something the user should know, but the work goes on."""


def warn(text: str) -> None:
    """Tell the user something (:class:`DriftproofWarning`), at the line of the user's own code that led to it."""
    warnings.warn(text, DriftproofWarning, skip_file_prefixes=(str(Path(__file__).parent),))


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return `` (did you mean X?)`` for the nearest of ``known``, else an empty string.

    >>> did_you_mean("pcm-nandakumar", ["ideal", "pcm-nandakumar-2019"])
    ' (did you mean pcm-nandakumar-2019?)'
    >>> did_you_mean("xyz", ["ideal"])
    ''
    """
    near = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.55)
    return f" (did you mean {near[0]}?)" if near else ""
