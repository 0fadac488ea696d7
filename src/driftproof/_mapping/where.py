"""The choice of layers that go on tiles: names, patterns, ``inner``, or a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from driftproof._errors import DriftproofError, did_you_mean

INNER = "inner"
type Where = str | Sequence[str] | Callable[[str, nn.Module], bool]
"""Layers that may go on tiles: names and patterns (``layer1.*``; ``!fc`` excludes a layer; ``inner`` is all layers but
the first and the last), or a function of a layer's name and module."""


def choose(
    where: Where | None, layers: Sequence[tuple[str, nn.Module]], others: Sequence[tuple[str, nn.Module]] = ()
) -> set[str]:
    """Return the names of the layers that are wanted on tiles.

    Args:
        where: The user's choice; None for all layers.
        layers: (name, module) of all layers that can be on tiles, in the order in which the network uses them.
        others: (name, module) of layers that multiply and cannot be on tiles. They may be named, too, and are returned
            if they are wanted.

    Raises:
        DriftproofError: If a pattern fits no layer.

    >>> layers = [(name, nn.Linear(2, 2)) for name in ("conv1", "conv2", "fc")]
    >>> sorted(choose("conv*", layers)), sorted(choose("!fc", layers)), sorted(choose("inner", layers))
    (['conv1', 'conv2'], ['conv1', 'conv2'], ['conv2'])
    """
    names = [name for name, _ in layers]
    also = {name for name, _ in others}
    if where is None:
        return {*names, *also}
    if callable(where):
        return {name for name, module in (*layers, *others) if where(name, module)}
    patterns = [part.strip() for part in where.split(",")] if isinstance(where, str) else list(where)
    positive = [p for p in patterns if not p.startswith("!")]
    chosen: set[str] = set() if positive else {*names, *also}
    for pattern in patterns:
        plain = pattern.removeprefix("!")
        if plain == INNER:
            fits = {*names[1:-1], *(also - set(names))}
        else:
            everything = {*names, *also}
            fits = {plain} & everything  # a name as it stands: tables[0] is no pattern then
            fits |= {name for name in everything if fnmatchcase(name, plain) or name.startswith(f"{plain}.")}
            if not fits:
                raise DriftproofError(
                    f"where: no layer is called {plain!r}{did_you_mean(plain, names)}; there are {', '.join(names)}"
                )
        chosen = chosen - fits if pattern.startswith("!") else chosen | fits
    return chosen
