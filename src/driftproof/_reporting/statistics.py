"""The summary of records: means with intervals, spread, worst chip, fifth percentile, and the drop against digital.

Chips and samples are both random (:mod:`driftproof.statistics`). Cells of one chip at several times are not
independent, nor are cells of several chips on the same samples.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import bdtr

from driftproof._errors import DriftproofError
from driftproof._record import DIGITAL, IDEAL_ANALOG, Quantity, Record, quantity_of
from driftproof._reporting.outcomes import Outcomes, RowStatistics, row_statistics
from driftproof.statistics import chip_spread, corrected, spread_interval
from driftproof.statistics._crossed import On

# Below this many chips the report says "preliminary", and figures show the range instead of percentiles.
PRELIMINARY_BELOW = 20

# The smallest n with 1 - 0.95^n >= 0.95: from here on the worst chip bounds the 5th percentile with 95 % confidence.
FIFTH_PERCENTILE_FROM = 59

Source = Record | str | os.PathLike[str]
"""A record, its folder or its file."""
Values = Sequence[float] | npt.NDArray[np.float64] | pd.Series


def fifth_percentile(values: Values) -> tuple[float, float]:
    """Return the 5th percentile over chips and a bound that lies below the true one with 95 % confidence.

    The percentile interpolates linearly. The bound is the highest order statistic x₍ₖ₎ with
    P(Binomial(n, 0.05) ≥ k) ≥ 0.95; it holds for every distribution. Both are NaN below 59 chips, where no order
    statistic is such a bound.

    >>> fifth_percentile(range(1, 60))
    (3.9, 1.0)
    >>> fifth_percentile(range(1, 59))
    (nan, nan)
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    if x.size < FIFTH_PERCENTILE_FROM:
        return math.nan, math.nan
    k = 1
    while 1 - bdtr(k, x.size, 0.05) >= 0.95:  # bdtr(k) = P(at most k), so this asks for rank k + 1
        k += 1
    return round(float(np.quantile(x, 0.05)), 12), float(x[k - 1])


ALL_SAMPLES, STRATIFIED = "all", "stratified"
"""How the samples of a row were chosen."""
ENDS = ("low", "high")
KINDS: dict[On, str] = {"these": "", "new": "new_"}
"""The samples for which an interval holds → a part of the names of its columns."""
SPREAD = ("std", "std_ci95_low", "std_ci95_high", "worst", "p5", "std_measured", "worst_measured")


def summarise(record: Source) -> pd.DataFrame:
    """Return the table of a record, or of its folder or file: a row for each configuration, preset and time.

    Presets are in the order that was asked for.

    Intervals are of 95 %. ``ci95_low`` and ``ci95_high`` hold for all chips on these samples, ``ci95_new_low`` and
    ``ci95_new_high`` for all chips on new samples of the same kind. ``drop`` is the difference by which the mean is
    worse than digital on the same samples, and has both intervals too.

    ``std`` (the standard deviation over chips, with an interval), ``worst`` (the lowest value if higher is better, else
    the highest) and ``p5`` (the percentile at the same end: 5 % of chips are worse) are corrected for the noise of the
    samples (:func:`driftproof.statistics.corrected`); ``std_measured`` and ``worst_measured`` are not. Where a record
    has no outcomes of samples, nothing is corrected, and there are no intervals for new samples.

    ``sampling`` is ``stratified`` where chips saw random parts of the samples (``ci`` or ``budget``): mean and drop are
    then estimated from strata (:func:`driftproof.statistics.stratified`), and there is no spread and no worst chip.
    ``passes`` is the number of samples that all chips of a row saw together.

    The rows ``digital`` and ``ideal-analog`` have 0 chips and no spread. Cells in which layers are kept digital for a
    trial, or in which causes of error are switched off, are left out.

    Args:
        record: A record, its folder or its file.

    Raises:
        DriftproofError: there are no cells yet, or no digital row; the metric's name is unknown.
    """
    if not isinstance(record, Record):
        with Record.open(record) as opened:
            return summarise(opened)
    subject, cells, outcomes = record.subject, record.cells(), Outcomes()
    unreported = [name for name, entry in record.presets().items() if not entry.reported]
    cells = cells[(cells["digital"] == "") & ~cells["preset"].isin(unreported)]
    outcomes.add(record)
    quantity = subject.quantity if subject else quantity_of("accuracy")
    return summary_of(summarise_cells(cells, record.where, outcomes, record.preset_order()), quantity)


@dataclass(frozen=True, eq=False)
class SummaryRow:
    """A row of a summary: its cells, its statistics, and the value of the digital network."""

    cells: pd.DataFrame
    digital: float
    statistics: RowStatistics

    @property
    def key(self) -> tuple[str, str, float]:
        """config_id, preset and time in s."""
        first = self.cells.iloc[0]
        return str(first["config_id"]), str(first["preset"]), float(first["t_s"])

    @property
    def chips(self) -> int:
        """Number of chips; 0 for the rows without devices."""
        return 0 if self.key[1] in (DIGITAL, IDEAL_ANALOG) else self.statistics.value.chips

    @property
    def whole(self) -> bool:
        """Whether every chip saw the same samples, so that there is a worst chip and a yield."""
        return self.statistics.value.whole


