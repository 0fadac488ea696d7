"""``driftproof report`` and ``export``: records as a page, or as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from driftproof._cli.console import print_line
from driftproof._errors import DriftproofError

STDOUT = Path("-")


def report_command(
    records: list[Path], *, out: Path, keep: str | None = None, title: str = "", width: float | None = None
) -> None:
    """Write one report (index.html) of one or several records.

    Args:
        records (FOLDER): Folders that `driftproof evaluate --out`, `sensitivity --out` or `merge --out` wrote.
        out (FOLDER): Folder for the report.
        keep (VALUE): Threshold of the metric (for accuracies in percent, such as 90; 1 % and below need the sign, as in
            0.5%). The report states how long the chips keep it. Default: the accuracy of the digital network minus one
            point, rounded down to a whole percent; for other metrics, a value 10 % worse than that of the digital
            network.
        title (TEXT): Title of the report's page. Default: the names of the networks, their labels, and the data.
        width (INCHES): Width of the figures for papers (PDF, SVG, PNG). Default: 3.5, one column of a journal, and
            7.16, its page, where there are two columns of panels.

    Example:
        driftproof report my-report another-report --out both --keep 90
    """
    from driftproof._reporting import report

    print_line(f"report: {report(records, out, keep=keep, title=title, width=width)}")


def export_command(
    records: list[Path],
    *,
    form: Annotated[str, typer.Option("--format")] = "csv",
    table: str | None = None,
    time: str | None = None,
    against: str | None = None,
    out: Path | None = None,
    leave_out_damaged: bool = False,
) -> None:
    """Write a table of records to a file: every cell, the means, devices and configurations, or paired differences.

    A cell is one chip of one device at one time, with its value of the metric.

    Args:
        records (FOLDER): Folders that `driftproof evaluate --out`, `sensitivity --out` or `merge --out` wrote.
        form: Format of the file: csv, parquet or json for programs; latex (for the package booktabs) or markdown for
            papers and discussions.
        table: Which table: cells; summary (the means with their 95 % intervals, a row per device and a column per time
            where it is for reading); pivot (devices as rows and configurations as columns, at one time); or comparisons
            (the paired differences that `driftproof compare` prints). Default: summary for latex and markdown, else
            cells; the cells of one record as json come with everything else that it holds.
        time: Time of the pivot, such as 1d. Default: the last time that all devices and configurations have.
        against (NAME): Name of the configuration, or a part of it that no other has, or name of the preset that
            differences are taken against. Default: the first.
        out (FILE): File to write, or - for the standard output. Default: a file named after the table, such as
            cells.csv or summary.tex, in the folder of the record.
        leave_out_damaged: Leave damaged rows out of the export, with a warning that counts them. Default: a damaged
            record is refused.

    Example:
        driftproof export my-report --format latex --table pivot --out table.tex
    """
    from contextlib import ExitStack

    from driftproof._record import Record
    from driftproof._reporting.export_tables import export, exported, file_name

    if out is None and len(records) > 1:
        raise DriftproofError("several records: give the table an --out FILE, or --out - for the standard output")
    with ExitStack() as stack:
        opened = [stack.enter_context(Record.open(path, leave_out_damaged=leave_out_damaged)) for path in records]
        asked: dict[str, Any] = {"table": table, "time": time, "against": against}
        if out == STDOUT:
            sys.stdout.buffer.write(exported(opened, form, **asked))
            sys.stdout.buffer.flush()
            return
        folder = records[0] if records[0].is_dir() else records[0].parent
        path = export(opened, form, out or folder / file_name(form, table), **asked)
    print_line(f"{form}: {path}")
