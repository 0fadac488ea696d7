"""Keywords of calls and of texts: an unknown keyword is refused with the nearest known one and a list of all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from driftproof._errors import DriftproofError, did_you_mean, warn

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


OLD_NAMES = {"device": "torch_device"}
"""Arguments that had another name up to version 0.1; ``device`` now always means a memory device."""


def check_keywords(function_name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise DriftproofError if a keyword is not among the known ones.

    Args:
        function_name: Name of the function or class, for the message.
        given: Keywords of a call.
        known: Keywords that the function or class takes.

    >>> check_keywords("fit", ["sede"], ["seed"])
    Traceback (most recent call last):
    driftproof.DriftproofError: fit() got an unexpected keyword 'sede' (did you mean seed?); its keywords are seed
    """
    known = list(known)
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known)
            raise DriftproofError(
                f"{function_name}() got an unexpected keyword {name!r}{hint}; its keywords are {', '.join(known)}"
            )


def parse_choice(subject: str, choice: str, kinds: Mapping[str, Iterable[str]]) -> tuple[str, dict[str, str]]:
    """Return the name and the parameters of a text ``NAME`` or ``NAME:KEY=VALUE,KEY=VALUE``.

    Args:
        subject: What is chosen, such as "compensation"; messages name it.
        choice: The text.
        kinds: The known names, each with the keys that it takes.

    Raises:
        DriftproofError: The name or a key is unknown, a key is given twice, or ``=`` is missing.

    >>> parse_choice("compensation", "tile:every_s=1d", {"tile": ["every_s"]})
    ('tile', {'every_s': '1d'})
    """
    name, colon, text = choice.partition(":")
    if name not in kinds:
        raise DriftproofError(f"unknown {subject} {choice!r}{did_you_mean(name, kinds)}; there are {', '.join(kinds)}")
    known, values = list(kinds[name]), {}
    for pair in text.split(",") if colon else []:
        key, equals, value = pair.partition("=")
        if key not in known or not equals or key in values:
            raise DriftproofError(
                f"{subject} {choice!r}: wanted key=value pairs of {', '.join(known) or '(it has no parameters)'}, each "
                f"once, got {pair!r}{did_you_mean(key, known)}"
            )
        values[key] = value
    return name, values


def choice_text(name: str, choice: DataclassInstance, *hidden: str) -> str:
    """Return the text of a choice, in the form that :func:`parse_choice` reads.

    It consists of the name and the parameters that differ from their defaults.

    Args:
        name: Name of the choice.
        choice: A dataclass of parameters.
        hidden: Parameters that the name already determines.
    """
    values = {f.name: (getattr(choice, f.name), f.default) for f in fields(choice) if f.init and f.name not in hidden}
    pairs = [
        f"{key}={number_text(value) if isinstance(value, float) else value}"
        for key, (value, default) in values.items()
        if value != default
    ]
    return f"{name}:{','.join(pairs)}" if pairs else name


def number_text(value: float) -> str:
    """Return the shortest text that reads back as the same number.

    >>> number_text(2.0), number_text(0.1)
    ('2', '0.1')
    """
    return repr(float(value)).removesuffix(".0")


def keywords_of(function: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments that a function takes by keyword, without ``**options``."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [part.name for part in inspect.signature(function).parameters.values() if part.kind in named]


def checks_keywords[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that it raises DriftproofError for a keyword that it does not take."""
    known = keywords_of(function)

    @wraps(function)
    def checked(*args: P.args, **given: P.kwargs) -> R:
        new = new_names(function.__name__, given, known)
        check_keywords(function.__name__, new, known)
        return cast("Callable[..., R]", function)(*args, **new)

    return checked


def new_names(function_name: str, given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return keywords under their present names; warn about each that was renamed after version 0.1."""
    known, named = list(known), dict(given)
    for old, new in OLD_NAMES.items():
        if old in named and old not in known and new in known and new not in named:
            warn(f"{function_name}: the argument {old} is now called {new}; version 0.3 removes the old name")
            named[new] = named.pop(old)
    return named


class ChecksKeywords:
    """A class that raises DriftproofError for a keyword that it does not take.

    A class whose ``__init__`` passes ``**options`` to its base class takes the keywords of both, except those that it
    lists in ``fixed`` because it sets them itself.
    """

    fixed: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, *_: Any, **given: Any) -> Self:
        """Check the keywords before ``__init__`` sees them."""
        if given:
            check_keywords(cls.__name__, given, cls.keywords())
        return super().__new__(cls)

    @classmethod
    def keywords(cls) -> list[str]:
        """Return the names of the keywords that the class takes, those of its ``__init__`` first."""
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
