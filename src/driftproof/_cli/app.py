"""The ``driftproof`` command: its commands in the order in which a newcomer needs them."""

from __future__ import annotations

import errno
import signal
import sqlite3
import sys
import warnings
from collections.abc import Callable
from importlib import metadata

import typer

from driftproof._cli.compare import compare_command
from driftproof._cli.console import print_line
from driftproof._cli.convert import convert_command
from driftproof._cli.demo import demo_command
from driftproof._cli.doctor import doctor_command
from driftproof._cli.evaluate import evaluate_command
from driftproof._cli.merge import merge_command
from driftproof._cli.option_groups import add_command
from driftproof._cli.periphery import periphery_app
from driftproof._cli.presets import presets_app
from driftproof._cli.report import export_command, report_command
from driftproof._cli.sensitivity import sensitivity_command
from driftproof._cli.train import train_command
from driftproof._errors import DriftproofError, DriftproofWarning, ReadAs

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo_command,
    "doctor": doctor_command,
    "convert": convert_command,
    "evaluate": evaluate_command,
    "sensitivity": sensitivity_command,
    "train": train_command,
    "report": report_command,
    "compare": compare_command,
    "merge": merge_command,
    "export": export_command,
}

app = typer.Typer(
    name="driftproof",
    help="What will my trained network do on analog in-memory hardware, chip after chip, year after year?",
    epilog="Start with `driftproof demo`. `driftproof COMMAND --help` explains the options of a command.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    add_command(app, _name, _command)
app.add_typer(presets_app, name="presets")
app.add_typer(periphery_app, name="periphery")


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    if version:
        typer.echo(f"driftproof {metadata.version('driftproof')}")
        raise typer.Exit


def _show_warning(message: Warning | str, category: type[Warning], *place: object, **_: object) -> None:
    if issubclass(category, ReadAs):
        print_line(str(message), head="read: ", stderr=True)
    elif issubclass(category, DriftproofWarning):
        print_line(str(message), head="warning: ", style="yellow", stderr=True)


_STOPPED = (130, 128 + signal.SIGTERM)
"""Exit codes of a command that Ctrl-C (with typer's code) or SIGTERM has ended."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _check_encoding(words: list[str]) -> None:
    for word in words:
        if any(0xD800 <= ord(letter) < 0xE000 for letter in word):
            raise DriftproofError(f"{word!a} is not valid UTF-8; give the file another name")


def main() -> None:
    """Run the command line. A mistake of the user ends in a message and exit code 2, without a traceback."""
    warnings.showwarning = _show_warning
    try:
        _check_encoding(sys.argv[1:])
        app(prog_name="driftproof")  # also as python -m driftproof
    except SystemExit as stop:
        if stop.code in _STOPPED:
            print_line("stopped: finished cells are kept, and the same command continues from there", stderr=True)
        raise
    except KeyboardInterrupt:
        sys.exit(130)
    except (DriftproofError, sqlite3.DatabaseError, OSError) as error:
        message = str(error)
        if isinstance(error, sqlite3.DatabaseError):
            from driftproof._record.faults import advice

            todo = advice(error) or "the file is damaged: restore it from a copy, or choose another folder"
            message = f"a record file cannot be read ({error}): {todo}"
        elif isinstance(error, OSError):
            message = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
            if error.errno in _NO_ROOM:
                message += ". What was finished before is kept: make room, and give the same command again"
        print_line(message, head="error: ", style="bold red", stderr=True)
        sys.exit(2)
