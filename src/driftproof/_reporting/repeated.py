"""Rows of one preset whose chips have the same values at several times: they are listed once."""

from __future__ import annotations

from collections.abc import Sequence

from driftproof._reporting.statistics import SummaryRow


def is_repeated(rows: Sequence[SummaryRow]) -> bool:
    """Whether every chip has the same value on as many samples in all rows, and all are valid, or none is."""
    return len({_content(row) for row in rows}) == 1


def _content(row: SummaryRow) -> tuple[object, ...]:
    cells = row.cells.sort_values("chip")
    columns = ("chip", "value", "n_samples", "in_validity")
    return (row.whole, *(tuple(cells[column].tolist()) for column in columns))


def runs_of(rows: Sequence[SummaryRow]) -> list[list[SummaryRow]]:
    """Return rows in ascending time as lists of neighbours that are the same."""
    runs: list[list[SummaryRow]] = []
    for row in rows:
        if runs and is_repeated([runs[-1][0], row]):
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs
