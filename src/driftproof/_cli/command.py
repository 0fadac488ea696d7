"""A command of the terminal that refuses a value it would forget, and takes options from a file."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from driftproof._cli.run_file import options_in, tell_overridden
from driftproof._errors import DriftproofError


class Command(TyperCommand):
    """A command in which an option with one value is given at most once, with ``--config`` as another source."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a command.

        Raises:
            DriftproofError: An option with one value is given several times; the file of --config has an unknown option
                or a value that the option does not take.
        """
        if ctx.resilient_parsing:  # the shell completes a word
            return super().parse_args(ctx, args)
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for option, count in Counter(order).items():
            if count > 1 and isinstance(option, TyperOption) and not (option.multiple or option.is_flag):
                raise DriftproofError(_twice(ctx, option, count))
        path = given.get("config")
        if path is None or not any(parameter.name == "config" for parameter in self.params):
            return super().parse_args(ctx, args)
        ctx.default_map = options_in(path, self)
        rest = super().parse_args(ctx, args)
        tell_overridden(path, ctx)
        return rest


def _twice(ctx: Any, option: TyperOption, count: int) -> str:
    flag = max(option.opts, key=len)
    return f"{flag} was given {count} times, and {ctx.info_name} takes one value of it: give it once"


def given_options(ctx: typer.Context) -> set[str]:
    """Return the names of the options that the command line gives, or a file of options with another value than theirs.

    A file that a run has written holds the values of all its options, so that a default in it is no wish.
    """
    named = set()
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(str(parameter.name))
        where = "" if source is None else source.name
        told = where == "DEFAULT_MAP" and ctx.params[str(parameter.name)] != parameter.default
        if where == "COMMANDLINE" or told:
            named.add(str(parameter.name))
    return named
