"""The ``driftproof`` command: its commands in the order in which a newcomer needs them."""

from __future__ import annotations

import sqlite3
import sys
import warnings

import typer
from rich.markup import escape

from driftproof.cli.console import errors
from driftproof.cli.convert import convert_command
from driftproof.cli.demo import demo_command
from driftproof.cli.doctor import doctor_command
from driftproof.cli.evaluate import evaluate_command
from driftproof.cli.presets import presets_app
from driftproof.cli.report import export_command, merge_command, report_command
from driftproof.cli.sensitivity import sensitivity_command
from driftproof.cli.train import train_command
from driftproof.errors import DriftproofError, DriftproofWarning

app = typer.Typer(
    name="driftproof",
    help="What will my trained network do on analog in-memory hardware, chip after chip, year after year?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo_command)
app.command("doctor")(doctor_command)
app.add_typer(presets_app, name="presets")
app.command("convert")(convert_command)
app.command("evaluate")(evaluate_command)
app.command("sensitivity")(sensitivity_command)
app.command("train")(train_command)
app.command("report")(report_command)
app.command("merge")(merge_command)
app.command("export")(export_command)

_errors = errors()


def _show_warning(message: Warning | str, category: type[Warning], *place: object, **_: object) -> None:
    if issubclass(category, DriftproofWarning):
        _errors.print(f"[yellow]warning:[/yellow] {escape(str(message))}")


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        from importlib import metadata

        typer.echo(f"driftproof {metadata.version('driftproof')}")
        raise typer.Exit


def main() -> None:
    """Run the command line; what a user can mend ends in a message and exit code 2, without a traceback."""
    warnings.showwarning = _show_warning
    try:
        app()
    except SystemExit as stop:
        if stop.code == 130:  # what typer makes of Ctrl-C, wherever it came
            _errors.print("stopped; finished cells are kept, and the same command goes on from there")
        raise
    except DriftproofError as error:
        _errors.print(f"[bold red]error:[/bold red] {escape(str(error))}")
        sys.exit(2)
    except sqlite3.DatabaseError as error:
        _errors.print(
            f"[bold red]error:[/bold red] a record file is damaged ({escape(str(error))}): "
            "restore it from a copy, or choose another folder"
        )
        sys.exit(2)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        _errors.print(f"[bold red]error:[/bold red] {escape(f'{error.strerror or error}{place}')}")
        sys.exit(2)
