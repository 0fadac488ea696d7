"""Every value that was measured, by what it was measured of: nothing is measured twice, and a stopped run goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

from driftproof.errors import DriftproofError


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one value was measured of.

    Attributes:
        subject: 16 hexadecimal digits of the network, its tiles, the periphery and the metric.
        data: fingerprint of the samples.
        device: its name, for who reads the file.
        device_hash: hash of its laws and numbers.
        compensation: of the drift.
        t_s: time after programming in s.
        seed: of all device randomness.
        chip: its number.
        digital: names of the digital layers, in the network's order, with spaces between; empty if all are analog.
    """

    subject: str
    data: str
    device: str = field(compare=False)
    device_hash: str
    compensation: str
    t_s: float
    seed: int
    chip: int
    digital: str


COLUMNS = (*(f.name for f in fields(Cell)), "value")


class Cells:
    """Values by :class:`Cell`, in memory; and in a CSV file, line by line as they come, if a path is given.

    Args:
        path: is read if it exists. A last line that a stopped run has left half-written is taken off.

    Raises:
        DriftproofError: a file that holds something else.

    >>> cells = Cells()
    >>> cell = Cell(
    ...     subject="s", data="d", device="x", device_hash="h", compensation="tile", t_s=1.0, seed=0, chip=0, digital=""
    ... )
    >>> cells[cell] = 91.5
    >>> cells.get(cell), len(cells)
    (91.5, 1)
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._values: dict[Cell, float] = {}
        if self.path is not None:
            self._values.update(_read(self.path))

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._values)

    def get(self, cell: Cell) -> float | None:
        """Return a value, None if it was not measured."""
        return self._values.get(cell)

    def __setitem__(self, cell: Cell, value: float) -> None:
        """Keep a value; it is in the file when this returns."""
        self._values[cell] = value
        if self.path is not None:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                file.write(_line(*astuple(cell), value))


def _line(*entries: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(entries)
    return text.getvalue()


def _read(path: Path) -> Iterator[tuple[Cell, float]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(_line(*COLUMNS), encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        path.write_text(text, encoding="utf-8")
    header, *rows = csv.reader(io.StringIO(text)) if text else [[]]
    if tuple(header) != COLUMNS:
        raise DriftproofError(
            f"{path} does not hold measured cells: its first line is not {','.join(COLUMNS)}; choose another folder"
        )
    for number, row in enumerate(rows, start=2):
        try:
            entries = dict(zip(COLUMNS, row, strict=True))
            value = float(entries.pop("value"))
            t_s, seed, chip = float(entries.pop("t_s")), int(entries.pop("seed")), int(entries.pop("chip"))
        except ValueError:
            raise DriftproofError(f"{path}, line {number}: not a measured cell; take the line off") from None
        yield Cell(**entries, t_s=t_s, seed=seed, chip=chip), value
