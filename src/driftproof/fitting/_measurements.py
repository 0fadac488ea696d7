"""Measured conductances: the rows that a device is fitted to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from driftproof._errors import DriftproofError
from driftproof.times import format_time

Floats = npt.NDArray[np.float64]
LEAST_DEVICES = 10
"""Number of devices, or of readings of a group at one time, that a level needs."""


@dataclass(frozen=True)
class Measurements:
    """The rows of a file of measurements.

    Attributes:
        file: Name of the file, without the folder.
        sha256: Hash of the file's bytes.
        told_apart: Whether rows name single devices; else they name groups of devices.
        who: Device or group of each row.
        target_us: Target in µS, [rows].
        t_s: Time after the first read in s, [rows].
        g_us: Reading in µS, [rows].
        line: Line of the file, [rows], from 1; or row of a DataFrame, from 0.
        notes: Notes for the reader, such as columns that are not used.
        place: What ``line`` counts: ``line`` or ``row``.
        understood: Sentences about the form of the file, its columns and their units.
        before_s: How much earlier t = 0 of the file is, in s (default: 0).
    """

    file: str
    sha256: str
    told_apart: bool
    who: tuple[str, ...]
    target_us: Floats
    t_s: Floats
    g_us: Floats
    line: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()
    place: str = "line"
    understood: tuple[str, ...] = ()
    before_s: float = 0.0

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Table with the columns who, target_us, t_s, g_us and line."""
        names = ("who", "target_us", "t_s", "g_us", "line")
        return pd.DataFrame({name: getattr(self, name) for name in names})

    def devices_at(self, level_us: float) -> int:
        """Return how many devices a level has; for groups, the largest number of readings at one time."""
        rows = self.rows[self.target_us == level_us]
        return int(rows["who"].nunique() if self.told_apart else rows["t_s"].value_counts().max())

    def ends(self, level_us: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the rows of a level with each device's first and last reading (for groups: with the level's)."""
        rows = self.rows[self.target_us == level_us]
        by = rows.groupby("who" if self.told_apart else "target_us")["t_s"]
        first, last = (rows.index[rows["t_s"] == by.transform(end)].to_numpy() for end in ("min", "max"))
        return first, last

    def since_first_read(self, t0_s: float) -> Measurements:
        """Return the measurements with times after the first read, where those of the file count from the last pulse.

        Args:
            t0_s: Time of the first read after the last programming pulse in s.

        Raises:
            DriftproofError: A reading is earlier.

        >>> times = np.array([20.0, 3600.0])
        >>> rows = Measurements("mine.csv", "", True, ("a", "a"), times, times, times, np.array([2, 3]))
        >>> rows.since_first_read(20).t_s.tolist()
        [0.0, 3580.0]
        """
        if (early := self.t_s < t0_s).any():
            first = float(self.t_s.min())
            raise DriftproofError(
                f"{self.file}: {self.place} {self.line[early][0]}: a reading {format_time(first)} after the last "
                f"pulse, before t = 0, which is t0 = {format_time(t0_s)} after it: wanted a --t0 of at most {first:g} s"
            )
        last = float(self.t_s.max())
        note = (
            f"t = 0 is t0 = {t0_s:g} s after the last programming pulse, from which the times of the file count: "
            f"{last:.10g} s of the file are {last - t0_s:.10g} s of the preset."
        )
        return replace(self, t_s=self.t_s - t0_s, notes=(*self.notes, note), before_s=t0_s)
