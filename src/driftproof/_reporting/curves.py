"""What figures draw of records: the series in the order that was asked for, and the values of a series over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from driftproof._drawing import COLOURS, INK, MARKERS
from driftproof._errors import DriftproofError, did_you_mean
from driftproof._reporting.gather import Evidence
from driftproof._reporting.statistics import KINDS, PRELIMINARY_BELOW
from driftproof.statistics import corrected

Of = Literal["mean", "drop"]
"""What a figure shows: the mean over chips, or how much worse it is than the digital network."""
Band = Literal["chips", "these", "new", "none"]
"""What the band around a mean shows: the chips, or its 95 % interval on ``these`` or on ``new`` samples."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A series of a figure: a preset in a configuration, its name in the figure, and the number of its colour."""

    key: str
    preset: str
    name: str
    number: int

    @property
    def colour(self) -> str:
        """The colour; more series than colours are told apart by their markers."""
        return COLOURS[self.number % len(COLOURS)]

    @property
    def marker(self) -> str:
        """The marker, another one for each series of a colour."""
        return MARKERS[(self.number + self.number // len(COLOURS)) % len(MARKERS)]


@dataclass(frozen=True)
class Course:
    """The values of a series over time; low and high are the ends of its band, NaN where there is none."""

    t_s: list[float]
    mean: Numbers
    low: Numbers
    high: Numbers
    valid: npt.NDArray[np.bool_]


def lines_of(
    evidence: Evidence,
    presets: Sequence[str] | None = None,
    configurations: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> list[Line]:
    """Return the series with cells, preset by preset.

    Args:
        evidence: The contents of the records.
        presets: Names of presets, in the order of the figure (default: all, in the order of the records).
        configurations: Names of configurations, in the order of the figure (default: all).
        labels: Other words for the names of presets and configurations.

    Raises:
        DriftproofError: a name is unknown, or nothing is left to draw.
    """
    keys = {name or key: key for key, name in evidence.names.items()}
    chosen = _checked(presets, evidence.measured_presets, "preset")
    wanted = [keys[name] for name in _checked(configurations, list(keys), "configuration")]
    known = {*evidence.measured_presets, *keys}
    for name in labels or {}:
        if name not in known:
            raise DriftproofError(
                f"labels: nothing is called {name!r}{did_you_mean(name, known)}; there are {', '.join(sorted(known))}"
            )
    there = [(key, preset) for preset in chosen for key in wanted if len(evidence.series(key, preset))]
    if not there:
        raise DriftproofError("nothing to draw: no device of these presets and configurations has been measured yet")
    several_presets, several = (len({pair[i] for pair in there}) > 1 for i in (1, 0))
    words = labels or {}
    lines = []
    for number, (key, preset) in enumerate(there):
        name = evidence.names[key] or key
        parts = [words.get(preset, evidence.shown(preset))] if several_presets or not several else []
        parts += [words.get(name, name)] if several else []
        lines.append(Line(key, preset, ", ".join(parts), number))
    return lines


def _checked(asked: Sequence[str] | None, known: Sequence[str], what: str) -> list[str]:
    """Return the names that were asked for, all of them if none was; a name that is unknown raises an error."""
    if asked is None:
        return list(known)
    names = [asked] if isinstance(asked, str) else list(asked)
    for name in names:
        if name not in known:
            raise DriftproofError(f"no {what} {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")
    return names


def course(evidence: Evidence, key: str, preset: str, of: Of, band: Band) -> Course:
    """Return the values of a series by ascending time.

    Args:
        evidence: The contents of the records.
        key: Id of the configuration.
        preset: Name of the preset.
        of: Whether the mean is returned, or the drop against digital.
        band: What low and high are; those of ``chips`` are the 5th and the 95th percentile, or the worst and the best
            chip where there are fewer than 20.
    """
    rows = evidence.series(key, preset)
    times = [float(t) for t in rows["t_s"]]
    if band == "chips":
        ends = [_band(_chips(evidence, key, preset, t, of)) for t in times]
        low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
    elif band == "none":
        low = high = np.full(len(times), np.nan)
    else:
        column = f"{'drop_' if of == 'drop' else ''}ci95_{KINDS[band]}"
        low, high = (rows[f"{column}{end}"].to_numpy(dtype=np.float64) for end in ("low", "high"))
    return Course(times, rows[of].to_numpy(dtype=np.float64), low, high, rows["in_validity"].to_numpy(dtype=np.bool_))


def _chips(evidence: Evidence, key: str, preset: str, t_s: float, of: Of) -> Numbers:
    if of == "mean":
        return evidence.chips(key, preset, t_s)
    change = evidence.rows[key, preset, t_s].statistics.change
    return -evidence.quantity.sign * corrected(change) if change.whole else np.empty(0)


def _band(values: Numbers) -> Numbers:
    if not len(values):  # chips that saw parts of the samples: there is no band
        return np.full(2, np.nan)
    return np.quantile(values, [0, 1] if len(values) < PRELIMINARY_BELOW else [0.05, 0.95])


def band_is_percentiles(evidence: Evidence) -> bool | None:
    """Whether all bands are the middle 90 % of chips (True), the range of all chips (False), or both occur (None)."""
    measured = evidence.summary[evidence.summary["chips"] > 0]
    enough = measured["chips"] >= PRELIMINARY_BELOW
    return True if enough.all() else None if enough.any() else False


def digital_lines(evidence: Evidence) -> list[tuple[float, str]]:
    """Return value and colour of each digital line: one neutral line if all configurations have the same value."""
    values = [evidence.digital(key) for key in evidence.names]
    if len(set(values)) == 1:
        return [(values[0], INK)]
    return [(value, COLOURS[i % len(COLOURS)]) for i, value in enumerate(values)]
