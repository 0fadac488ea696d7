"""Methods by the names that the command line takes."""

from __future__ import annotations

from typing import Any

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.training.methods.known import METHODS, Named
from driftproof.training.methods.method import Method
from driftproof.training.noise import NoiseLike
from driftproof.training.schedules import Schedule

__all__ = ["METHODS", "Named", "default_of", "make_method", "named_method"]


def named_method(name: str) -> Named:
    """Return what a method takes, or raise DriftproofError if there is none of this name."""
    if name not in METHODS:
        raise DriftproofError(f"method {name!r}{did_you_mean(name, METHODS)}: there are {', '.join(METHODS)}")
    return METHODS[name]


def default_of(name: str) -> Schedule:
    """Return the strength of a method's noise, or its ρ, unless said.

    >>> str(default_of("asam"))
    '0.5'
    """
    return make_method(name, noise="gaussian:0.1" if named_method(name).noise else None).schedules()[-1]


def make_method(
    name: str,
    *,
    noise: NoiseLike | None = None,
    strength: float | Schedule | str | None = None,
    rho: float | Schedule | str | None = None,
    **options: Any,
) -> Method:
    """Return a method by its name.

    Args:
        name: a key of :data:`METHODS`.
        noise: what random methods draw.
        strength: of the noise.
        rho: of the ascent.
        options: of the method.

    Raises:
        DriftproofError: an unknown name; a noise, strength or rho that the method does not take, or lacks.

    >>> make_method("sam", rho=0.1).describe()["strength"]
    '0.1'
    """
    named = named_method(name)
    if named.noise and noise is None:
        raise DriftproofError(f"method {name} draws a device's noise: say which, such as pcm-nandakumar-2019@1y")
    given = {"noise": noise, "strength": strength, "rho": rho}
    given = {key: value for key, value in given.items() if value is not None}
    for key in given:
        if not getattr(named, key):
            others = ", ".join(other for other, takes in METHODS.items() if getattr(takes, key))
            raise DriftproofError(f"method {name} takes no {key}; {others} do")
    return named.make(**given, **options)
