"""The heat map of a report: devices × times, coloured by the loss against the digital network."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import pandas as pd

from driftproof._record import Quantity
from driftproof._reporting.gather import Evidence
from driftproof._reporting.lifetime import Lifetime, default_keep, in_words
from driftproof._reporting.repeated import is_repeated
from driftproof._reporting.shares import lifetimes
from driftproof._reporting.statistics import KINDS
from driftproof._reporting.verdict import holds_for, verdicts
from driftproof.times import format_time

LOSSES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Largest loss of each colour, in points; for metrics without percentages in percent of the digital value."""

_UNITS = {"second": "s", "minute": "min", "hour": "h", "day": "d", "year": "y"}


def heat_map(evidence: Evidence, keep: float | None) -> dict[str, Any] | None:
    """Return the times, the rows and the key of the heat map; None if no device was measured."""
    measured = evidence.summary[evidence.summary["chips"] > 0]
    if measured.empty:
        return None
    times = sorted(set(measured["t_s"]))
    found = {
        (key, verdict.preset): verdict.lifetime for key in evidence.names for verdict in verdicts(evidence, key, keep)
    }
    thresholds = {
        key: default_keep(evidence.digital(key), evidence.quantity) if keep is None else keep for key in evidence.names
    }
    several = len(set(thresholds.values())) > 1
    before = {key: f"{_level(evidence.quantity, bar)}: " if several else "" for key, bar in thresholds.items()}
    groups: list[dict[str, Any]] = []
    for preset in evidence.measured_presets:
        rows = [
            {
                "name": name,
                "cells": _cells(evidence, key, preset, times),
                "kept": before[key] + _kept(found[key, preset], _is_decided(evidence, key, preset, keep)),
            }
            for key, name in evidence.names.items()
            if (key, preset) in found
        ]
        groups.append({"preset": preset, "rows": rows})
    return {
        "times": [format_time(t) for t in times],
        "groups": groups,
        "key": [*(f"≤ {loss:g}" for loss in LOSSES), f"> {LOSSES[-1]:g}"],
        "outside": bool((~measured["in_validity"].astype(bool)).any()),
        "undecided": any(row["kept"].endswith("?") for group in groups for row in group["rows"]),
        "keeps": _threshold(evidence.quantity, set(thresholds.values())),
    }


def _threshold(quantity: Quantity, thresholds: set[float]) -> str:
    return "keeps" if len(thresholds) > 1 else f"keeps {_level(quantity, *thresholds)}"


def _level(quantity: Quantity, keep: float) -> str:
    return f"{keep:g} %" if quantity.percent else f"{keep:g}"


def _is_decided(evidence: Evidence, key: str, preset: str, keep: float | None) -> bool:
    """Whether the interval of a mean lies above the threshold at every measured time."""
    bar = default_keep(evidence.digital(key), evidence.quantity) if keep is None else keep
    rows = lifetimes(evidence, key, preset, bar)
    if not rows:
        return False
    span = rows[0].spans["new"] or rows[0].spans["these"]
    return span is not None and span.from_s == rows[0].times[-1]


def _kept(lifetime: Lifetime | None, decided: bool) -> str:
    """Return how long a mean keeps the threshold, in few letters.

    >>> [_kept(Lifetime(kind, 3600.0), decided=True) for kind in ("below", "crossed", "held")]
    ['no', '≈ 1 h', '≥ 1 h']
    >>> _kept(Lifetime("held", 3600.0), decided=False)
    '≥ 1 h ?'
    """
    if lifetime is None:
        return "–"
    number, unit = in_words(lifetime.t_s).split(" ")
    return {
        "below": "no",
        "crossed": f"≈ {number} {_UNITS[unit.removesuffix('s')]}",
        "held": f"≥ {format_time(lifetime.t_s)}" + ("" if decided else " ?"),
    }[lifetime.kind]


def _cells(evidence: Evidence, key: str, preset: str, times: list[float]) -> list[dict[str, Any]]:
    """Return a cell for each time, or one for all times if the values do not change in time."""
    rows = {float(row["t_s"]): row for _, row in evidence.series(key, preset).iterrows()}
    if list(rows) == times and len(times) > 1 and is_repeated([evidence.rows[key, preset, t] for t in times]):
        cell = _cell(evidence, key, preset, rows[times[0]])
        words = f"{cell['text']} at all times"
        return [cell | {"text": words, "span": len(times)}]
    return [
        _cell(evidence, key, preset, rows[t]) if t in rows else {"text": "", "shade": "", "hover": "", "span": 1}
        for t in times
    ]


def _cell(evidence: Evidence, key: str, preset: str, row: pd.Series) -> dict[str, Any]:
    quantity, mean, drop = evidence.quantity, float(row["mean"]), float(row["drop"])
    digital = abs(evidence.digital(key))
    loss = drop if quantity.percent else 100 * drop / digital if digital else 0.0
    text = f"{mean:.1f}" if quantity.percent else quantity.number(mean)
    valid = bool(row["in_validity"])
    return {
        "text": text if valid else f"({text})",
        "shade": f"h{bisect_left(LOSSES, round(loss, 6))}" if valid else "out",
        "hover": _hover(evidence, key, preset, row),
        "span": 1,
    }


def _hover(evidence: Evidence, key: str, preset: str, row: pd.Series) -> str:
    """Return the numbers behind a cell in one line."""
    quantity, kind = evidence.quantity, KINDS[holds_for(evidence, key, preset)]
    low, high = (float(row[f"ci95_{kind}{end}"]) for end in ("low", "high"))
    down, up = (float(row[f"drop_ci95_{kind}{end}"]) for end in ("low", "high"))
    where = ", ".join(part for part in (preset, evidence.names[key], format_time(float(row["t_s"]))) if part)
    mean = quantity.said(float(row["mean"])) + (
        "" if pd.isna(low) else f" [{quantity.number(low)}, {quantity.number(high)}]"
    )
    change = "drop" if quantity.higher_is_better else "rise"
    drop = quantity.difference(float(row["drop"]), float(row["mean"]))
    if not pd.isna(down):
        drop += f" [{quantity.difference(down, row['mean'])}, {quantity.difference(up, row['mean'])}]"
    parts = [f"{where}: {mean}", f"{change} {drop}", f"{int(row['chips'])} chips"]
    if not pd.isna(row["worst"]):
        parts.insert(2, f"worst chip {quantity.number(float(row['worst']))}")
    return "; ".join([*parts, *([] if row["in_validity"] else ["outside validity"])])
