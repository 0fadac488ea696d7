"""Units in the headers of tables, and factors to µS, s and V."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12}
_TIMES = {
    1e-6: "us usec",
    1e-3: "ms msec",
    1.0: "s sec secs second seconds",
    60.0: "min mins minute minutes",
    3600.0: "h hr hrs hour hours",
    86_400.0: "d day days",
    365 * 86_400.0: "y yr year years",
}


class Unit(NamedTuple):
    """A unit: its dimension, and the factor to the dimension's own unit, which is µS, µA, MΩ, V or s."""

    dimension: str
    factor: float


UNITS: Final[dict[str, dict[str, float]]] = {
    "conductance": {
        **{f"{prefix}s": 1e6 * factor for prefix, factor in _PREFIXES.items()},
        **{f"{prefix}a/v": 1e6 * factor for prefix, factor in _PREFIXES.items()},
        **dict.fromkeys(("siemens", "mho", "1/ohm"), 1e6),
        "microsiemens": 1.0,
    },
    "current": {f"{prefix}a": 1e6 * factor for prefix, factor in (_PREFIXES | {"f": 1e-15}).items()},
    "resistance": {"ohm": 1e-6, "ohms": 1e-6, "kohm": 1e-3, "Mohm": 1.0, "Gohm": 1e3},
    "voltage": {f"{prefix}v": factor for prefix, factor in _PREFIXES.items()},
    "time": {name: factor for factor, names in _TIMES.items() for name in names.split()},
}
"""Units of each dimension, in small letters but for M and G, and their factors."""

CONDUCTANCE = ("conductance", "current", "resistance")
"""Dimensions from which a conductance follows."""
_EXAMPLES = {"time": "s, ms, min, h, d", "voltage": "V, mV", "conductance": "S, mS, uS, nS, A, uA, nA, Ohm, kOhm, MOhm"}


def examples(dimension: str) -> str:
    """Return the units that can be written for a dimension, for a message."""
    return _EXAMPLES["conductance" if dimension in CONDUCTANCE else dimension]


def find_unit(text: str, *dimensions: str) -> Unit | None:
    """Return the unit that a text names in one of the dimensions, or None.

    >>> find_unit("µS", "conductance"), find_unit("min", "time"), find_unit("mA", "voltage")
    (Unit(dimension='conductance', factor=1.0), Unit(dimension='time', factor=60.0), None)
    """
    name = re.sub(r"[µμ]", "u", text.strip().replace("Ω", "Ohm").replace("Ω", "Ohm").replace(" ", ""))
    small = name.lower()
    if small.endswith(("ohm", "ohms")) and name[:1] in "MG":  # here a capital letter makes a difference
        small = name[:1] + small[1:]
    for dimension in dimensions:
        if (factor := UNITS[dimension].get(small)) is not None:
            return Unit(dimension, factor)
    return None


def scaled(values: Floats, factor: float) -> Floats:
    """Return values times a factor, rounded to 12 digits: 7e-06 S are 7 µS and not 6.999999999999999 µS."""
    return values if factor == 1 else rounded(values * factor)


def rounded(values: Floats) -> Floats:
    """Return values rounded to 12 digits."""
    with np.errstate(all="ignore"):
        digits = np.where((values == 0) | ~np.isfinite(values), 0, 11 - np.floor(np.log10(np.abs(values))))
        digits = np.clip(digits, -300, 300)
        down, up = 10.0 ** np.clip(-digits, 0, 300), 10.0 ** np.clip(digits, 0, 300)
        return np.asarray(np.round(values / down * up) / up * down)


_BRACKET = re.compile(r"(.*?)\s*[(\[{<]\s*([^()\[\]{}<>]*?)\s*[)\]}>]")
_AFTER = re.compile(r"(.*[^\s/,;_])\s*[/,;_ ]\s*([^/,;_ ]+)")


def split_header(cell: str, *dimensions: str) -> tuple[str, str]:
    """Return name and unit of a column's header; the unit is empty where the header has none of these dimensions.

    >>> split_header("G (S)", "conductance"), split_header("t_s", "time"), split_header("Device ID", "time")
    (('G', 'S'), ('t', 's'), ('Device ID', ''))
    """
    for form in (_BRACKET, _AFTER):
        if (found := form.fullmatch(cell)) and find_unit(found[2], *dimensions):
            return found[1], found[2]
    return cell, ""


_TIME_COLUMN = re.compile(
    r"(?:(?:conductance|current|reading|read|time|after|at|g|i|r|t)[\s_=@:.]*)*"
    r"\(?\s*([0-9]*[.,]?[0-9]+(?:e[+-]?[0-9]+)?)[\s_]*([a-zµμ]*)\s*\)?",
    re.IGNORECASE,
)


class TimeColumn(NamedTuple):
    """The header of a column with the readings of one time: its number, the number's unit, and that of the readings."""

    number: float
    time_unit: str
    unit: str


def time_column(cell: str) -> TimeColumn | None:
    """Return what a header says if it is a time, as the columns of a wide table have it, or None.

    >>> time_column("G(1 h) [uS]"), time_column("3600"), time_column("remark 1")
    (TimeColumn(number=1.0, time_unit='h', unit='uS'), TimeColumn(number=3600.0, time_unit='', unit=''), None)
    """
    for name, unit in ((cell, ""), split_header(cell, *CONDUCTANCE)):
        found = _TIME_COLUMN.fullmatch(name.strip())
        if found and (find_unit(found[2], "time") or not found[2]):
            return TimeColumn(float(found[1].replace(",", ".")), found[2], unit)
    return None
