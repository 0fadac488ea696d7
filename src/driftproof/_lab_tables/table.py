"""A table as it was understood, and the sentences that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

type Fault = tuple[Any, str]
"""The line of the file, or WHOLE, and the values that came and were wanted."""
PLAIN = ("UTF-8", ",")
"""Encoding and separator of a table in the form in which driftproof itself writes it."""
WHOLE = -1
"""In place of a line: a fault of the file as a whole."""
_SHOWN = 8


@dataclass(frozen=True)
class LabTable:
    """A table as it was understood.

    Attributes:
        values: A column for each wanted column that the table has: text, or numbers in µS and s; one row per reading.
            The index holds the lines' numbers, which repeat in a table with one column per time. Rows with faults are
            left out.
        faults: Lines that cannot be read, and why.
        place: What the index counts: ``line`` of a file, or ``row`` of a DataFrame.
        understood: Sentences about the form of the table, its columns and their units.
        changed: Sentences about readings that were left out or changed because an option says so.
        unused: Headers of the columns that are not used.
        plain: Whether the table is in the form in which driftproof itself would write it.
    """

    values: pd.DataFrame
    faults: tuple[Fault, ...]
    place: str
    understood: tuple[str, ...]
    changed: tuple[str, ...]
    unused: tuple[str, ...]
    plain: bool


def count_of(numbers: Sequence[int], place: str) -> str:
    """Return a count of lines with their numbers.

    >>> count_of([3, 4, 5, 9], "line")
    '4 lines (3 to 5, 9)'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        elif not runs or number != runs[-1][1]:
            runs.append([number, number])
    texts = [f"{first}" if first == last else f"{first} to {last}" for first, last in runs[:_SHOWN]]
    return f"{len(numbers)} {place}{'s' * (len(numbers) != 1)} ({', '.join(texts)}{', …' * (len(runs) > _SHOWN)})"
