"""The error and the warning of driftproof. A message names what was given, what was expected, and what to do."""

from __future__ import annotations

import contextlib
import difflib
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

WRONG_TAG = "wrong_tag"
"""Type of the pydantic error for a table that names no law, or a law that does not exist."""


class DriftproofError(ValueError):
    """An input or a request that cannot work. The command line prints the message and exits with code 2."""

    __module__ = "driftproof"


class DriftproofWarning(UserWarning):
    """A fact that the user should know; the computation continues."""

    __module__ = "driftproof"


class ReadAs(DriftproofWarning):
    """What was understood of a user's file: information, which the command line prints behind ``read:``."""

    __module__ = "driftproof"


def warn(text: str, kind: type[DriftproofWarning] = DriftproofWarning) -> None:
    """Warn with a :class:`DriftproofWarning` that points to the line of the user's code that led to it."""
    # contextlib calls the functions that keep the random states; a prefix must be shorter than the path
    internal = str(Path(__file__).parent), contextlib.__file__.removesuffix(".py")
    warnings.warn(text, kind, skip_file_prefixes=internal)


@contextmanager
def foreign_code(place: str | Callable[[], str], advice: str = "") -> Iterator[None]:
    """Raise DriftproofError for any exception that the code of a user's network or metric raises in a ``with`` block.

    Args:
        place: What was being done, or what was wanted, or a function that returns it where that takes time. The
            message begins with it, and the exception follows.
        advice: What to do. The message ends with it.
    """
    try:
        yield
    except DriftproofError:
        raise
    except Exception as error:
        text = place if isinstance(place, str) else place()
        raise DriftproofError(f"{text} {type(error).__name__}: {error}{advice}") from error


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return `` (did you mean X?)`` with the word of ``known`` nearest to ``wrong``; an empty string if none is near.

    >>> did_you_mean("pcm-nandakumar", ["ideal", "pcm-nandakumar-2019"])
    ' (did you mean pcm-nandakumar-2019?)'
    >>> did_you_mean("RWP", ["rwp"])
    ' (did you mean rwp?)'
    >>> did_you_mean("xyz", ["ideal"])
    ''
    """
    words = list(known)
    small = {word.lower(): word for word in words}
    near = difflib.get_close_matches(wrong, words, n=1, cutoff=0.55)
    near = near or [small[word] for word in difflib.get_close_matches(wrong.lower(), small, n=1, cutoff=0.55)]
    return f" (did you mean {near[0]}?)" if near else ""


def aihwkit_hint(thing: object, part: str) -> str:
    """Return the way from an object of aihwkit to what was wanted; an empty text for anything else.

    Args:
        thing: What a user gave.
        part: The attribute of the result of :func:`driftproof.from_aihwkit` that was wanted.

    >>> aihwkit_hint(3, "device")
    ''
    """
    if thing is None and part == "device":
        return (
            ". (from_aihwkit(…).device is None where no device has the noise model's law, and not_taken_over says why: "
            "name a preset, or fit or write one of your own, see docs/from_aihwkit.md)"
        )
    if any(kind.__module__.partition(".")[0] == "aihwkit" for kind in type(thing).__mro__):
        return f"; it is aihwkit's: give driftproof.from_aihwkit(…).{part}"
    return ""


def check_choice(what: str, choice: str, known: Iterable[str]) -> None:
    """Raise DriftproofError for a choice that does not exist.

    >>> check_choice("loss", "mes", ["cross-entropy", "mse"])
    Traceback (most recent call last):
    driftproof.DriftproofError: loss 'mes' (did you mean mse?): there are cross-entropy, mse
    """
    known = list(known)
    if choice not in known:
        raise DriftproofError(f"{what} {choice!r}{did_you_mean(str(choice), known)}: there are {', '.join(known)}")


def whole_number(what: str, value: object) -> int:
    """Return a whole number of any library as an int of Python.

    >>> whole_number("chip", 3)
    3
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]  # what has no index raises
    except TypeError:
        raise DriftproofError(f"{what} = {value!r}: wanted a whole number") from None


def explained(place: str, error: ValidationError, known: Iterable[str] = (), *, tags: tuple[str, ...] = ()) -> str:
    """Return a pydantic error in one line per fault: the place, the dotted key, what was expected and what was given.

    Args:
        place: The file or the settings; every line starts with it.
        error: The error of pydantic.
        known: Keys to suggest for a misspelt key.
        tags: Tags of discriminated unions, which pydantic mixes with the keys.
    """
    lines: list[str] = []
    faults = error.errors()
    for fault in faults[:_SHOWN]:
        parts = [str(part) for part in fault["loc"] if part not in tags]
        key = ".".join(parts)
        if fault["type"] == "extra_forbidden":
            lines.append(f"{place}: unknown key {key}{did_you_mean(parts[-1], known)}")
        elif fault["type"] == "missing":
            lines.append(f"{place}: missing key {key}")
        else:
            ours = fault["type"] in ("value_error", "assertion_error", WRONG_TAG)  # these messages name the input
            text = fault["msg"].removeprefix("Value error, ") + ("" if ours else f", got {shortened(fault['input'])}")
            lines.append(": ".join(filter(None, (place, key, text))))
    if len(faults) > _SHOWN:
        lines.append(f"{place}: and {len(faults) - _SHOWN:,} more faults")
    return "\n".join(lines)


_SHOWN = 20
_LONGEST = 200


def shortened(value: object) -> str:
    """Return a value as a text for messages, cut if it is long.

    >>> shortened("a" * 300)[-20:]
    'aaaaaaaa… (302 long)'
    """
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} long)"
