"""Outcomes as rows of the table of cells, and back: masks and right-or-wrong entries take one bit per sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic_core import to_jsonable_python

from driftproof._record.outcome import Outcome, PerSample

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
    # Arrays, tensors and their scalars become lists and numbers; a number that is not finite becomes null.
    diagnostics = to_jsonable_python(outcome.diagnostics, inf_nan_mode="null", fallback=lambda value: value.tolist())
    # Plain Python numbers: SQLite would keep NumPy's as bytes.
    return {
        "in_validity": bool(outcome.in_validity),
        "value": float(outcome.value),
        "seconds": float(outcome.seconds),
        "total": int(outcome.total),
        "seen": int(outcome.seen),
        "kind": kind,
        "diagnostics": json.dumps(diagnostics, sort_keys=True),
        "samples": None if outcome.samples is None else np.packbits(outcome.mask).tobytes(),
        "per_sample": content,
    }


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
