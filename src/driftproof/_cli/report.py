"""``driftproof report`` and ``export``: records as a page, or as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftproof._cli.console import print_line


def report_command(records: list[Path], *, out: Path, keep: float | None = None, title: str = "") -> None:
    """Write one report (index.html) of one or several records.

    Args:
        records (FOLDER): Folders that `driftproof evaluate --out`, `sensitivity --out` or `merge --out` wrote.
        out (FOLDER): Folder for the report.
        keep (VALUE): Threshold of the metric (for accuracies in percent, such as 90). The report states how long the
            chips keep it. Default: the accuracy of the digital network minus one point, rounded down to a whole
            percent; for other metrics, a value 10 % worse than that of the digital network.
        title (TEXT): Title of the report's page. Default: the names of the networks and of the data.

    Example:
        driftproof report my-report another-report --out both --keep 90
    """
    from driftproof._reporting import report

    print_line(f"report: {report(records, out, keep=keep, title=title)}")


def export_command(
    record: Path,
    *,
    form: Annotated[str, typer.Option("--format")] = "csv",
    out: Path | None = None,
    leave_out_damaged: bool = False,
) -> None:
    """Write every cell of a record to a file: a table (csv, parquet), or everything that the record holds (json).

    A cell is one chip of one device at one time, with its value of the metric.

    Args:
        record (FOLDER): Folder that `driftproof evaluate --out`, `sensitivity --out` or `merge --out` wrote.
        form: Format of the file: csv, parquet or json.
        out (FILE): File to write. Default: cells.csv, cells.parquet or cells.json in the folder of the record.
        leave_out_damaged: Leave damaged rows out of the export, with a warning that counts them. Default: a damaged
            record is refused.

    Example:
        driftproof export my-report --format json
    """
    from driftproof._record import Record, export

    with Record.open(record, leave_out_damaged=leave_out_damaged) as opened:
        folder = record if record.is_dir() else record.parent
        path = export(opened, form, out or folder / f"cells.{form}")
    print_line(f"{form}: {path}")
