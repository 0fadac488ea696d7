"""Tables for the terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from driftproof.record import Quantity
from driftproof.times import format_time

_ENDS = ("low", "high")


def plain_table(title: str) -> Table:
    """Return a table that is narrow enough for a terminal of 80 columns."""
    return Table(title=escape(title), title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def summary_table(summary: pd.DataFrame, quantity: Quantity, title: str) -> Table:
    """Return mean, 95 % interval, worst chip, and by how much the mean is worse than digital, per preset and time.

    Args:
        summary: as :func:`driftproof.reporting.summarise` returns it.
        quantity: what its values are.
        title: above the table.
    """
    table = plain_table(title)
    table.add_column("preset", overflow="fold")
    mean = "mean %" if quantity.percent else "mean"
    for heading in ("time", mean, "95 % interval", "worst", "drop" if quantity.higher_is_better else "rise", "chips"):
        table.add_column(heading, justify="right", no_wrap=True)
    several = summary["config_id"].nunique() > 1
    outside = False
    for _, group in summary.groupby(["config_id", "preset"], sort=False):
        rows: list[dict[str, Any]] = group.to_dict("records")  # type: ignore[assignment]
        for place, row in enumerate(rows):
            single = row["chips"] == 0
            outside |= not row["in_validity"]
            where = f" {row['label'] or row['backend']}/{row['compensation']}" if several else ""
            table.add_row(
                escape(f"{row['preset']}{where}") if place == 0 else "",
                "" if single else format_time(row["t_s"]) + ("" if row["in_validity"] else " *"),
                quantity.number(row["mean"]),
                "" if pd.isna(row["ci95_low"]) else " - ".join(quantity.number(row[f"ci95_{end}"]) for end in _ENDS),
                "" if pd.isna(row["worst"]) else quantity.number(row["worst"]),
                "" if row["preset"] == "digital" else quantity.difference(row["drop"], row["mean"]),
                "" if single else str(row["chips"]),
            )
        table.add_section()
    if outside:
        table.caption = "* outside the device's range of validity"
    return table