def summarise_cells(
    cells: pd.DataFrame, where: str, outcomes: Outcomes, presets: Iterable[str] = ()
) -> list[SummaryRow]:
    """Return the rows of a summary from a table of cells of one quantity.

    Args:
        cells: The table.
        where: Name of the record in messages.
        outcomes: The outcomes of samples.
        presets: The presets in the order of the rows (default: that of the cells).
    """
    if cells.empty:
        raise DriftproofError(f"no cells yet in {where}; run `driftproof evaluate ... --out` to fill it")
    digital = cells[cells["preset"] == DIGITAL].set_index("config_id")["value"].to_dict()
    rows = []
    for (config_id, preset, t_s), group in cells.groupby(["config_id", "preset", "t_s"], sort=False):
        if config_id not in digital:
            raise DriftproofError(
                f"{where}: configuration {config_id} has no row {DIGITAL!r} to compare with; "
                "run the same `driftproof evaluate` again, it adds what is missing"
            )
        key, base = (str(config_id), str(preset), float(str(t_s))), float(digital[config_id])
        rows.append(SummaryRow(group, base, row_statistics(group["value"], base, key, outcomes)))
    keys = {key: place for place, key in enumerate(dict.fromkeys(row.key[0] for row in rows))}
    places = {name: place for place, name in enumerate(dict.fromkeys([DIGITAL, IDEAL_ANALOG, *presets]))}
    return sorted(rows, key=lambda row: (keys[row.key[0]], places.get(row.key[1], len(places))))


def summary_of(rows: Sequence[SummaryRow], quantity: Quantity) -> pd.DataFrame:
    """Return the table of :func:`summarise`."""
    return pd.DataFrame([_summary_row(row, quantity) for row in rows])


def bad_percentile(values: Values, quantity: Quantity) -> tuple[float, float]:
    """Return :func:`fifth_percentile` at the bad end: the 95th percentile with an upper bound if lower is better.

    >>> bad_percentile(range(1, 60), quantity_of("mse"))
    (56.1, 59.0)
    """
    percentile, bound = fifth_percentile(np.asarray(values, dtype=np.float64) * quantity.sign)
    return quantity.sign * percentile, quantity.sign * bound


def worst_of(values: Values, quantity: Quantity) -> float:
    """Return the worst of some values."""
    x = np.asarray(values, dtype=np.float64)
    return float((quantity.sign * x).min()) * quantity.sign


def _summary_row(row: SummaryRow, quantity: Quantity) -> dict[Any, object]:
    first, values = row.cells.iloc[0], row.cells["value"].to_numpy(dtype=np.float64)
    facts = ["config_id", "label", "model", "preset", "backend", "periphery", "compensation", "t_s"]
    return {
        **first[facts].to_dict(),
        "in_validity": bool(row.cells["in_validity"].all()),
        "metric": first["metric"],
        "mean": float(values.mean()) if row.whole else row.statistics.value.mean,
        **_intervals(row, quantity),
        **_spread(row, values, quantity),
        "chips": row.chips,
        "n_samples": int(row.cells["n_samples"].min()) if row.whole else row.statistics.value.samples,
        "sampling": ALL_SAMPLES if row.whole else STRATIFIED,
        "passes": int(row.cells["n_samples"].sum()) if row.whole else row.statistics.value.passes,
    }


def _intervals(row: SummaryRow, quantity: Quantity) -> dict[str, float]:
    """Return the intervals of the mean, and the drop with its own, for these samples and for new ones."""
    of, change = row.statistics.value, row.statistics.change
    table = dict.fromkeys((f"ci95_{kind}{end}" for kind in ("", "new_") for end in ENDS), math.nan)
    table["drop"] = -quantity.sign * change.mean + 0.0  # no -0.0
    table |= dict.fromkeys((f"drop_ci95_{kind}{end}" for kind in ("", "new_") for end in ENDS), math.nan)
    if row.chips:
        for on, kind in KINDS.items():
            # the mean of values with ends lies between them
            low, high = (min(max(end, quantity.ends[0]), quantity.ends[1]) for end in of.interval(on))
            down, up = sorted(-quantity.sign * end + 0.0 for end in change.interval(on))
            table |= {f"ci95_{kind}low": low, f"ci95_{kind}high": high}
            table |= {f"drop_ci95_{kind}low": down, f"drop_ci95_{kind}high": up}
    return table


def _spread(row: SummaryRow, values: npt.NDArray[np.float64], quantity: Quantity) -> dict[str, float]:
    """Return the spread of the chips, corrected for the noise of the samples where their outcomes are known."""
    if not row.chips or not row.whole:
        return dict.fromkeys(SPREAD, math.nan)
    measured = float(values.std(ddof=1)) if row.chips > 1 else math.nan
    of, alike = row.statistics.value, corrected(row.statistics.value)
    std, ends = (chip_spread(of), spread_interval(of)) if row.statistics.by_sample else (measured, (math.nan,) * 2)
    worst, percentile = worst_of(alike, quantity), bad_percentile(alike, quantity)[0]
    return dict(zip(SPREAD, (std, *ends, worst, percentile, measured, worst_of(values, quantity)), strict=True))
