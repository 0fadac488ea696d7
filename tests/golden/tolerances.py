"""How far a number may be from the stored one on another processor, by kind of cell.

What was measured: all cells, computed on one AVX-512 processor, and again with the kernels of other processors (ATen's
AVX2 and scalar ones, oneDNN's AVX2 and SSE4.1 ones, MKL's AVX2 and compatible ones) and with two threads instead of
one. The largest gaps of all of these stand beside each tolerance, which is about three times as much. No sample's
answer changed in any of them; one may.
"""

from __future__ import annotations

from functools import lru_cache

from golden.comparison import Tolerance
from golden.design import Row, rows
from golden.networks import SAMPLES
from golden.plans import SAMPLES as PLAN_SAMPLES

WEIGHTS = 1e-5  # measured: 2.6e-6, of a weight near zero; else 1e-6
ONE_SAMPLE = 100.0 / SAMPLES

ANALOG = Tolerance(logits=2.5e-6, weights=WEIGHTS, value=ONE_SAMPLE)  # measured: 7.1e-7
"""Without converters, with or without noise of single products and recalibration."""

CONVERTERS = Tolerance(
    logits=2.5e-6,  # measured: 5.3e-7
    flipped=0.1,  # measured with recalibration: 0.029
    weights=WEIGHTS,
    value=2 * ONE_SAMPLE,
)
"""With converters: a code may flip, and a sample of which it is one moves by a step of the converter.

Codes flipped in two rows only, both of the device ``levels`` with dynamic ranges and recalibration: its weights are so
few numbers that sums fall on the edge between two codes.
"""

CONVERTERS_RECALIBRATED = Tolerance(logits=3e-4, flipped=0.1, weights=WEIGHTS, value=2 * ONE_SAMPLE)
"""Likewise, where a code that flips among the calibration inputs moves all samples a little. Measured: 1e-4."""

TRAINING = Tolerance(weights=3e-5)
"""Of final weights. Measured: 1e-5 (LookSAM), 1.6e-6 (adaptive RWP), else at most 6e-7."""

SMOOTH_PLAN = Tolerance(numbers=2.5e-6)
"""Of entropies. Measured: 7.3e-7."""

ACCURACY_PLAN = Tolerance(numbers=2.0 / PLAN_SAMPLES)
"""Of accuracies: a difference of two in each of which one sample answers in another way."""


def tolerance_of(name: str) -> Tolerance:
    """Return the tolerance of a cell, a training or a plan."""
    if name.startswith("trainings/"):
        return TRAINING
    if name.startswith("plans/"):
        return ACCURACY_PLAN if name.endswith("/accuracy") else SMOOTH_PLAN
    row = _rows().get(name)
    if row is None or row.periphery in ("ideal", "mvm-noise"):
        return ANALOG
    return CONVERTERS if row.recalibration == "never" else CONVERTERS_RECALIBRATED


@lru_cache(maxsize=1)
def _rows() -> dict[str, Row]:
    """Return one of the rows that compute each cell, but those of the digital networks."""
    found = {row.ideal_id: row for row in rows()}
    return found | {row.cell_id(time): row for row in rows() for time in row.read_times}
