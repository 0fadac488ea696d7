"""The page of all commands and options, from the command line's own descriptions."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from typer.main import get_command

from driftproof._cli.app import app


def pages() -> dict[str, bytes]:
    """Return the page of the command line: path on the site → content."""
    lines = ["# Command line\n", "`driftproof COMMAND --help` prints the same texts.\n"]
    for words, command in commands(get_command(app)):
        lines.append(f"## {' '.join(('driftproof', *words))}\n")
        lines += [f"{_words(command.help or '')}\n", _example(command.epilog or "")]
        options = [one for one in command.params if one.name != "help"]
        if options:
            lines += ["| argument or option | default | meaning |", "|---|---|---|"]
            lines += [
                f"| {_names(one)} | {_default(one)} | {_cell(getattr(one, 'help', '') or '')} |" for one in options
            ]
            lines.append("")
    return {"reference/command_line.md": "\n".join(lines).encode()}


def commands(group: Any, words: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return all commands of a group, those of its groups included, with the words that call them."""
    if not hasattr(group, "commands"):
        return [(words, group)]
    found = []
    for name, command in group.commands.items():
        if not command.hidden:
            found += commands(command, (*words, name))
    return found


def _words(text: str) -> str:
    """Return a command's description in paragraphs."""
    paragraphs = "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))
    return re.sub(r"([<>*])", r"\\\1", paragraphs)


def _example(text: str) -> str:
    """Return the example below a command's options as code."""
    example = text.replace("\b", "").partition("Example:\n")[2]
    return f"```sh\n{textwrap.dedent(example).strip()}\n```\n" if example else ""


def _names(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts] if option.param_type_name == "option" else [option.name.upper()]
    metavar = "" if getattr(option, "is_flag", False) or option.param_type_name != "option" else option.metavar or ""
    return f"`{', '.join(names)}{f' {metavar}' if metavar else ''}`".replace("|", "\\|")


def _default(option: Any) -> str:
    default = option.default
    if default is None or default is False or default in ((), "") or callable(default):
        return ""
    return f"`{default}`"


def _cell(text: str) -> str:
    return re.sub(r"([|<>*_\[\]])", r"\\\1", " ".join(text.split()))
