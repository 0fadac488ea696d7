"""Lines of a text → the header of its table, and its rows with their line numbers; comments and free text are counted.

The header is the first line that has all wanted columns, whatever stands above it. The separator is the one with which
it has them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from driftproof._errors import DriftproofError, shortened
from driftproof._files import MOST_COLUMNS
from driftproof._lab_tables.columns import Column, Layout, Resolver, key
from driftproof._lab_tables.options import TableOptions
from driftproof._lab_tables.units import UNITS, examples, find_unit

_MOST_PREAMBLE = 1000
"""Lines among which the header is looked for."""
_LONGEST = 200
"""Letters of a header that a message repeats."""


@dataclass(frozen=True)
class Header:
    """The header of a table.

    Attributes:
        line: Its line, from 1.
        cells: The headers of its columns.
        sep: Separator of the columns.
        layout: Which columns hold what.
        above: Numbers of lines above it that are not empty; with a minus for comments.
        mark: Start of the line if the header stands in a comment, else empty.
    """

    line: int
    cells: tuple[str, ...]
    sep: str
    layout: Layout
    above: tuple[int, ...] = ()
    mark: str = ""


def split(line: str, sep: str, header: bool = False) -> list[str]:
    """Return the cells of one line; a unit in brackets belongs to the word before it where spaces separate."""
    try:
        spaced = line.replace("\t", " ").strip() if sep == " " else line
        cells = next(csv.reader([spaced], delimiter=sep, skipinitialspace=True), [])
    except csv.Error:
        return []
    cells = [cell.strip() for cell in cells]
    if sep == " " and header:
        joined: list[str] = []
        for cell in cells:
            if joined and cell[:1] in "([":
                joined[-1] += f" {cell}"
            else:
                joined.append(cell)
        return joined
    return cells


def find_header(path: Path, lines: Sequence[str], wanted: Sequence[Column], options: TableOptions) -> Header:
    """Return the header of a table.

    Raises:
        DriftproofError: No line has all wanted columns, or what its columns hold is in doubt. The message names the
            line that has most of them.
    """
    best, commented, above = None, None, list[int]()
    for number, line in enumerate(lines[:_MOST_PREAMBLE], 1):
        mark = _mark(line, options)
        text = line.lstrip().removeprefix(mark).strip() if mark else line
        if not text.strip():
            continue
        for sep in [options.separator] if options.separator else ("\t", ";", ",", " "):
            cells = split(text, sep, header=True)
            if len(cells) > MOST_COLUMNS:
                raise DriftproofError(
                    f"{path}: line {number}: {len(cells):,} cells, wanted at most {MOST_COLUMNS:,}: the right file?"
                )
            layout = Resolver(cells, wanted, options).layout()
            header = Header(number, tuple(cells), sep, layout, tuple(above), mark)
            if not layout.missing and layout.found:
                if not mark:
                    return header
                commented = commented or header
            if best is None or _merit(header) > _merit(best):
                best = header
        above.append(-number if mark else number)
    if commented is not None:  # numpy.savetxt writes the header behind a comment mark
        return commented
    if best is None or (max(above) < 0 and len(best.layout.found) < 2):
        raise DriftproofError(f"{path}: not a CSV file: it has comments only")
    raise DriftproofError(f"{path}: line {best.line}: {not_found(best.cells, best.layout, wanted, options)}")


def _mark(line: str, options: TableOptions) -> str:
    """Return the mark with which a line is a comment, or an empty text."""
    return next((mark for mark in options.comments if line.lstrip().startswith(mark)), "")


def _merit(header: Header) -> tuple[bool, int, int]:
    """Return how likely it is that a line is meant as the header."""
    return not header.mark, len(header.layout.found), len(header.cells)


def not_found(cells: Sequence[str], layout: Layout, wanted: Sequence[Column], options: TableOptions) -> str:
    """Return the message about a header without some of the wanted columns, with all that has to be said about it."""
    numbers = [cell for cell in cells if cell.replace(".", "").replace(",", "").isdigit()]
    hints, absent = [], layout.missing
    if numbers and any(column.name == "t_s" and column.needed for column in wanted) and "t_s" not in options.unit:
        # read on as if they were times in s, to say at once what else is missing
        wide = Resolver(cells, wanted, replace(options, unit={**options.unit, "t_s": "s"})).layout()
        if layout.of("t_s") is None and any(one.t_s is not None for one in wide.found):
            times = f"{', '.join(map(repr, numbers[:3]))}{', …' * (len(numbers) > 3)}"
            hints.append(f"if {times} are times, say {options.flag('unit')} t_s=UNIT with one of {examples('time')}")
            layout = wide
    missing = [column for column in wanted if column.needed and layout.of(column.name) is None]
    hints += [*_hints(cells, missing, options), *layout.doubts]
    named = [
        column for column in missing if not any(one.instead == column.name and layout.of(one.name) for one in wanted)
    ]
    pairs = ",".join(f'{column.name}="…"' for column in named if column.name != "t_s" or not numbers)
    name = f": name other headers with {options.flag('columns')} {pairs}" if pairs else ""
    if pairs and any(column.dimensions for column in named):
        name += f", and their units, where they have none, with {options.flag('unit')}"
    has = f"it has {_cut(', '.join(cells))}"
    return "; ".join([", ".join(absent), has, f"wanted {in_words(wanted)}{name}", *hints])


def _hints(cells: Sequence[str], missing: Sequence[Column], options: TableOptions) -> Iterator[str]:
    """Yield what may stand in place of a missing column, and what rows and columns of an array can be."""
    if readings := [one.name for one in missing if one.kind == "conductance" and one.name != "g_target_us"]:
        yield (
            f"{' and '.join(readings)} can be a conductance, a resistance, or a current with the voltage in a column "
            f"V (V) or in {options.flag('voltage')}"
        )
    names, flag = {one.name for one in missing}, options.flag("columns")
    places = [next((cell for cell in cells if key(cell).startswith(word)), "") for word in ("row", "col")]
    if all(places) and "device" in names:
        yield f'if {places[0]} and {places[1]} together name a device, say {flag} device="{"+".join(places)}"'
    elif all(places) and {"out", "in"} <= names:
        row, column = places
        yield (
            f"rows can be the outputs or the inputs of a layer: say {flag} out={row},in={column} or "
            f"out={column},in={row}"
        )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def in_words(wanted: Sequence[Column]) -> str:
    """Return the names of the wanted columns."""
    needed = []
    for column in wanted:
        if column.needed:
            either = [f" (or {one.name})" for one in wanted if one.instead == column.name]
            needed.append(column.name + "".join(either))
    maybe = [column.name for column in wanted if not column.needed and not column.instead and column.kind != "voltage"]
    return f"{', '.join(needed[:-1])} and {needed[-1]}" + (f", and maybe {', '.join(maybe)}" if maybe else "")


@dataclass(frozen=True)
class Rows:
    """The rows of a table.

    Attributes:
        cells: Cells as text; the index holds the lines' numbers, a cell is missing where a line has fewer than another.
        comments: Numbers of the lines that are comments.
        repeated: Numbers of the lines that are the header once more.
        units: The units that the line below the header has, if that is what it has.
    """

    cells: pd.DataFrame
    comments: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    units: tuple[str, ...] = ()


def read_rows(
    path: Path, lines: Sequence[str], header: Header, wanted: Sequence[Column], options: TableOptions
) -> Rows:
    """Return the rows below the header.

    Raises:
        DriftproofError: A quote has no end, a line is another header, or a comment looks like a row.
    """
    comments: list[int] = []

    def body() -> Iterator[str]:
        for number, line in enumerate(lines[header.line :], header.line + 1):
            if mark := _mark(line, options):
                comments.append(number)
                _check_comment(path, number, line.lstrip(), mark, header, options)
            # with its end: a quoted cell may have several lines
            yield "\n" if mark else f"{line.replace(chr(9), ' ').strip() if header.sep == ' ' else line}\n"

    rows: dict[int, list[str]] = {}
    repeated, number = [], header.line + 1
    try:
        reader = csv.reader(body(), delimiter=header.sep, skipinitialspace=True, strict=True)
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                if tuple(cells) == header.cells or (cells[-1] == "" and tuple(_trimmed(cells)) == header.cells):
                    repeated.append(number)
                else:
                    rows[number] = _trimmed(cells, len(header.cells))
            number = header.line + reader.line_num + 1
    except csv.Error as error:
        raise DriftproofError(f"{path}: not a CSV file: line {number}: {error}") from None
    units = _units(rows, header)
    if units:
        del rows[next(iter(rows))]
    _check_headers(path, rows, header, wanted, options)
    most = max(map(len, rows.values()), default=0)
    if max(most, len(header.cells)) > MOST_COLUMNS:
        raise DriftproofError(f"{path}: {most:,} cells in a line, wanted at most {MOST_COLUMNS:,}: the right file?")
    table = pd.DataFrame(dict(enumerate(zip_longest(*rows.values()))), index=list(rows), dtype=str)
    return Rows(table, tuple(comments), tuple(repeated), units)


def _trimmed(cells: list[str], count: int = 0) -> list[str]:
    """Return cells without empty ones at the end, beyond a count: some instruments end every row with a separator."""
    while len(cells) > count and cells and cells[-1] == "":
        cells = cells[:-1]
    return cells


def _units(rows: dict[int, list[str]], header: Header) -> tuple[str, ...]:
    """Return the first row if all that it has is units, as some programs write them below the header."""
    first = next(iter(rows.values()), [])
    texts = [cell.strip("()[] ") for cell in first]
    if len(first) == len(header.cells) and all(not text or find_unit(text, *UNITS) for text in texts):
        return tuple(texts)
    return ()


def _check_comment(path: Path, number: int, line: str, mark: str, header: Header, options: TableOptions) -> None:
    """Raise for a comment below the header that would be a row, unless the user has said what comments are."""
    if options.comment is not None or header.mark == mark:
        return
    cells = split(line, header.sep)
    digits = sum(any(letter.isdigit() for letter in cell) for cell in cells[1:])
    if len(cells) == len(header.cells) > 2 and digits >= len(cells) - 2:
        flag = options.flag("comment")
        raise DriftproofError(
            f"{path}: line {number}: {shortened(line)} begins like a comment and has the cells of a row: say {flag} "
            f"'{mark}' to leave such lines out, or {flag} none to read them"
        )


def _check_headers(
    path: Path, rows: dict[int, list[str]], header: Header, wanted: Sequence[Column], options: TableOptions
) -> None:
    """Raise for a line that is another header than the first one: its rows mean something else."""
    names = {one.header for one in header.layout.found}
    for number, cells in rows.items():
        if len(names & {*cells}) >= 2 and not Resolver(cells, wanted, options).layout().missing:
            raise DriftproofError(
                f"{path}: line {number}: another header ({shortened(', '.join(cells))}) than on line {header.line}: "
                "write each table into a file of its own"
            )
