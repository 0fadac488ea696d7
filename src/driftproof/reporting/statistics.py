"""What n chips say about all chips: mean and interval, the worst, the fifth percentile, the drop against digital.

Chips are the replicates: cells of one chip at several times, or of one image set, are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import bdtr

from driftproof.errors import DriftproofError
from driftproof.intervals import mean_interval
from driftproof.record import DIGITAL, IDEAL_ANALOG, Quantity, Record, quantity_of

SUMMARY_COLUMNS = (
    "config_id",
    "label",
    "model",
    "preset",
    "backend",
    "periphery",
    "compensation",
    "t_s",
    "in_validity",
    "metric",
    "mean",
    "std",
    "ci95_low",
    "ci95_high",
    "worst",
    "p5",
    "chips",
    "n_samples",
    "drop",
)

# Below this many chips the report says "preliminary" and figures show the range instead of percentiles.
PRELIMINARY_BELOW = 20

# The smallest n with 1 - 0.95^n >= 0.95: from here on the worst chip bounds the 5th percentile at 95 %.
FIFTH_PERCENTILE_FROM = 59

Values = Sequence[float] | npt.NDArray[np.float64] | pd.Series


def fifth_percentile(values: Values) -> tuple[float, float]:
    """Return the 5th percentile over chips and a bound that lies below the true one with 95 % confidence.

    The percentile interpolates linearly; the bound is the highest order statistic x₍ₖ₎ with
    P(Binomial(n, 0.05) ≥ k) ≥ 0.95, whatever the distribution. NaN below 59 chips: no order statistic is one.

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
    """Return one row per configuration, preset and time, with the columns of ``SUMMARY_COLUMNS``.

    ``worst`` is the lowest value of a metric of which higher is better, else the highest; ``p5`` is at that end too:
    5 % of chips are worse. ``drop`` is by how much the mean is worse than digital. The rows ``digital`` and
    ``ideal-analog`` have 0 chips and no spread. Cells in which layers are kept digital for a trial, or
    causes of error are switched off, do not enter.

    Raises:
        DriftproofError: no cells yet; no digital row; a metric that only a later driftproof knows.
    """
    subject, cells = record.subject, record.cells()
    unreported = [name for name, entry in record.presets().items() if not entry.reported]
    cells = cells[(cells["digital"] == "") & ~cells["preset"].isin(unreported)]
    return summarise_cells(cells, record.where, subject.quantity if subject else quantity_of("accuracy"))


def summarise_cells(cells: pd.DataFrame, where: str, quantity: Quantity) -> pd.DataFrame:
    """Return :func:`summarise` of a table of cells of one quantity; ``where`` names their origin in messages."""
    if cells.empty:
        raise DriftproofError(f"no cells yet in {where}; run `driftproof evaluate ... --out` to fill it")
    digital = cells[cells["preset"] == DIGITAL].set_index("config_id")["value"].to_dict()
    rows = []
    for _, group in cells.groupby(["config_id", "preset", "t_s"], sort=False):
        key, preset, t_s = group[["config_id", "preset", "t_s"]].iloc[0]
        if key not in digital:
            raise DriftproofError(
                f"{where}: configuration {key} has no row {DIGITAL!r} to compare with; "
                "run the same `driftproof evaluate` again, it adds what is missing"
            )
        rows.append(_summary_row(str(preset), float(t_s), group, float(digital[key]), quantity))
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def bad_percentile(values: Values, quantity: Quantity) -> tuple[float, float]:
    """Return :func:`fifth_percentile` counted from the bad end: the 95th, with a bound above, if lower is better.

    >>> bad_percentile(range(1, 60), quantity_of("mse"))
    (56.1, 59.0)
    """
    percentile, bound = fifth_percentile(np.asarray(values, dtype=np.float64) * quantity.sign)
    return quantity.sign * percentile, quantity.sign * bound


def _summary_row(preset: str, t_s: float, group: pd.DataFrame, digital: float, quantity: Quantity) -> dict[str, object]:
    values = group["value"].to_numpy(dtype=np.float64)
    same = ("config_id", "label", "model", "backend", "periphery", "compensation", "metric")
    spread: dict[str, float] = dict.fromkeys(("std", "ci95_low", "ci95_high", "worst", "p5"), math.nan)
    chips = 0
    if preset not in (DIGITAL, IDEAL_ANALOG):
        chips = len(values)
        low, high = mean_interval(values)
        spread = {
            "std": float(values.std(ddof=1)) if chips > 1 else math.nan,
            # Values that have ends have a mean between them. (min and max with NaN first would lose it.)
            "ci95_low": low if math.isnan(low) else max(low, quantity.ends[0]),
            "ci95_high": high if math.isnan(high) else min(high, quantity.ends[1]),
            "worst": float((quantity.sign * values).min()) * quantity.sign,
            "p5": bad_percentile(values, quantity)[0],
        }
    return {
        **{name: group[name].iloc[0] for name in same},
        **spread,
        "preset": preset,
        "t_s": t_s,
        "in_validity": bool(group["in_validity"].all()),
        "mean": float(values.mean()),
        "chips": chips,
        "n_samples": int(group["n_samples"].min()),
        "drop": quantity.sign * (digital - float(values.mean())) + 0.0,  # no -0.0
    }
