"""Settings that change nothing in what is taken over: found by trying. aihwkit is not imported.

Whoever changes a setting wants to know what became of it. A list of known settings would miss those of another version,
so every setting that differs from aihwkit's default is put back on a copy of the configuration. If that makes no
difference to what is taken over or listed, the setting itself is listed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from operator import attrgetter
from typing import Any

from driftproof.periphery._beyond import NOTHING, attributes, default_of, made, shown


def without_effect(config: Any, outcome: Callable[[Any], object], named: Collection[str]) -> list[str]:
    """Return one text for each setting that differs from aihwkit's default and has no effect on the outcome.

    Args:
        config: aihwkit's configuration; it is not changed.
        outcome: Function of a configuration that returns all that is taken over or listed, to be compared.
        named: Names of settings that are listed already, such as ``device`` with all that it has.
    """
    left, before = [], outcome(config)
    for path, value, default in _changed(config, made(type(config)), ""):
        if any(path == name or path.startswith(f"{name}.") for name in named):
            continue
        if default is NOTHING:
            left.append(f"{path} = {shown(value)}: aihwkit has no such setting")
            continue
        other = copy.deepcopy(config)
        owner, _, name = path.rpartition(".")
        setattr(attrgetter(owner)(other) if owner else other, name, copy.deepcopy(default))
        if outcome(other) == before:
            left.append(f"{path} = {shown(value)}: it has no counterpart here, or no effect beside the other settings")
    return left


def _changed(group: Any, usual: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, value and default of every setting of a group, and of the groups in it, that is not the default.

    The default is that of aihwkit's first class that has the setting: presets change defaults.
    """
    for name, value in attributes(group):
        path, mine = f"{prefix}{name}", default_of(type(group), name)
        if mine is NOTHING:  # no dataclass, such as a noise model
            mine = getattr(usual, name, NOTHING)
        same_kind = type(mine) is type(value)
        if isinstance(value, type):  # the class of the tiles belongs to the class of the configuration
            mine = getattr(usual, name, mine)
        if attributes(value):
            yield from _changed(value, mine if same_kind else made(type(value)), f"{path}.")
        if not (same_kind and attributes(value)) and shown(value) != shown(mine):
            yield path, value, mine
