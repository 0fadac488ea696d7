"""A file or a DataFrame → numbers in µS and s, with a sentence for all that was understood."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from driftproof._errors import DriftproofError
from driftproof._lab_tables.columns import Column, Layout, Resolver
from driftproof._lab_tables.lines import Header, find_header, not_found, read_rows
from driftproof._lab_tables.options import NAMES, TableOptions
from driftproof._lab_tables.readings import Readings
from driftproof._lab_tables.table import PLAIN, LabTable, count_of
from driftproof._lab_tables.text import read_lines


def read_table(source: Path | pd.DataFrame, wanted: Sequence[Column], options: TableOptions) -> LabTable:
    """Return a table that an instrument or a person wrote.

    Args:
        source: Text file, or DataFrame.
        wanted: Columns that the table should have.
        options: What the table does not say itself.

    Raises:
        DriftproofError: The file is no table of text, has no such columns, or can be read in two ways. Faults in single
            rows are in the result.
        FileNotFoundError: There is no such file.
    """
    if isinstance(source, pd.DataFrame):
        return _from_frame(source, wanted, options)
    lines, encoding = read_lines(source)
    header = find_header(source, lines, wanted, options)
    rows = read_rows(source, lines, header, wanted, options)
    layout = header.layout
    if rows.units:
        layout = Resolver(header.cells, wanted, options, rows.units).layout()
    place = f"{source}: line {header.line}"
    _check_layout(place, layout)
    if rows.cells.empty:
        count = len(rows.comments)
        skipped = f"; {count} line{'s begin' if count > 1 else ' begins'} like a comment" if count else ""
        raise DriftproofError(f"{source}: it has no rows under the header on line {header.line}{skipped}")
    form = _form(encoding, header, rows.comments, rows.repeated)
    # comments are a part of the plain form
    plain = (encoding, header.sep) == PLAIN and not header.mark and max((*header.above, 0)) == 0 and not rows.repeated
    return Readings(str(source), "line", header.cells, rows.cells, layout, options).table(form, plain)


def _from_frame(frame: pd.DataFrame, wanted: Sequence[Column], options: TableOptions) -> LabTable:
    """Return the table of a DataFrame, whose rows count from 0."""
    cells = [str(name).strip() for name in frame.columns]
    layout = Resolver(cells, wanted, options).layout()
    if layout.missing:
        raise DriftproofError(f"the DataFrame: {not_found(cells, layout, wanted, options)}")
    _check_layout("the DataFrame", layout)
    if frame.empty:
        raise DriftproofError("the DataFrame has no rows")
    text = frame.astype(object).where(frame.notna(), "").astype(str).apply(lambda column: column.str.strip())
    text = text.set_axis(range(len(cells)), axis=1).set_axis(range(len(frame)), axis=0)
    return Readings("the DataFrame", "row", tuple(cells), text, layout, options).table("A DataFrame", plain=True)


def _check_layout(place: str, layout: Layout) -> None:
    if layout.doubts:
        raise DriftproofError(f"{place}: {'; '.join(layout.doubts)}")


def _form(encoding: str, header: Header, comments: Sequence[int], repeated: Sequence[int]) -> str:
    """Return what was understood of the form of a file."""
    parts = [f"{encoding}, separated by {NAMES.get(header.sep, repr(header.sep))}, header on line {header.line}"]
    for numbers, what in (
        (tuple(map(abs, header.above)), "above the header"),
        (comments, "of comments below it"),
        (repeated, "that repeat the header"),
    ):
        if numbers:
            parts.append(f"skipped {count_of(numbers, 'line')} {what}")
    return "; ".join(parts)
