"""Tables for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from driftproof._record import Quantity
from driftproof.times import format_time

OUTSIDE = "* outside the device's range of validity"


def plain_table(headings: Iterable[str], rows: Iterable[Sequence[str] | None], *, words: int = 1) -> Table:
    """Return a table without vertical lines.

    Args:
        headings: Headings of the columns.
        rows: Texts of the cells, row by row; None leaves a blank line.
        words: Number of columns, from the left, that hold words and may be broken. The others hold numbers.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, heading in enumerate(headings):
        if place < words:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*(Text(cell) for cell in row))
    return table


def broken(name: str, width: int) -> str:
    """Return a name in lines of at most ``width`` characters, broken after hyphens where that is possible.

    >>> broken("reram-cmo-2pct-digital-reference", 24).splitlines()
    ['reram-cmo-2pct-digital-', 'reference']
    """
    return "\n".join(textwrap.wrap(name, width, break_long_words=False)) or name


def titled(title: str, table: Table, *notes: str) -> Group:
    """Return a table between a title and notes; rich itself would break them at the width of the table."""
    return Group(Text(title, style="bold"), table, *(Text(note) for note in notes if note), "")


def summary_table(summary: pd.DataFrame, quantity: Quantity, title: str, *notes: str) -> Group:
    """Return mean, 95 % interval, worst chip, and how much worse than digital the mean is, per preset and time.

    Args:
        summary: Table that :func:`driftproof._reporting.summarise` returned.
        quantity: The metric of the values.
        title: Title of the table.
        notes: Further lines below the table.
    """
    several, rows = summary["config_id"].nunique() > 1, []
    for _, group in summary.groupby(["config_id", "preset"], sort=False):
        measured: list[dict[str, Any]] = group.to_dict("records")  # type: ignore[assignment]
        first = measured[0]
        name = first["preset"]
        if several:
            name += f" {first['label'] or first['backend']}/{first['compensation']}"
        rows += [[broken(name, 26) if row is first else "", *_cells(row, quantity)] for row in measured] + [None]
    mean, drop = "mean %" if quantity.percent else "mean", "drop" if quantity.higher_is_better else "rise"
    name = "preset label/compensation" if several else "preset"
    table = plain_table((name, "time", mean, "95 % interval", "worst", drop, "chips"), rows)
    note = f"mean, 95 % interval: over chips; worst: worst chip; {drop}: compared with digital"
    return titled(title, table, note, "" if summary["in_validity"].all() else OUTSIDE, *notes)


def _cells(row: dict[str, Any], quantity: Quantity) -> list[str]:
    """Return the cells of a summary's row after its name."""
    without_chips = row["chips"] == 0
    ends = (row["ci95_low"], row["ci95_high"])
    return [
        "" if without_chips else format_time(row["t_s"]) + ("" if row["in_validity"] else " *"),
        quantity.number(row["mean"]),
        "" if pd.isna(ends[0]) else " - ".join(quantity.number(end) for end in ends),
        "" if pd.isna(row["worst"]) else quantity.number(row["worst"]),
        "" if row["preset"] == "digital" else quantity.difference(row["drop"], row["mean"]),
        "" if without_chips else str(row["chips"]),
    ]
