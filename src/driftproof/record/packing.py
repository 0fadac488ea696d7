"""Outcomes as rows of the cell table, and back: masks and right-or-wrong outcomes take a bit per sample."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from driftproof.record.outcome import Outcome, PerSample

BITS, FLOATS, NONE = "bits", "float32", "none"


def packed(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as the columns of its row."""
    per_sample = outcome.per_sample
    if per_sample is None:
        kind, content = NONE, None
    elif per_sample.dtype == np.bool_:
        kind, content = BITS, np.packbits(per_sample).tobytes()
    else:
        kind, content = FLOATS, per_sample.astype("<f4").tobytes()
    # Plain Python numbers: SQLite would keep NumPy's as bytes.
    return {
        "in_validity": bool(outcome.in_validity),
        "value": float(outcome.value),
        "seconds": float(outcome.seconds),
        "total": int(outcome.total),
        "seen": int(outcome.seen),
        "kind": kind,
        "diagnostics": json.dumps(_plain(outcome.diagnostics), sort_keys=True),
        "samples": None if outcome.samples is None else np.packbits(outcome.mask).tobytes(),
        "per_sample": content,
    }


def _plain(value: Any) -> Any:
    """Return a diagnostic as JSON has it; a number that is not finite is unknown there, None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # arrays, tensors and their scalars
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def unpacked(row: Mapping[str, Any]) -> Outcome:
    """Return the outcome that a row holds.

    >>> import numpy as np
    >>> half = Outcome(value=50.0, total=9, samples=np.array([2, 8]), per_sample=np.array([True, False]))
    >>> again = unpacked(packed(half))
    >>> again.samples.tolist(), again.per_sample.tolist(), again.value
    ([2, 8], [True, False], 50.0)
    """
    total = int(row["total"])
    samples = None
    if row["samples"] is not None:
        samples = np.flatnonzero(np.unpackbits(np.frombuffer(row["samples"], np.uint8), count=total))
    seen = total if samples is None else len(samples)
    per_sample: PerSample | None = None
    if row["kind"] == BITS:
        per_sample = np.unpackbits(np.frombuffer(row["per_sample"], np.uint8), count=seen).astype(np.bool_)
    elif row["kind"] == FLOATS:
        per_sample = np.frombuffer(row["per_sample"], "<f4").astype(np.float32)
    return Outcome(
        value=float(row["value"]),
        total=total,
        samples=samples,
        per_sample=per_sample,
        diagnostics=json.loads(row["diagnostics"]),
        seconds=float(row["seconds"]),
        in_validity=bool(row["in_validity"]),
    )
