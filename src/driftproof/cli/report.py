"""``driftproof report``, ``merge`` and ``export``: records → a page, records → one record, records → files."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from driftproof.cli.console import lines


def report_command(
    records: Annotated[list[Path], typer.Argument(help="Folders that `evaluate --out` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the report.")],
    keep: Annotated[
        float | None,
        typer.Option("--keep", help="The value (accuracies in percent) whose lifetime the first sentence tells."),
    ] = None,
) -> None:
    """Write one report out of one or several records."""
    from driftproof.reporting import report

    page = report(records, out, keep=keep)
    lines().print(f"report: {escape(str(page))}")


def merge_command(
    records: Annotated[list[Path], typer.Argument(help="Folders of records about the same network, data and metric.")],
    out: Annotated[Path, typer.Option(help="Folder for the merged record; a record that is there is added to.")],
) -> None:
    """Put the cells of several records into one, such as those of several machines."""
    from driftproof.record import Record, check_mergeable, merge_all

    with contextlib.ExitStack() as opened:
        others = [opened.enter_context(Record.open(folder)) for folder in records]
        check_mergeable(others)  # before a folder is made
        into = opened.enter_context(Record.create_or_open(out))
        for folder, changed in zip(records, merge_all(into, others), strict=True):
            lines().print(f"{escape(str(folder))}: {changed:,} cells added or extended")
        lines().print(f"record: {escape(into.where)}")


def export_command(
    record: Annotated[Path, typer.Argument(help="A folder that `evaluate --out` wrote.")],
    form: Annotated[str, typer.Option("--format", help="csv, parquet or json.")] = "csv",
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; by default cells.FORMAT in the folder.")
    ] = None,
) -> None:
    """Write every cell of a record, with how it came about (json) or as a table (csv, parquet)."""
    from driftproof.record import Record, export

    with Record.open(record) as opened:
        folder = record if record.is_dir() else record.parent
        path = export(opened, form, out or folder / f"cells.{form}")
    lines().print(f"{form}: {escape(str(path))}")
