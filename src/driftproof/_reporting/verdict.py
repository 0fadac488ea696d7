"""The first paragraph of a report: a sentence about each preset."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from driftproof._presets.described import changes_in_time
from driftproof._record import Quantity
from driftproof._reporting.gather import Evidence
from driftproof._reporting.lifetime import Lifetime, default_keep, in_words, lifetime
from driftproof._reporting.statistics import PRELIMINARY_BELOW
from driftproof.times import format_time


@dataclass(frozen=True)
class Verdict:
    """A sentence without its subject, ``keeps 90 % accuracy for about 40 days``, and the lifetime behind it."""

    preset: str
    text: str
    preliminary: bool
    lifetime: Lifetime | None


def verdicts(evidence: Evidence, key: str, keep: float | None) -> list[Verdict]:
    """Return one verdict per preset of a configuration; times outside validity do not count."""
    threshold = default_keep(evidence.digital(key), evidence.quantity) if keep is None else keep
    return [
        _verdict(evidence, key, preset, threshold)
        for preset in evidence.measured_presets
        if len(evidence.series(key, preset))
    ]


def threshold_in_words(quantity: Quantity, keep: float) -> str:
    """Return a threshold as the object of "keeps".

    >>> from driftproof._record import quantity_of
    >>> [threshold_in_words(quantity_of(name), 23) for name in ("accuracy", "perplexity")]
    ['23 % accuracy', 'perplexity at or below 23']
    """
    if quantity.percent and quantity.higher_is_better:
        return f"{keep:g} % {quantity.title}"
    side = "at or above" if quantity.higher_is_better else "at or below"
    return f"{quantity.title} {side} {keep:g}{' %' if quantity.percent else ''}"


def _verdict(evidence: Evidence, key: str, preset: str, keep: float) -> Verdict:
    quantity = evidence.quantity
    rows = evidence.series(key, preset)
    valid = rows[rows["in_validity"]]
    if valid.empty:
        text = "was measured only outside its range of validity, so nothing is claimed about its lifetime"
        return Verdict(preset, text, bool((rows["chips"] < PRELIMINARY_BELOW).any()), None)
    times = valid["t_s"].tolist()
    mean = lifetime(times, valid["mean"].tolist(), keep, quantity.sign)
    definitions = {name: entry.definition for name, entry in evidence.presets.items()}
    constant = preset in definitions and _is_constant(definitions[preset], definitions)
    first, last = valid.iloc[0], valid.iloc[-1]
    keeps = f"keeps {threshold_in_words(quantity, keep)}"
    level = _level(last, quantity, keep)
    if mean.kind == "below":
        side = "below" if quantity.higher_is_better else "above"
        bound = f"{keep:g} %" if quantity.percent else f"{quantity.title} {keep:g}"
        when = f"from the first measured time, {format_time(mean.t_s)} ({_level(first, quantity, keep)})"
        text = f"is {side} {bound} {when}"
    elif mean.kind == "crossed":
        text = f"{keeps} for about {in_words(mean.t_s)}{_span(valid, keep, quantity)}"
    elif constant:
        text = f"{keeps} ({level}); its noise does not change with time"
    elif len(valid) == 1:
        text = f"{keeps} at {format_time(mean.t_s)}, the only valid time measured ({level})"
    else:
        text = f"{keeps} for at least {in_words(mean.t_s)}, the last valid time measured ({level})"
    return Verdict(preset, text, bool((valid["chips"] < PRELIMINARY_BELOW).any()), mean)


def _is_constant(definition: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the laws of a device have no dependence on time, and the device is valid at more than one time."""
    low, high = definition.get("validity", {}).get("t_s", (0.0, math.inf))
    return low < high and not changes_in_time(definition, others)


def _level(row: pd.Series, quantity: Quantity, keep: float) -> str:
    """Return the mean and its interval at one time, with enough decimals to tell the mean from the threshold."""
    mean = quantity.said(row["mean"])
    if quantity.percent and row["mean"] != keep and mean == quantity.said(keep):
        mean = next((text for text in (f"{row['mean']:.{n}f} %" for n in (2, 3)) if float(text[:-2]) != keep), mean)
    if pd.isna(row["ci95_low"]):
        return mean
    low, high = (quantity.said(row[end]) for end in ("ci95_low", "ci95_high"))
    return f"{mean}, 95 % interval {low.removesuffix(' %')} to {high}"


def _span(valid: pd.DataFrame, keep: float, quantity: Quantity) -> str:
    """Return in brackets when the ends of the interval cross the threshold; empty if they do so at the same time."""
    if valid[["ci95_low", "ci95_high"]].isna().any(axis=None):
        return ""
    times = valid["t_s"].tolist()
    ends = ("ci95_low", "ci95_high")[:: quantity.sign]  # the bad end first
    low, high = (lifetime(times, valid[end].tolist(), keep, quantity.sign) for end in ends)
    if low == high:
        return ""
    shortest = f"under {in_words(low.t_s)}" if low.kind == "below" and low.t_s > 0 else in_words(low.t_s)
    longest = f"at least {in_words(high.t_s)}" if high.kind == "held" else in_words(high.t_s)
    return f" (95 % interval {shortest} to {longest})"
