"""Cells of a table → numbers: decimal points or commas, and what stands for a reading that failed."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from driftproof._errors import DriftproofError
from driftproof._lab_tables.options import TableOptions

_WORDS = "nan +nan -nan n/a na #n/a null none - -- --- overflow overload ovf inf +inf -inf"
NO_READING = frozenset(("", *_WORDS.split()))
"""Cells, in small letters, of readings that failed."""
OVERFLOW = 9.9e37
"""Instruments write 9.9e37 for an overflow, and 9.91e37 for no number (SCPI)."""
_POWER = r"(?:[eE][+-]?\d+)?"
_PLAIN = {mark: rf"[+-]?(?:\d+{re.escape(mark)}?\d*|{re.escape(mark)}\d+){_POWER}" for mark in ".,"}
_OTHER = {".": ",", ",": "."}
# digits in groups of three; without a decimal part and of one group only, the mark could be the decimal one
_GROUPED = {
    mark: rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(_OTHER[mark])}\d{{3}})+(?:{re.escape(mark)}\d*)?" for mark in ".,"
}
_EITHER = r"[+-]?[1-9]\d{0,2}[.,]\d{3}"


@dataclass(frozen=True)
class Decimals:
    """How the numbers of a table are written.

    Attributes:
        mark: The decimal mark, ``.`` or ``,``.
        grouped: Number of cells in which the other mark groups thousands.
    """

    mark: str
    grouped: int = 0

    def numbers(self, cells: pd.Series[str]) -> pd.Series[float]:
        """Return cells as numbers; NaN where a cell is none."""
        if self.mark == "," or self.grouped:
            grouped = cells.str.fullmatch(_GROUPED[self.mark])
            cells = cells.where(~grouped, cells.str.replace(_OTHER[self.mark], "", regex=False))
            if self.mark == ",":
                point = cells.str.contains(".", regex=False)
                cells = cells.str.replace(",", ".", regex=False).mask(point, "no number")
        return pd.to_numeric(cells, errors="coerce").astype(float)


def find_decimals(place: str, cells: pd.Series[str], options: TableOptions) -> Decimals:
    """Return how the numbers of a table are written.

    Args:
        place: The file, for messages.
        cells: All cells that should be numbers; the index holds their lines.
        options: The decimal mark, if it is given.

    Raises:
        DriftproofError: A comma or point can be a decimal mark as well as one between thousands.
    """
    commas = cells[cells.str.contains(",", regex=False)]
    if options.decimal is not None:
        given = options.decimal
        return Decimals(given, int(cells.str.fullmatch(_GROUPED[given]).sum()) if given == "," or len(commas) else 0)
    if commas.empty:
        return Decimals(".")
    points = cells[cells.str.contains(".", regex=False)]
    both = pd.concat((commas, points))
    fits = {mark: bool((both.str.fullmatch(_PLAIN[mark]) | both.str.fullmatch(_GROUPED[mark])).all()) for mark in ".,"}
    doubtful = both[both.str.fullmatch(_EITHER)]
    for mark in ".,":
        alone = fits[mark] and not fits[_OTHER[mark]]
        grouped = both[both.str.fullmatch(_GROUPED[mark])]
        if alone and not grouped.str.fullmatch(_EITHER).any():
            return Decimals(mark, len(grouped))
    if not any(fits.values()):  # some cells are no numbers at all: the faults name them
        plain = {mark: int(both.str.fullmatch(_PLAIN[mark]).sum()) for mark in ".,"}
        return Decimals("," if plain[","] > plain["."] else ".")
    line, cell = next(iter((doubtful if len(doubtful) else commas).items()))
    flag = options.flag("decimal")
    value = cell.replace(",", "").replace(".", "")
    raise DriftproofError(
        f"{place}: line {line}: {cell!r} is {cell.replace(',', '.')} with a decimal mark, or {value} with one between "
        f"thousands: say {flag} , if commas are decimal marks, or {flag} . if points are"
    )


def is_no_reading(cells: pd.Series[str], numbers: pd.Series[float]) -> pd.Series[bool]:
    """Return which cells stand for a reading that failed: empty, nan, an overflow."""
    words = cells.str.lower().isin(NO_READING)
    return words | (numbers.abs() >= OVERFLOW)
