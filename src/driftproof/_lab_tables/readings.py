"""Cells of a table → readings in µS and s, one per row; faults with their lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from driftproof._lab_tables.columns import Found, Layout
from driftproof._lab_tables.conductance import to_conductance
from driftproof._lab_tables.numbers import NO_READING, OVERFLOW, Decimals, find_decimals, is_no_reading
from driftproof._lab_tables.options import LEAVE_OUT, NAMES, ZERO, TableOptions
from driftproof._lab_tables.table import Fault, LabTable, count_of
from driftproof._lab_tables.units import scaled

_UNIT_OF = {"time": " in s", "conductance": " in µS", "voltage": " in V"}


@dataclass(frozen=True)
class Readings:
    """Cells of a table, on their way to readings.

    Attributes:
        name: The table, for messages.
        place: ``line`` or ``row``: what the index of the cells counts.
        header: Headers of all columns.
        cells: Cells as text; the columns are numbered from 0.
        layout: Which columns hold what.
        options: What the user says about the table.
    """

    name: str
    place: str
    header: tuple[str, ...]
    cells: pd.DataFrame
    layout: Layout
    options: TableOptions

    def table(self, form: str, plain: bool) -> LabTable:
        """Return the table; ``form`` says what the file looks like, ``plain`` whether that needs no words."""
        faults, cells = self._complete()
        texts = pd.concat([cells[one.place] for one in self.layout.found if one.column.kind != "text"])
        decimals = find_decimals(self.name, texts, self.options)
        form += "; decimal commas" * (decimals.mark == ",")
        if decimals.grouped:
            form += f"; {decimals.grouped:,} numbers with marks between thousands"
        pieces, more, failed = self._pieces(cells, decimals)
        values, negative = self._clipped(pd.concat(pieces).sort_index(kind="stable"))
        changed = []
        if failed:
            changed.append(f"Left out: {count_of(sorted(failed), self.place)} with readings that are empty, nan or an ")
            changed[-1] += "overflow."
        if negative:
            changed.append(f"Taken as 0: negative conductances on {count_of(negative, self.place)}.")
        used = {place for one in self.layout.found for place in one.places}
        unused = tuple(name for place, name in enumerate(self.header) if place not in used and name)
        said = (f"{form}.", f"{'; '.join(self._columns())}.")
        plain = plain and decimals == Decimals(".") and not (changed or unused) and self._canonical
        return LabTable(values, (*faults, *more), self.place, said, tuple(changed), unused, plain)

    @property
    def _canonical(self) -> bool:
        """Whether every column has the name that is wanted, and no option gives another unit."""
        return not self.options.unit and all(one.header == one.column.name for one in self.layout.found)

    def _complete(self) -> tuple[list[Fault], pd.DataFrame]:
        """Return faults for the lines that have too many or too few cells, and the cells of the others."""
        counts, width = self.cells.notna().sum(axis=1), len(self.header)
        faults = []
        ragged = counts[counts != width]
        for line, count, only in zip(ragged.index, ragged, self.cells.loc[ragged.index, 0], strict=True):
            hint = next(
                (f" (separated by {word}?)" for sep, word in NAMES.items() if count == 1 and sep in str(only)), ""
            )
            faults.append((line, f"{count} cell{'s' * (count != 1)}: wanted {width} cells, as in the header{hint}"))
        whole = self.cells[counts == width].reindex(columns=range(width)).astype(str)
        return faults, whole

    def _pieces(self, cells: pd.DataFrame, decimals: Decimals) -> tuple[list[pd.DataFrame], list[Fault], list[int]]:
        """Return the values (a piece per time of a wide table), the faults, and the lines that are left out."""
        voltage = self.layout.of("v")
        volts = None if voltage is None else _Values.of(voltage, cells, decimals)
        at_v = self.options.voltage_v if volts is None else volts.numbers

        def read(one: Found) -> _Values:
            values = _Values.of(one, cells, decimals)
            if one.unit is not None and one.column.kind == "conductance":
                values.numbers = to_conductance(self.name, one, values.numbers, at_v, self.options)
            return values

        shared = {one.column.name: read(one) for one in self.layout.found if one.t_s is None and one is not voltage}
        if volts is not None:
            shared["v"] = volts
        pieces, faults, failed = list[pd.DataFrame](), list[Fault](), list[int]()
        turns: list[Found | None] = [one for one in self.layout.found if one.t_s is not None]
        for turn in turns or [None]:
            own = {} if turn is None else {"g_us": read(turn)}
            left_out = pd.Series(False, cells.index)
            if self.options.missing == LEAVE_OUT:
                for name in ("g_us", "v"):
                    left_out |= (shared | own)[name].failed if name in shared | own else False
            wrong = left_out.copy()
            for values in (shared | own).values():
                wrong |= values.wrong
            for values in (own if pieces else shared | own).values():
                faults += values.faults(left_out)
            failed += cells.index[left_out].tolist()
            numbers = {name: values.numbers for name, values in (shared | own).items() if name != "v"}
            frame = pd.DataFrame(numbers)[~wrong]
            pieces.append(frame if turn is None else frame.assign(t_s=turn.t_s))
        return pieces, faults, failed

    def _clipped(self, values: pd.DataFrame) -> tuple[pd.DataFrame, list[int]]:
        """Return the values with 0 for negative readings, if that is asked for, and the lines of those."""
        if self.options.negative != ZERO:
            return values, []
        kinds = {one.column.name: one.column.kind for one in self.layout.found}
        names = [name for name, kind in kinds.items() if kind == "conductance" and name != "g_target_us"]
        lines = sorted(line for name in names for line in values.index[values[name] < 0])
        return values.assign(**{name: values[name].clip(lower=0) for name in names}), lines

    def _columns(self) -> list[str]:
        """Return what was understood of each column."""
        texts = [f"{one.column.name} is {one.described}" for one in self.layout.found if one.t_s is None]
        if times := [one for one in self.layout.found if one.t_s is not None]:
            first, last = times[0], times[-1]
            texts.append(
                f"g_us is in {len(times)} columns, one per time: from {first.described} at {first.t_s:g} s to "
                f"{last.described} at {last.t_s:g} s"
            )
        if self.options.voltage_v is not None:
            texts.append(f"the voltage is {self.options.voltage_v:g} V")
        return texts


@dataclass
class _Values:
    """The values of one column.

    Attributes:
        one: The column.
        texts: Its cells.
        numbers: The cells as numbers in µS, s or V; the texts of a column of names.
        failed: Which cells stand for a reading that failed.
    """

    one: Found
    texts: pd.Series[str]
    numbers: pd.Series[Any]
    failed: pd.Series[bool]

    @staticmethod
    def of(one: Found, cells: pd.DataFrame, decimals: Decimals) -> _Values:
        """Return the values of a column, in the own unit of its dimension."""
        texts = cells[one.place]
        for place in one.more:
            texts = texts + "/" + cells[place]
        if one.column.kind == "text":
            return _Values(one, texts, texts, pd.Series(False, texts.index))
        numbers = decimals.numbers(texts)
        failed = is_no_reading(texts, numbers)
        factor = 1.0 if one.unit is None else one.unit.factor
        values = scaled(np.asarray(numbers.mask(failed), np.float64), factor)
        return _Values(one, texts, pd.Series(values, texts.index), failed)

    @property
    def wrong(self) -> pd.Series[bool]:
        """Which values cannot be used."""
        if self.one.column.kind == "text":
            return self.texts == ""
        return ~self.numbers.abs().lt(np.inf)

    def faults(self, left_out: pd.Series[bool]) -> list[Fault]:
        """Return a fault for every value that cannot be used and is not left out."""
        return [(line, _complaint(text, self.one)) for line, text in self.texts[self.wrong & ~left_out].items()]


def _complaint(text: str, one: Found) -> str:
    """Return the complaint about a cell that is no name or number."""
    if one.column.kind == "text":
        return f"{one.name} is empty: wanted a name or number"
    unit = _UNIT_OF.get(one.column.kind, "") if one.unit is None or one.unit.factor == 1 else ""
    if not text:
        return f"{one.name} is empty: wanted a number{unit}"
    value = float(pd.to_numeric(text, errors="coerce"))
    if abs(value) < OVERFLOW:
        return f"{one.name} = {text}: wanted a number from which a conductance follows"
    if abs(value) >= OVERFLOW or text.lower() in NO_READING:
        return f"{one.name} = {text}: wanted a finite number{unit}"
    hint = " (a decimal comma? wanted a point)" if "," in text else ""
    return f"{one.name} = {text!r}: wanted a number{unit}{hint}"
