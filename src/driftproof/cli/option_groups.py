"""Options that several commands have, each written once: a command takes a group as one parameter."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for typer in which every option group is replaced by the group's options.

    A group is a dataclass whose fields are annotated as typer's parameters are. The command gets an instance of it.

    >>> from dataclasses import dataclass
    >>> @dataclass(kw_only=True)
    ... class Group:
    ...     seed: int = 0
    >>> @with_groups
    ... def command(name: str, group: Group) -> None:
    ...     print(name, group.seed)
    >>> inspect.signature(command)
    <Signature (*, name: str, seed: int = 0) -> None>
    >>> command(name="x", seed=3)
    x 3
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {}
    expanded: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if not (isinstance(kind, type) and is_dataclass(kind)):
            expanded.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = kind
        inner = get_type_hints(kind, include_extras=True)
        expanded += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is MISSING else field.default,
                annotation=inner[field.name],
            )
            for field in fields(kind)
        ]

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**made, **given)

    # typer reads both, and functools.wraps would point it at the command itself
    del wrapper.__wrapped__
    wrapper.__signature__ = inspect.Signature(expanded, return_annotation=None)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in expanded} | {"return": None}
    return wrapper
