"""Methods by their names: a class that declares a name of its own is known by it, and what it takes is read off it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from driftproof.training.methods.method import Method


class Named(NamedTuple):
    """How a method is made, and which of the perturbation's settings it takes."""

    make: Callable[..., Method]
    noise: bool = False
    strength: bool = False
    rho: bool = False


METHODS: dict[str, Named] = {}
"""Name → method, in the order in which their files were imported."""


def make_known(kind: type[Method]) -> None:
    """Make a method known by its name; it takes noise, strength and rho if its constructor has such a keyword.

    Raises:
        TypeError: a class that is incomplete, or another one of the same name.
    """
    missing = [part for part in dir(kind) if getattr(getattr(kind, part, None), "__isabstractmethod__", False)]
    if not _takes_keywords(kind):
        missing.append("an __init__ that takes its settings by keyword")
    if missing:
        raise TypeError(f"method {kind.__name__} lacks {', '.join(missing)}")
    known = METHODS[kind.name].make if kind.name in METHODS else kind
    assert isinstance(known, type)
    if not _is_made_again(known, kind):
        raise TypeError(f"method {_place(kind)}: {_place(known)} is called {kind.name!r} already")
    taken = kind.keywords()
    METHODS[kind.name] = Named(kind, noise="noise" in taken, strength="strength" in taken, rho="rho" in taken)


def _takes_keywords(kind: type[Method]) -> bool:
    """Whether every setting has a name: ``*more`` is fine where ``**options`` hand the named ones on."""
    kinds = {part.kind for part in list(inspect.signature(kind.__init__).parameters.values())[1:]}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        kinds -= {inspect.Parameter.VAR_POSITIONAL}
    return not kinds & {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL}


def _is_made_again(known: type, kind: type) -> bool:
    """Whether it is one class, made again by a notebook's cell that runs again or by one file under two names."""
    return known.__qualname__ == kind.__qualname__ and bool(_origins(known) & _origins(kind))


def _origins(kind: type) -> set[str]:
    """Return the module in which a class was made, and its file."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    own = {inspect.unwrap(part).__code__.co_filename for part in vars(kind).values() if inspect.isfunction(part)}
    return own | {kind.__module__} | ({file} if file else set())


def _place(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
