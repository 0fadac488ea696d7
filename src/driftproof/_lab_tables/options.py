"""What a user says about a table that the table does not say itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from driftproof._defaults import MISSING, NEGATIVE
from driftproof._errors import DriftproofError, did_you_mean

SEPARATORS: Final = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";"}
NAMES: Final = {"\t": "tabs", " ": "spaces", ",": "commas", ";": "semicolons"}
LEAVE_OUT: Final = "leave-out"
ZERO: Final = "zero"
EVERY: Final = ""
"""Key of the unit that holds for every column that has none of its own."""


@dataclass(frozen=True)
class TableOptions:
    """Options of :func:`driftproof._lab_tables.read_table`.

    Attributes:
        columns: Wanted column → the header that it has in the table.
        unit: Wanted column → its unit, whatever its header says; with the key ``""`` the unit of columns without one.
        sep: Separator of columns: one character, or tab, space, comma or semicolon (default: recognised).
        decimal: Decimal mark, ``.`` or ``,`` (default: recognised).
        comment: Start of the lines that are comments, or ``none`` (default: ``#``, ``!`` and ``%``).
        voltage_v: Read voltage in V for a table of currents (default: that of a column).
        missing: What a reading that is empty, nan or an overflow means: ``refuse``, or ``leave-out``.
        negative: What a negative conductance means: ``refuse``, or ``zero`` for noise around zero.
        flags: How the options are written where the user gives them, for messages.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    unit: Mapping[str, str] = field(default_factory=dict)
    sep: str | None = None
    decimal: str | None = None
    comment: str | None = None
    voltage_v: float | None = None
    missing: str = MISSING
    negative: str = NEGATIVE
    flags: str = "--{}"

    def __post_init__(self) -> None:
        """Raise DriftproofError for a value that is not possible."""
        for name, value, wanted in (
            ("decimal", self.decimal, (None, ".", ",")),
            ("missing", self.missing, (MISSING, LEAVE_OUT)),
            ("negative", self.negative, (NEGATIVE, ZERO)),
        ):
            if value not in wanted:
                choices = " or ".join(repr(choice) for choice in wanted if choice)
                raise DriftproofError(f"{self.flag(name)} {value!r}: wanted {choices}")
        if self.sep is not None and len(self.separator or "") != 1:
            raise DriftproofError(f"{self.flag('sep')} {self.sep!r}: wanted one character, or {', '.join(SEPARATORS)}")
        if self.separator and self.separator == self.decimal:
            raise DriftproofError(f"{self.flag('sep')} and {self.flag('decimal')} are both {self.decimal!r}")
        if self.comment == "":
            raise DriftproofError(f"{self.flag('comment')}: wanted the start of a comment, such as '#', or none")
        if self.voltage_v is not None and (not math.isfinite(self.voltage_v) or self.voltage_v == 0):
            raise DriftproofError(f"{self.flag('voltage')} {self.voltage_v:g}: wanted a voltage in V, and not 0")

    def flag(self, name: str) -> str:
        """Return how an option is written, such as ``--sep``; a key in a file has its unit in its name."""
        return self.flags.format("voltage_v" if name == "voltage" and not self.flags.startswith("--") else name)

    @property
    def separator(self) -> str | None:
        """Separator as a character; None if it is to be recognised."""
        return self.sep if self.sep is None else SEPARATORS.get(self.sep, self.sep.replace("\\t", "\t"))

    @property
    def comments(self) -> tuple[str, ...]:
        """The starts of lines that are comments."""
        if self.comment is None:
            return ("#", "!", "%")
        return () if self.comment == "none" else (self.comment,)


def parse_pairs(option: str, texts: str | Iterable[str], known: Iterable[str], every: bool = False) -> dict[str, str]:
    """Return the pairs of texts such as ``device=Device ID,g_us=G (S)``.

    A comma separates two pairs only where one of the known names follows it, so that headers can have commas.

    Args:
        option: The option, for messages.
        texts: One or several texts.
        known: Names that a pair can begin with.
        every: Whether a text without ``=`` is a value for every name.

    Raises:
        DriftproofError: A name is not known or is given twice, or there is no ``=``.

    >>> parse_pairs("--columns", "device=Device ID,g_us=G, as read", ("device", "g_us"))
    {'device': 'Device ID', 'g_us': 'G, as read'}
    """
    known, pairs = list(known), dict[str, str]()
    parts = rf",(?=\s*(?:{'|'.join(map(re.escape, known))})\s*=)"
    for text in [texts] if isinstance(texts, str) else texts:
        for part in re.split(parts, text):
            name, equals, value = (word.strip() for word in part.partition("="))
            if not equals and every:
                name, value = EVERY, name
            elif not equals or name not in known:
                wanted = f"wanted NAME=… with NAME one of {', '.join(known)}"
                raise DriftproofError(f"{option} {part.strip()!r}{did_you_mean(name, known)}: {wanted}")
            if not value:
                raise DriftproofError(f"{option} {part.strip()!r}: there is nothing behind the =")
            if name in pairs:
                raise DriftproofError(f"{option}: {name or 'the unit of every column'} is given twice")
            pairs[name] = value
    return pairs
