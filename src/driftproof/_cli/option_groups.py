"""Commands from plain functions: typer's arguments, options and help texts are read from signatures and docstrings."""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import GenericAlias, MappingProxyType, NoneType
from typing import Annotated, Any, TypeGuard, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo

from driftproof._cli.command import Command
from driftproof._cli.panels import ORDER, SHORT

SEVERAL = "Repeat the option to compare several."


def add_command(app: typer.Typer, name: str, function: Callable[..., None]) -> None:
    """Add a function to a typer application.

    Positional parameters of the function are arguments of the command, keyword-only parameters are options. A parameter
    whose type is a dataclass is an option group: its fields become options, and the function gets an instance of it.
    Options of a group stand in the panel of its class variable ``panel``, unless an option names another one.

    If the type is ``list[GROUP]``, the options that the group names in its class variable ``axes`` can be repeated, and
    the function gets one instance for each combination of their values.

    The help texts are those of the docstrings of functions and groups. The text before ``Args:`` describes the command,
    ``name (METAVAR): text`` in ``Args:`` or ``Attributes:`` an option, and ``Example:`` is shown below the options. If
    both the function and a group describe an option, the text of the function counts.

    Args:
        app: The application.
        name: Name of the command.
        function: The function that the command calls.
    """
    sections = _sections(function)
    example = f"Example:\n{sections['Example'].rstrip()}" if "Example" in sections else None
    app.command(name, cls=Command, help=_paragraphs(sections[""]), epilog=example)(with_groups(function))


def with_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function for typer in which every option group is replaced by the options of the group.

    >>> from dataclasses import dataclass
    >>> @dataclass(kw_only=True)
    ... class Group:
    ...     seed: int = 0
    >>> @with_groups
    ... def command(name: str, group: Group) -> None:
    ...     print(name, group.seed)
    >>> list(inspect.signature(command).parameters)
    ['name', 'seed']
    >>> command(name="x", seed=3)
    x 3
    """
    groups = {name: kind for name, kind in get_type_hints(function).items() if _is_group(kind) or _axes_of(kind)}

    @functools.wraps(function)
    def wrapper(**given: Any) -> None:
        made = {}
        for name, kind in groups.items():
            (group,) = get_args(kind) or (kind,)
            values = {field.name: given.pop(field.name) for field in fields(group)}
            made[name] = _combined(group, values) if kind is not group else group(**values)
        function(**made, **given)

    # typer reads both, and functools.wraps would point it at the function itself
    del wrapper.__wrapped__
    parameters = sorted(_parameters(function), key=_place)
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def _place(parameter: inspect.Parameter) -> tuple[int, bool]:
    """Return the place of a parameter on the help page: its panel, and whether it can be left out."""
    info = getattr(parameter.annotation, "__metadata__", (None,))[0]
    panel = getattr(info, "rich_help_panel", None)
    return ORDER.index(panel) if panel in ORDER else -1, parameter.default is not parameter.empty


def _combined(group: type[Any], values: dict[str, Any]) -> list[Any]:
    """Return an instance of a group for each combination of the values of its axes."""
    defaults = {field.name: field.default for field in fields(group)}
    axes = {name: values[name] or [defaults[name]] for name in group.axes}
    return [group(**values | dict(zip(axes, chosen, strict=True))) for chosen in itertools.product(*axes.values())]


def _parameters(
    owner: Callable[..., Any],
    over: Mapping[str, tuple[str | None, str]] = MappingProxyType({}),
    axes: tuple[str, ...] = (),
) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a function or an option group as typer reads them.

    Args:
        owner: The function or group.
        over: Metavars and texts that replace those of the owner's docstring.
        axes: Names of the options that can be repeated.
    """
    hints, texts = get_type_hints(owner, include_extras=True), _texts(owner) | dict(over)
    for parameter in inspect.signature(owner).parameters.values():
        kind = hints[parameter.name]
        if _is_group(kind):
            yield from _parameters(kind, texts)
        elif _axes_of(kind):
            yield from _parameters(get_args(kind)[0], texts, _axes_of(kind))
        elif kind is typer.Context:
            yield parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=kind)
        else:
            info = typer.Argument() if parameter.kind is not parameter.KEYWORD_ONLY else typer.Option()
            if get_origin(kind) is Annotated:
                kind, info = map(copy.copy, get_args(kind))  # several groups may share it
            info.metavar, info.help = texts.get(parameter.name, (None, None))
            info.rich_help_panel = info.rich_help_panel or getattr(owner, "panel", None)
            if parameter.name in axes:
                kind, parameter, info.help = _repeated(kind), _listed(parameter), f"{info.help} {SEVERAL}"
                info.metavar = info.metavar or parameter.name.upper()
            if isinstance(info, OptionInfo):
                _name(info, parameter.name)
            yield parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=Annotated[kind, info])


def _name(info: OptionInfo, name: str) -> None:
    """Give an option its flags: those that it names, else that of its parameter; and a short one."""
    named = [part for part in (info.default, *(info.param_decls or ())) if isinstance(part, str)]
    first, *others = named or [f"--{name.replace('_', '-')}"]
    info.default, info.param_decls = first, (*others, *filter(None, [SHORT.get(name)]))  # as typer.Option keeps them


def _repeated(kind: Any) -> Any:
    """Return the type of a list of values of a type; None stays what is not given."""
    kinds = [part for part in get_args(kind) if part is not NoneType]
    listed = GenericAlias(list, tuple(kinds) or (kind,))
    return listed | None if kinds else listed


def _listed(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter whose default, if there is one, is a list with it."""
    return parameter if parameter.default is None else parameter.replace(default=[parameter.default])


def _is_group(kind: Any) -> TypeGuard[type[Any]]:
    return isinstance(kind, type) and is_dataclass(kind)


def _axes_of(kind: Any) -> tuple[str, ...]:
    """Return the options of a ``list[GROUP]`` that can be repeated; none for other types."""
    repeated = get_origin(kind) is list and _is_group(get_args(kind)[0])
    return tuple(get_args(kind)[0].axes) if repeated else ()


def _sections(documented: Callable[..., Any]) -> dict[str, str]:
    """Return the sections of a docstring by their headings; the text before the first heading has the heading ''."""
    text, *rest = re.split(r"^(\w+):\n", inspect.getdoc(documented) or "", flags=re.MULTILINE)
    return {"": text, **dict(zip(rest[::2], rest[1::2], strict=True))}


def _texts(documented: Callable[..., Any]) -> dict[str, tuple[str | None, str]]:
    """Return metavar and text of every parameter that a docstring describes."""
    sections = _sections(documented)
    entries = re.findall(
        r"^    (\w+)(?: \((.+?)\))?: (.+(?:\n {5,}.+)*)",
        sections.get("Args", "") + sections.get("Attributes", ""),
        flags=re.MULTILINE,
    )
    return {name: (metavar or None, _paragraphs(text)) for name, metavar, text in entries}


def _paragraphs(text: str) -> str:
    """Return a text with one line per paragraph, which typer breaks at the width of the terminal."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
