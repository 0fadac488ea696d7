"""Yields and lifetimes of a report: the share of chips that keep a threshold, and until when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from driftproof._record import Quantity
from driftproof._reporting.gather import Evidence
from driftproof._reporting.lifetime import Lifetime, lifetime, lifetime_between
from driftproof._reporting.statistics import KINDS, SummaryRow
from driftproof.statistics import Crossed, chip_yield
from driftproof.statistics._crossed import On
from driftproof.statistics._times import Span

SHARES = (0.5, 0.95)
"""Shares of the chips whose lifetimes a report states."""


@dataclass(frozen=True)
class Bar:
    """A threshold: a value, or the largest loss against the digital network on the same samples.

    Attributes:
        keep: The value, or the loss as a positive number.
        paired: Whether it is a loss.
        quantity: The quantity of the values.
    """

    keep: float
    paired: bool
    quantity: Quantity

    def of(self, row: SummaryRow) -> Crossed:
        """Return the statistics that are compared with the threshold."""
        return row.statistics.change if self.paired else row.statistics.value

    @property
    def level(self) -> float:
        """The threshold in the unit of :meth:`of`."""
        return -self.quantity.sign * self.keep if self.paired else self.keep

    def words(self, *, plural: bool) -> str:
        """Return what is on the good side, such as ``keeps 90 %`` or ``loses at most 1.65 points``."""
        if self.paired:
            unit = "points" if self.quantity.percent else f"of {self.quantity.title}"
            return f"{'lose' if plural else 'loses'} at most {self.keep:.4g} {unit}"
        verb = "keep" if plural else "keeps"
        return f"{verb} {self.keep:g} %" if self.quantity.percent else f"{verb} {self.quantity.title} {self.keep:g}"


def bars(evidence: Evidence, key: str, keep: float) -> list[Bar]:
    """Return the threshold as a value, and as a loss where the digital network is better than it."""
    margin = evidence.quantity.sign * (evidence.digital(key) - keep)
    paired = [Bar(round(margin, 9), True, evidence.quantity)] if margin > 0 else []
    return [Bar(keep, False, evidence.quantity), *paired]


@dataclass(frozen=True)
class LifetimeRow:
    """The lifetime of a mean or of a share of the chips.

    Attributes:
        bar: The threshold.
        share: The share of the chips; None for the mean.
        estimate: The lifetime.
        spans: Its intervals, for these samples and for new ones; None where they cannot be told.
        times: The measured times in s.
    """

    bar: Bar
    share: float | None
    estimate: Lifetime
    spans: dict[On, Span | None]
    times: list[float]


def lifetimes(evidence: Evidence, key: str, preset: str, keep: float) -> list[LifetimeRow]:
    """Return the lifetimes of the mean and of shares of the chips at the valid times of a preset."""
    rows = _valid(evidence, key, preset)
    if not rows:
        return []
    times, sign = [row.key[2] for row in rows], evidence.quantity.sign
    table = []
    for bar in bars(evidence, key, keep):
        of = [bar.of(row) for row in rows]
        means = {on: _span(times, [item.interval(on) for item in of], bar.level, sign) for on in KINDS}
        estimate = lifetime(times, [item.mean for item in of], bar.level, sign)
        table.append(LifetimeRow(bar, None, estimate, means, times))
        if not all(row.whole for row in rows):
            continue  # the values of single chips are not known
        shares = {on: [chip_yield(item, bar.level, sign, on) for item in of] for on in KINDS}
        for share in SHARES:
            kept = {on: _span(times, [(y.low, y.high) for y in seen], share) for on, seen in shares.items()}
            best = shares["new" if kept["new"] else "these"]
            estimate = lifetime(times, [y.share for y in best], share)
            table.append(LifetimeRow(bar, share, estimate, kept, times))
    return table


def yields(evidence: Evidence, key: str, preset: str, keep: float) -> list[dict[str, Any]]:
    """Return the yield at every time of a preset, as rows of a table."""
    table = []
    for row in _rows(evidence, key, preset):
        if not row.whole:
            continue
        for bar in bars(evidence, key, keep):
            these, new = (chip_yield(bar.of(row), bar.level, evidence.quantity.sign, on) for on in KINDS)
            table.append(
                {
                    "config_id": key,
                    "preset": preset,
                    "t_s": row.key[2],
                    "threshold": bar.keep,
                    "against": "digital" if bar.paired else "",
                    "share": these.share if math.isnan(new.low) else new.share,
                    "share_measured": these.share,
                    "share_ci95_low": these.low,
                    "share_ci95_high": these.high,
                    "share_ci95_new_low": new.low,
                    "share_ci95_new_high": new.high,
                    "chips": row.chips,
                    "in_validity": bool(row.cells["in_validity"].all()),
                }
            )
    return table


def lifetime_table(evidence: Evidence, thresholds: dict[str, float]) -> pd.DataFrame:
    """Return the lifetimes of all presets as a table; ``thresholds`` has one per configuration."""
    table = []
    for key, keep in thresholds.items():
        for preset in evidence.measured_presets:
            for row in lifetimes(evidence, key, preset, keep):
                facts = {"config_id": key, "preset": preset, "threshold": row.bar.keep}
                facts |= {"against": "digital" if row.bar.paired else "", "share_of_chips": row.share}
                facts |= {"kind": row.estimate.kind, "lifetime_s": row.estimate.t_s}
                for on, span in row.spans.items():
                    ends = ("from_s", span and span.from_s), ("to_s", span and span.to_s)
                    facts |= {f"ci95_{KINDS[on]}{end}": value for end, value in ends}
                table.append(facts)
    return pd.DataFrame(table)


def _span(times_s: list[float], ends: list[tuple[float, float]], level: float, sign: int = 1) -> Span | None:
    """Return the interval of a lifetime; None if a time has no interval."""
    return None if any(math.isnan(low) for low, _ in ends) else lifetime_between(times_s, ends, level, sign)


def _rows(evidence: Evidence, key: str, preset: str) -> list[SummaryRow]:
    times = evidence.series(key, preset)["t_s"]
    return [evidence.rows[key, preset, float(t)] for t in times]


def _valid(evidence: Evidence, key: str, preset: str) -> list[SummaryRow]:
    series = evidence.series(key, preset)
    return [evidence.rows[key, preset, float(t)] for t in series.loc[series["in_validity"], "t_s"]]
