"""Hopfield networks by name: ``hopfield-dense:64-128-10,iterations=15`` and ``dchn:widths=16-32,image=1x32``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from driftproof._errors import DriftproofError, did_you_mean
from driftproof._hopfield import HopfieldNetwork, dchn, hopfield_dense


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("a whole number")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number") from None


def _sizes(text: str) -> list[int]:
    parts = text.split("-")
    if not all(part.isdecimal() for part in parts):
        raise ValueError("whole numbers with - between them, such as 64-128-10")
    return [int(part) for part in parts]


def _image(text: str) -> tuple[int, int]:
    channels, _, size = text.partition("x")
    if not (channels.isdecimal() and size.isdecimal()):
        raise ValueError("CHANNELSxSIZE, such as 1x32")
    return int(channels), int(size)


def _gains(text: str) -> float | list[float]:
    try:
        return float(text)  # 1e-1 is one number
    except ValueError:
        pass
    try:
        return [float(part) for part in text.split("-")]
    except ValueError:
        raise ValueError("a number, or one for each edge with - between them, such as 0.4-0.7-0.6") from None


type Read = Callable[[str], Any]
"""A function that reads a value from its text, or raises ValueError with what is wanted."""
SETTINGS: dict[str, Read] = {
    "gain": _gains,
    "iterations": _whole,
    "tolerance": _number,
    "order": str,
    "backpropagated": _whole,
}
"""Keys of all Hopfield networks, and how their texts are read."""


@dataclass(frozen=True)
class _Kind:
    """A kind of network: its builder, the key that needs no name, and all keys."""

    build: Callable[..., HopfieldNetwork]
    first: str
    keys: Mapping[str, Read]


_SIZES: dict[str, Read] = {"sizes": _sizes}
_WIDTHS: dict[str, Read] = {"widths": _sizes, "image": _image, "classes": _whole, "pool": str}
KINDS = {
    "hopfield-dense": _Kind(hopfield_dense, "sizes", _SIZES | SETTINGS),
    "dchn": _Kind(dchn, "widths", _WIDTHS | SETTINGS),
}


def hopfield_named(spec: str) -> HopfieldNetwork:
    """Return an untrained Hopfield network by name.

    Args:
        spec: ``hopfield-dense`` or ``dchn``, and after a colon settings as KEY=VALUE, separated by commas. The sizes
            (or widths) need no key if they come first.

    Raises:
        DriftproofError: An unknown key, a key that comes twice, or a value of another form.

    >>> hopfield_named("hopfield-dense:64-128-10,iterations=15").shapes
    [(128,), (10,)]
    >>> hopfield_named("dchn:widths=4-8,image=1x8,classes=3").shapes
    [(4, 4, 4), (8, 2, 2), (3,)]
    """
    name, colon, rest = spec.partition(":")
    kind = KINDS[name]
    given: dict[str, Any] = {}
    for place, part in enumerate(rest.split(",") if colon else []):
        key, equals, text = part.partition("=")
        if not equals and place == 0:
            key, text = kind.first, part
        elif key not in kind.keys or not equals or key in given:
            raise DriftproofError(
                f"model {spec!r}: wanted KEY=VALUE with each key once, got {part!r}{did_you_mean(key, kind.keys)}; the "
                f"keys are {', '.join(kind.keys)}"
            )
        try:
            given[key] = kind.keys[key](text)
        except ValueError as error:
            raise DriftproofError(f"model {spec!r}: {key}: wanted {error}, got {text!r}") from None
    try:
        return kind.build(**given)
    except DriftproofError as error:
        raise DriftproofError(f"model {spec!r}: {error}") from error
