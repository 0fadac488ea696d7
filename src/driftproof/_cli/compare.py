"""``driftproof compare``: paired differences between networks, devices, compensations or peripheries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftproof._cli.console import print_line, print_table


def compare_command(
    records: list[Path],
    *,
    against: str | None = None,
    margin: float | None = None,
    on: Annotated[str | None, typer.Option("--on")] = None,
    out: Path | None = None,
) -> None:
    """Compare networks, devices, compensations or peripheries on the same chips and samples.

    Differences are taken chip by chip and sample by sample. Their p-values are adjusted for the number of rows (Holm);
    an interval is that of one difference alone. With two records, each preset of the second is compared with the same
    preset of the first. A record of several configurations (peripheries, compensations, ...) compares them with its
    first one on each preset, and a record of one configuration its presets with the first of them.

    Args:
        records (FOLDER): Folders that `driftproof evaluate --out`, `sensitivity --out` or `merge --out` wrote.
        against (NAME): Name of the configuration, as the table shows it, or of the preset that all others are compared
            with. A part of the name is enough if no other has it, such as standard or 6-bit. Default: the first.
        margin (VALUE): Margin of equivalence in the unit of the metric (for accuracies in points). The table then tells
            whether each difference is closer to 0 than that, by two one-sided tests.
        on: Samples for which p-values hold: these (the samples of the records) or new (all inputs of their kind).
            Default: new, where the outcome of every sample is in the records.
        out (FILE): CSV file for the table, with the intervals for these and for new samples. Default: no file.

    Example:
        driftproof compare plain-report robust-report --margin 0.5
        driftproof compare converters-report --against standard
    """
    from driftproof._cli.tables import comparison_groups
    from driftproof._files import write_csv
    from driftproof._reporting import compare
    from driftproof._reporting.gather import gather

    table = compare(records, against=against, margin=margin, on=on)  # type: ignore[arg-type]  # it checks the word
    print_table(comparison_groups(table, gather(records).quantity, margin))
    if out is not None:
        print_line(f"csv: {write_csv(out, table)}")
