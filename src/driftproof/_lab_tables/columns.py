"""The header of a table → which column holds what, in which unit. What two columns could be is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from driftproof._errors import did_you_mean
from driftproof._lab_tables.options import EVERY, TableOptions
from driftproof._lab_tables.units import CONDUCTANCE, Unit, examples, find_unit, split_header, time_column

READINGS = ("conductance", "current", "resistance")


@dataclass(frozen=True)
class Column:
    """A column that a reader wants.

    Attributes:
        name: Name of the column; a header that is equal to it needs no other evidence.
        kind: ``text``, ``count``, ``time``, ``conductance`` or ``voltage``.
        aliases: Other headers, without unit, in small letters and without signs → the dimension that such a header
            stands for; empty if the unit decides.
        instead: The column may be there in place of another one.
        needed: Whether the table must have the column.
    """

    name: str
    kind: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    instead: str = ""
    needed: bool = True

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Dimensions that its unit can have."""
        return {"conductance": CONDUCTANCE, "time": ("time",), "voltage": ("voltage",)}.get(self.kind, ())


@dataclass(frozen=True)
class Found:
    """A wanted column in a table.

    Attributes:
        column: The wanted column.
        place: Its place among the table's columns, from 0.
        header: Its header in the table.
        unit: Its unit; None for a column without units.
        t_s: Time of its readings in s, in a table with one column per time; else None.
        more: Places of further columns whose texts are joined to its own, such as row and column of a cell.
    """

    column: Column
    place: int
    header: str
    unit: Unit | None = None
    t_s: float | None = None
    more: tuple[int, ...] = ()

    @property
    def places(self) -> tuple[int, ...]:
        """Places of all its columns."""
        return (self.place, *self.more)

    @property
    def name(self) -> str:
        """The column's name for messages, with its header where that is another one."""
        return self.column.name if self.header == self.column.name else f"{self.column.name} ({self.header!r})"

    @property
    def is_current(self) -> bool:
        """Whether a voltage is needed to make a conductance of it."""
        return self.unit is not None and self.unit.dimension == "current"

    @property
    def described(self) -> str:
        """Its header, and what makes µS, s or V of its values."""
        text = repr(self.header)
        if self.unit is None:
            return text
        by = text if self.unit.factor == 1 else f"{text} × {self.unit.factor:g}"
        return {"current": f"{by} / voltage", "resistance": f"1 / ({by})"}.get(self.unit.dimension, by)


@dataclass(frozen=True)
class Layout:
    """Which columns of a table hold what.

    Attributes:
        found: Wanted columns that are there. A table with one column per time has several for the reading.
        missing: A text for each wanted column that is not there.
        doubts: A text for each column that cannot be read without an option.
    """

    found: tuple[Found, ...]
    missing: tuple[str, ...]
    doubts: tuple[str, ...]

    def of(self, name: str) -> Found | None:
        """Return the column of a name; None if it is not there."""
        return next((one for one in self.found if one.column.name == name), None)


def key(name: str) -> str:
    """Return a header for comparisons: small letters, without spaces and signs but a + or − at its end.

    >>> key("Device ID"), key("G+"), key("G_target")
    ('deviceid', 'g+', 'gtarget')
    """
    return re.sub(r"[^\w+-]|_|[+-](?!$)", "", name.lower().strip())


