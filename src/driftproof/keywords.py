"""Keyword arguments that nothing takes: refused by name, with the nearest one and a list of those that there are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ClassVar, Self

from driftproof.errors import DriftproofError, did_you_mean


def check_keywords(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise DriftproofError for a keyword that is not among the known ones.

    >>> check_keywords("train", ["batchsize"], ["batch_size"])
    Traceback (most recent call last):
    driftproof.errors.DriftproofError: train takes no 'batchsize' (did you mean batch_size?); it takes batch_size
    """
    known = list(known)
    for name in given:
        if name not in known:
            raise DriftproofError(f"{what} takes no {name!r}{did_you_mean(name, known)}; it takes {', '.join(known)}")


def keywords_of(function: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments that a function takes by keyword, ``**more`` left out."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [part.name for part in inspect.signature(function).parameters.values() if part.kind in named]


def checks_keywords[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Make a function refuse keywords that it does not take with a DriftproofError."""
    known = keywords_of(function)

    @wraps(function)
    def checked(*args: P.args, **given: P.kwargs) -> R:
        check_keywords(function.__name__, given, known)
        return function(*args, **given)

    return checked


class ChecksKeywords:
    """A class that refuses keywords that it does not take with a DriftproofError.

    A class whose ``__init__`` hands ``**options`` on to the class above takes the keywords of both, except those that
    it names in ``fixed``, because it chooses them itself.
    """

    fixed: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, *_: Any, **given: Any) -> Self:
        """Check the keywords before ``__init__`` sees them."""
        if given:
            check_keywords(cls.__name__, given, cls.keywords())
        return super().__new__(cls)

    @classmethod
    def keywords(cls) -> list[str]:
        """Return the names of the keywords that the class takes, its own first."""
        known: list[str] = []
        fixed: set[str] = set()
        for kind in cls.__mro__:
            if "__init__" in vars(kind):
                init = vars(kind)["__init__"]
                known += [name for name in keywords_of(init)[1:] if name not in fixed and name not in known]
                if not any(part.kind is part.VAR_KEYWORD for part in inspect.signature(init).parameters.values()):
                    break
            fixed.update(vars(kind).get("fixed", ()))
        return known
