"""Schedules as text, as the command line takes them and a log writes them."""

from __future__ import annotations

from dataclasses import fields
from typing import SupportsFloat, get_args

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.training.schedules import Adaptive, Constant, Ramp, Sampled, Schedule, Shape


def as_schedule(choice: float | Schedule | str) -> Schedule:
    """Return a schedule from a number, a schedule, or a text.

    Texts: ``2``; ``quadratic:to=2,start=0.5,delay=0.1``; ``sampled:0,2``; ``adaptive:to=2``.

    Raises:
        DriftproofError: neither of them; an unknown shape or key.

    >>> as_schedule("quadratic:to=2")
    Ramp(shape='quadratic', to=2.0, start=0.0, delay=0.0, until=1.0, steps=None)
    """
    if isinstance(choice, Schedule):
        return choice
    wanted = (
        f"strength {choice!r}: wanted a number, linear|quadratic|cosine:to=2 (also start=, delay=, until=), "
        "sampled:LOW,HIGH or adaptive:to=2"
    )
    if not isinstance(choice, str):
        if isinstance(choice, bool) or not isinstance(choice, SupportsFloat):
            raise DriftproofError(wanted)
        return Constant(float(choice))
    name, colon, rest = choice.partition(":")
    kinds = (*get_args(Shape), "adaptive", "sampled")
    if colon and name not in kinds:
        raise DriftproofError(f"strength {choice!r}{did_you_mean(name, kinds)}: there are {', '.join(kinds)}")
    try:
        if name == "sampled":
            low, high = rest.split(",")
            return Sampled(float(low), float(high))
        if name not in kinds:
            return Constant(float(choice))
        made: dict[str, float] = {}
        known = [key for key in _keys(Adaptive if name == "adaptive" else Ramp) if key != "shape"]
        if not rest:
            raise DriftproofError(wanted)
        for part in rest.split(","):
            key, _, value = part.partition("=")
            if key not in known or key in made:
                raise DriftproofError(
                    f"strength {choice!r}: {part!r}{did_you_mean(key, known)}; wanted {'=, '.join(known)}=, each once"
                )
            made[key] = int(value) if key in ("steps", "memory") else float(value)
        return Adaptive(**made) if name == "adaptive" else Ramp(shape=name, **made)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        if isinstance(error, DriftproofError):
            raise
        raise DriftproofError(wanted) from None


def _keys(kind: type[Ramp | Adaptive]) -> list[str]:
    return [part.name for part in fields(kind) if part.init]