class Resolver:
    """Finds the wanted columns in one line of a table."""

    def __init__(
        self, cells: Sequence[str], wanted: Sequence[Column], options: TableOptions, units: Sequence[str] = ()
    ) -> None:
        self.cells, self.wanted, self.options = cells, wanted, options
        self.units = [*units, *[""] * (len(cells) - len(units))]
        self.doubts: list[str] = []
        self.unitless: dict[str, list[tuple[Column, str]]] = {}

    def layout(self) -> Layout:
        """Return which columns hold what. A column with the voltage is looked for where there is a current."""
        places: dict[str, int] = {}
        for column in self.wanted:
            if column.kind != "voltage" and (place := self._place(column)) is not None:
                places[column.name] = place
        wide = [] if "t_s" in places or not any(c.name == "t_s" and c.needed for c in self.wanted) else self._wide()
        if wide:
            places.pop("g_us", None)
        found = [self._with_unit(column, places[column.name]) for column in self.wanted if column.name in places]
        joined = {column.name: self._joined(column) for column in self.wanted if column.name not in places}
        for column in self.wanted:
            if many := joined.get(column.name):
                places[column.name] = many[0]
                header = self.options.columns[column.name]
                found.append(Found(column, many[0], header, more=tuple(many[1:])))
        if self.options.voltage_v is None and any(one.is_current for one in (*found, *wide)):
            for column in self.wanted:
                if column.kind == "voltage" and (place := self._place(column)) is not None:
                    found.append(self._with_unit(column, place))
        doubts = (*self.doubts, *map(self._no_units, self.unitless.values()))
        return Layout((*found, *wide), tuple(self._missing(places, bool(wide))), doubts)

    def _joined(self, column: Column) -> list[int]:
        """Return the places of several columns that together are a text, as ``--columns device="Row+Column"`` says."""
        parts = self.options.columns.get(column.name, "").split("+")
        if column.kind != "text" or len(parts) < 2:
            return []
        places = [[i for i, cell in enumerate(self.cells) if key(cell) == key(part)] for part in parts]
        return [one[0] for one in places] if all(len(one) == 1 for one in places) else []

    def _no_units(self, columns: Sequence[tuple[Column, str]]) -> str:
        """Return the text about columns of one kind without a unit."""
        headers: dict[str, list[str]] = {}
        for column, header in columns:
            headers.setdefault(column.name, []).append(header)
        said = [
            f"column{'s' * (len(texts) > 1)} {', '.join(map(repr, texts))} ({name})" for name, texts in headers.items()
        ]
        pairs = ",".join(f"{name}=UNIT" for name in headers)
        one = "one" if len(headers) == 1 else "each one"
        verb = "has" if len(columns) == 1 else "have"
        return (
            f"{' and '.join(said)} {verb} no unit: say {self.options.flag('unit')} {pairs}, with {one} of "
            f"{examples(columns[0][0].kind)}"
        )

    def _place(self, column: Column) -> int | None:
        """Return the place of a column, or None; note a doubt where several columns could be it."""
        cells = self.cells
        if given := self.options.columns.get(column.name):
            ways = (
                [i for i, cell in enumerate(cells) if cell == given],
                [i for i, cell in enumerate(cells) if key(cell) == key(given)],
                [i for i, cell in enumerate(cells) if key(split_header(cell, *column.dimensions)[0]) == key(given)],
            )
        else:
            free = [i for i, cell in enumerate(cells) if cell not in self.options.columns.values()]
            ways = (
                [i for i in free if cells[i] == column.name],
                [i for i in free if key(cells[i]) == key(column.name)],
                self._by_alias(column, free),
            )
        places = next(filter(None, ways), [])
        if len(places) > 1:
            names = [cells[place] for place in places]
            if len(set(names)) == 1:
                self.doubts.append(f"the header has {names[0]} more than once")
            else:
                self.doubts.append(
                    f"{' and '.join(map(repr, names))} could both be {column.name}: say which with "
                    f"{self.options.flag('columns')} {column.name}=…"
                )
        return places[0] if places else None

    def _by_alias(self, column: Column, free: Iterable[int]) -> list[int]:
        """Return the places whose headers are other names of a column; those of conductances count before currents."""
        kinds: dict[str, list[int]] = {}
        for place in free:
            cell = self.cells[place]
            names = {key(name) for name in (cell, split_header(cell, *column.dimensions)[0])}
            if alias := names & column.aliases.keys():
                kinds.setdefault(column.aliases[alias.pop()], []).append(place)
        if column.kind == "conductance" and kinds.get("conductance"):
            return kinds["conductance"]
        return sorted(place for places in kinds.values() for place in places)

    def _with_unit(self, column: Column, place: int) -> Found:
        """Return a column with its unit; note a doubt where it has none, or one that does not suit it."""
        header = self.cells[place]
        if not column.dimensions:
            return Found(column, place, header)
        return Found(column, place, header, self._unit(column, header, self.units[place]))

    def _unit(self, column: Column, header: str, below: str, unit_text: str = "") -> Unit:
        given = self.options.unit.get(column.name)
        name, own = split_header(header, *column.dimensions)
        text = given or unit_text or own or below or self._every(column)
        unit = find_unit(text, *column.dimensions)
        flag = self.options.flag("unit")
        if unit is None:
            if text:
                self.doubts.append(f"unit {text!r} of {header!r}: wanted one of {examples(column.kind)}")
            else:
                self.unitless.setdefault(column.kind, []).append((column, header))
            return Unit(column.dimensions[0], 1.0)
        stands_for = column.aliases.get(key(name), "")
        if stands_for in READINGS and unit.dimension != stands_for and not given:
            self.doubts.append(
                f"column {header!r} is named like a {stands_for} and has a unit of {unit.dimension}: say "
                f"{flag} {column.name}=UNIT"
            )
        return unit

    def _every(self, column: Column) -> str:
        """Return the unit for all columns without one, if it can be that of a column."""
        text = self.options.unit.get(EVERY, "")
        return text if find_unit(text, *column.dimensions) else ""

    def _wide(self) -> list[Found]:
        """Return the columns of a table that has one for each time, [times], by increasing time."""
        reading = next((column for column in self.wanted if column.name == "g_us"), None)
        numbers_too = "t_s" in self.options.unit
        named = {i for i, cell in enumerate(self.cells) if cell in self.options.columns.values()}
        columns = []
        for place, cell in enumerate(self.cells):
            header = None if place in named else time_column(cell)
            if reading is None or header is None or not (header.time_unit or numbers_too):
                continue
            unit = find_unit(header.time_unit or self.options.unit["t_s"], "time")
            if unit is None:
                self.doubts.append(f"unit {self.options.unit['t_s']!r} of t_s: wanted one of {examples('time')}")
                return []
            of_reading = self._unit(reading, cell, self.units[place], header.unit)
            columns.append(Found(reading, place, cell, of_reading, header.number * unit.factor))
        columns.sort(key=lambda one: one.t_s or 0.0)
        for one, other in pairwise(columns):
            if one.t_s == other.t_s:
                self.doubts.append(f"columns {one.header!r} and {other.header!r} are of the same time")
        return columns

    def _missing(self, places: Mapping[str, int], wide: bool) -> list[str]:
        """Return a text for each wanted column that is not there."""
        there = {*places, *(("g_us", "t_s") if wide else ())}
        texts = []
        for column in self.wanted:
            either = [one.name for one in self.wanted if one.instead == column.name]
            if not column.needed or there & {column.name, *either}:
                continue
            unused = [cell for place, cell in enumerate(self.cells) if place not in places.values()]
            if given := self.options.columns.get(column.name):
                hint = did_you_mean(given, unused)
                texts.append(f"no column {given!r}{hint}, which {self.options.flag('columns')} gives for {column.name}")
            else:
                hint = did_you_mean(column.name, unused).replace("did you mean", "is it")
                texts.append(f"no column {' or '.join([column.name, *either])}{hint}")
        return texts
