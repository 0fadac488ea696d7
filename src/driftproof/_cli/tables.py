"""Tables for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from driftproof._record import Quantity
from driftproof._reporting.page_tables import alone_note, p_text
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
    for place, heading in enumerate(map(Text, headings)):  # a name in square brackets is no markup
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


def comparison_groups(table: pd.DataFrame, quantity: Quantity, margin: float | None) -> Group:
    """Return the differences of two deployments over time, one block per pair.

    Args:
        table: Table that :func:`driftproof._reporting.compare` returned.
        quantity: The metric of the values.
        margin: Margin of equivalence; None if it was not asked for.
    """
    rows: list[Sequence[str] | None] = []
    for _, group in table.groupby(["a", "b"], sort=False):
        for place, row in enumerate(group.to_dict("records")):
            kind = "ci95" if pd.isna(row["ci95_new_low"]) else "ci95_new"
            ends = [quantity.difference(row[f"{kind}_{end}"], row["mean_a"]) for end in ("low", "high")]
            cells = [
                f"{row['b']} - {row['a']}" if not place else "",
                format_time(row["t_s"]) + ("" if row["in_validity"] else " *"),
                quantity.difference(row["difference"], row["mean_a"]),
                "" if pd.isna(row[f"{kind}_low"]) else f"{ends[0]} to {ends[1]}",
                p_text(row["p_holm"]),
            ]
            rows.append(cells if margin is None else [*cells, p_text(row["p_equivalent_holm"])])
        rows.append(None)
    by_sample = bool(table["ci95_new_low"].notna().all())
    headings = ["compared", "time", "difference", "95 % interval", "p", *(["p equal"] if margin is not None else [])]
    holds = "new samples and other chips" if by_sample else "other chips, on these samples"
    counts = sorted(set(table["chips"]))
    chips = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return titled(
        f"{quantity.title} on the same {chips} chips and {int(table['n_samples'].min()):,} samples",
        plain_table(headings, rows),
        f"95 % interval: of each difference alone, for {holds}",
        f"p: adjusted for the number of rows, {len(table)} (Holm); below 0.05 the two differ",
        alone_note(table),
        "" if margin is None else f"p equal: adjusted; below 0.05 they differ by less than {margin:g}",
        "" if table["in_validity"].all() else OUTSIDE,
    )
