"""Methods by the names that the command line takes: a class is known by its name as soon as it is defined."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from driftproof._errors import DriftproofError, check_choice

if TYPE_CHECKING:
    from driftproof.training._methods.method import Method
    from driftproof.training._noise import NoiseLike
    from driftproof.training._schedules import Schedule, StrengthLike


class Named(NamedTuple):
    """How a method is made, and whether its constructor takes a noise (and needs one), a strength and a rho."""

    make: Callable[..., Method]
    noise: bool = False
    strength: bool = False
    rho: bool = False
    needs_noise: bool = False


METHODS: dict[str, Named] = {}
"""Name → method, in the order in which their files were imported."""


def named_method(name: str) -> Named:
    """Return the method of a name, or raise DriftproofError if there is none."""
    check_choice("method", name, METHODS)
    return METHODS[name]


def default_of(name: str) -> Schedule:
    """Return the default strength of a method's noise, or its default ρ if it draws no noise.

    >>> str(default_of("asam"))
    '0.5'
    """
    return make_method(name, noise="gaussian:0.1" if named_method(name).noise else None).schedules()[-1]


def make_method(
    name: str,
    *,
    noise: NoiseLike | None = None,
    strength: StrengthLike | None = None,
    rho: StrengthLike | None = None,
    **options: Any,
) -> Method:
    """Return a method by its name.

    Args:
        name: Key of :data:`METHODS`.
        noise: Noise that random methods draw.
        strength: Factor on the noise (default: that of the method).
        rho: Length of the ascent (default: that of the method).
        options: Further options of the method.

    Raises:
        DriftproofError: An unknown name; a noise, strength or rho that the method does not take; a noise that is
            missing.

    >>> make_method("sam", rho=0.1).describe()["strength"]
    '0.1'
    """
    named = named_method(name)
    if named.needs_noise and noise is None:
        raise DriftproofError(f"method {name} draws a device's noise: say which, such as pcm-nandakumar-2019@1y")
    given = {"noise": noise, "strength": strength, "rho": rho}
    given = {key: value for key, value in given.items() if value is not None}
    for key in given:
        if not getattr(named, key):
            others = ", ".join(other for other, takes in METHODS.items() if getattr(takes, key))
            raise DriftproofError(f"method {name} takes no {key}; {others} do")
    return named.make(**given, **options)


def make_known(kind: type[Method]) -> None:
    """Make a method known by its name; it takes noise, strength and rho if its constructor has such a keyword.

    Raises:
        TypeError: A class that is incomplete, or whose name another class has.
    """
    missing = [part for part in dir(kind) if getattr(getattr(kind, part, None), "__isabstractmethod__", False)]
    if not _takes_keywords(kind):
        missing.append("an __init__ that takes its settings by keyword")
    if missing:
        raise TypeError(f"method {kind.__name__} lacks {', '.join(missing)}")
    known = METHODS[kind.name].make if kind.name in METHODS else kind
    assert isinstance(known, type)
    # a notebook's cell that runs again, or one file under two names, defines the same class again
    same = known.__qualname__ == kind.__qualname__ and _origins(known) & _origins(kind)
    if not same:
        raise TypeError(f"method {_place(kind)}: {_place(known)} is called {kind.name!r} already")
    taken = kind.keywords()
    METHODS[kind.name] = Named(
        kind,
        noise="noise" in taken,
        strength="strength" in taken,
        rho="rho" in taken,
        needs_noise="noise" in taken and _needs(kind, "noise"),
    )


def _needs(kind: type, name: str) -> bool:
    """Whether a class cannot be made without a keyword."""
    signatures = (inspect.signature(vars(one)["__init__"]) for one in kind.__mro__ if "__init__" in vars(one))
    part = next((s.parameters[name] for s in signatures if name in s.parameters), None)
    return part is not None and part.default is part.empty


def _takes_keywords(kind: type[Method]) -> bool:
    """Whether every setting has a name: ``*more`` is fine where ``**options`` pass the named settings on."""
    kinds = {part.kind for part in list(inspect.signature(kind.__init__).parameters.values())[1:]}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        kinds -= {inspect.Parameter.VAR_POSITIONAL}
    return not kinds & {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL}


def _origins(kind: type) -> set[str]:
    """Return the module in which a class was defined, and its file."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    files = {inspect.unwrap(part).__code__.co_filename for part in vars(kind).values() if inspect.isfunction(part)}
    return files | {kind.__module__} | ({file} if file else set())


def _place(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
