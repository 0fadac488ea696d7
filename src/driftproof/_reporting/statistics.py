"""Statistics over chips: the mean and its interval, the worst chip, the fifth percentile, the drop against digital.

The replicates are chips: cells of one chip at several times, or on the same images, are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import bdtr

from driftproof._errors import DriftproofError
from driftproof._intervals import mean_interval
from driftproof._record import DIGITAL, IDEAL_ANALOG, Quantity, Record, quantity_of

# Below this many chips the report says "preliminary", and figures show the range instead of percentiles.
PRELIMINARY_BELOW = 20

# The smallest n with 1 - 0.95^n >= 0.95: from here on the worst chip bounds the 5th percentile with 95 % confidence.
FIFTH_PERCENTILE_FROM = 59

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


def summarise(record: Record) -> pd.DataFrame:
    """Return a table with one row per configuration, preset and time.

    Among its columns, ``worst`` is the lowest value if higher is better, else the highest; ``p5`` is the percentile at
    the same end: 5 % of chips are worse. ``drop`` is the difference by which the mean is worse than digital. The rows
    ``digital`` and ``ideal-analog`` have 0 chips and no spread. Cells in which layers are kept digital for a trial, or
    in which causes of error are switched off, are left out.

    Raises:
        DriftproofError: there are no cells yet, or no digital row; the metric's name is unknown.
    """
    subject, cells = record.subject, record.cells()
    unreported = [name for name, entry in record.presets().items() if not entry.reported]
    cells = cells[(cells["digital"] == "") & ~cells["preset"].isin(unreported)]
    return summarise_cells(cells, record.where, subject.quantity if subject else quantity_of("accuracy"))


def summarise_cells(cells: pd.DataFrame, where: str, quantity: Quantity) -> pd.DataFrame:
    """Return :func:`summarise` of a table of cells of one quantity; ``where`` names the record in messages."""
    if cells.empty:
        raise DriftproofError(f"no cells yet in {where}; run `driftproof evaluate ... --out` to fill it")
    digital = cells[cells["preset"] == DIGITAL].set_index("config_id")["value"].to_dict()
    rows = []
    for (key, _, _), group in cells.groupby(["config_id", "preset", "t_s"], sort=False):
        if key not in digital:
            raise DriftproofError(
                f"{where}: configuration {key} has no row {DIGITAL!r} to compare with; "
                "run the same `driftproof evaluate` again, it adds what is missing"
            )
        rows.append(_summary_row(group, float(digital[key]), quantity))
    return pd.DataFrame(rows)


def bad_percentile(values: Values, quantity: Quantity) -> tuple[float, float]:
    """Return :func:`fifth_percentile` at the bad end: the 95th percentile with an upper bound if lower is better.

    >>> bad_percentile(range(1, 60), quantity_of("mse"))
    (56.1, 59.0)
    """
    percentile, bound = fifth_percentile(np.asarray(values, dtype=np.float64) * quantity.sign)
    return quantity.sign * percentile, quantity.sign * bound


def _summary_row(group: pd.DataFrame, digital: float, quantity: Quantity) -> dict[Any, object]:
    first, values = group.iloc[0], group["value"].to_numpy(dtype=np.float64)
    spread = dict.fromkeys(("std", "ci95_low", "ci95_high", "worst", "p5"), math.nan)
    chips = 0 if first["preset"] in (DIGITAL, IDEAL_ANALOG) else len(values)
    if chips:
        ends = np.clip(mean_interval(values), *quantity.ends)  # the mean of values with ends lies between them
        worst = float((quantity.sign * values).min()) * quantity.sign
        std = float(values.std(ddof=1)) if chips > 1 else math.nan
        spread = dict(zip(spread, (std, *ends.tolist(), worst, bad_percentile(values, quantity)[0]), strict=True))
    return {
        **first[["config_id", "label", "model", "preset", "backend", "periphery", "compensation", "t_s"]].to_dict(),
        "in_validity": bool(group["in_validity"].all()),
        "metric": first["metric"],
        "mean": float(values.mean()),
        **spread,
        "chips": chips,
        "n_samples": int(group["n_samples"].min()),
        "drop": quantity.sign * (digital - float(values.mean())) + 0.0,  # no -0.0
    }
